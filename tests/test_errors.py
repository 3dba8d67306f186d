"""What is said of things that cannot be worked with, and what is not hidden."""

from __future__ import annotations

import importlib
import inspect
import io
import pkgutil
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyannote_pix2seq
from pyannote_pix2seq.console.exit import exit_on_sigterm, one_line_messages
from pyannote_pix2seq.errors import ArgumentError, Pix2SeqError, reason
from pyannote_pix2seq.origin import OriginError, changes, note_origin
from pyannote_pix2seq.simulation.denoising import denoise
from pyannote_pix2seq.simulation.pitch import shift_pitch
from pyannote_pix2seq.simulation.preparation import AS_THEY_ARE, speech_regions
from pyannote_pix2seq.simulation.room import impulse_responses

OF_DISKS = {"DiskError"}
RNG = np.random.default_rng(0)


def test_all_errors_of_the_package_have_one_base() -> None:
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(pyannote_pix2seq.__path__, "pyannote_pix2seq."):
        if not module.name.endswith("__main__"):
            members = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
            found |= {name: each for name, each in members if each.__module__.startswith("pyannote_pix2seq")}
    errors = {name for name, each in found.items() if issubclass(each, Exception)}
    assert {
        "AudioError",
        "EnrolmentError",
        "ModelError",
        "SpeakerCountError",
        "StreamError",
        "VocabularyError",
    } < errors
    assert {name for name in errors if not issubclass(found[name], Pix2SeqError)} == OF_DISKS


@pytest.mark.parametrize(
    "error", [ArgumentError("no such hop"), OSError(28, "full"), ModuleNotFoundError("no stretch")]
)
def test_what_is_wrong_with_what_a_recipe_is_given_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["recipes/train.py"])
    with pytest.raises(SystemExit, match=r"^train\.py: ") as said, one_line_messages():
        raise error
    assert str(error) in str(said.value)


@pytest.mark.parametrize(
    ("module", "use", "message"),
    [
        (
            "python_stretch",
            lambda: shift_pitch(np.zeros(9, np.float32), 1.0),
            "Pitch needs .*simulation]', or use pitch_",
        ),
        (
            "pyroomacoustics",
            lambda: impulse_responses(0.3, [(1.0, 1.0)], RNG),
            "Rooms need .*simulation]', or use room_",
        ),
        ("silero_vad", lambda: speech_regions(np.zeros(9, np.float32), AS_THEY_ARE), r"speech needs .*simulation]'\.$"),
        (
            "noisereduce",
            lambda: denoise(np.ones(16000, np.float32), []),
            "Denoising needs .*denoising]', or do without",
        ),
    ],
)
def test_what_is_not_installed_is_told_with_what_to_install(
    module: str, use: Callable[[], Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=message):
        use()


def test_a_reason_is_one_line_in_which_names_stay_as_they_are() -> None:
    assert reason(ValueError("no such\n  line in two  spaces.rttm\n")) == "ValueError: no such line in two  spaces.rttm"
    assert reason(ArgumentError("no such hop")) == "no such hop"


def test_ctrl_c_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as said, one_line_messages():
        raise KeyboardInterrupt
    assert said.value.code == 130 and capsys.readouterr().err.endswith(": interrupted\n")


def test_warnings_of_recipes_are_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["recipes/render.py"])
    with one_line_messages():
        warnings.warn("ann.wav cannot be read.\n  It is left out.", stacklevel=1)
    assert capsys.readouterr().err == "render.py: ann.wav cannot be read. It is left out.\n"
    with pytest.warns(UserWarning, match="as before"):
        warnings.warn("as before", stacklevel=1)


@pytest.mark.parametrize(
    ("encoding", "printed"), [("utf-8", "Zo\u00eb \u4f1a \\udce9"), ("latin-1", "Zo\u00eb \\u4f1a \\udce9")]
)
def test_names_that_stdout_cannot_hold_are_escaped(
    encoding: str, printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding))
    with one_line_messages():
        pass
    print("Zo\u00eb \u4f1a \udce9", end="", flush=True)
    assert content.getvalue() == printed.encode(encoding)


def test_mistakes_of_ours_keep_their_traceback() -> None:
    with pytest.raises(ValueError, match="broadcast"), one_line_messages():
        raise ValueError("operands could not be broadcast together")


@pytest.mark.parametrize("content", ["{", "[]", "null", '"text"'])
def test_a_damaged_note_of_an_origin_is_refused(tmp_path: Path, content: str) -> None:
    note = tmp_path / "folder" / "origin.json"
    assert changes(note, {"seed": 0}) == [] and not note.exists()
    note_origin(note, {"seed": 0, "size": (1, 2)})
    assert changes(note, {"seed": 0, "size": [1, 2]}) == []
    assert changes(note, {"seed": 1}) == ["seed was 0 and is 1", "size was [1, 2] and is None"]
    note.write_text(content)
    with pytest.raises(OriginError, match=r"origin\.json is damaged"):
        changes(note, {"seed": 1})


def test_a_sigterm_that_is_ignored_or_handled_otherwise_stays_so() -> None:
    heard: list[int] = []

    def hear(number: int, _: object) -> None:
        heard.append(number)

    before = signal.getsignal(signal.SIGTERM)
    try:
        for handler in (signal.SIG_IGN, hear):
            signal.signal(signal.SIGTERM, handler)
            with exit_on_sigterm():
                signal.raise_signal(signal.SIGTERM)
            assert signal.getsignal(signal.SIGTERM) == handler
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with pytest.raises(SystemExit) as ended, exit_on_sigterm(), exit_on_sigterm():
            signal.raise_signal(signal.SIGTERM)
        assert ended.value.code == 143 and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]
