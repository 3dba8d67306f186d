"""The recipe that measures systems on long recordings, on a short one of toy voices."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm
from pyannote.metrics.diarization import DiarizationErrorRate
from toy import annotation, write_toy_voices

from pyannote_pix2seq.evaluation.system import System
from pyannote_pix2seq.rendering import record
from pyannote_pix2seq.simulation import Acoustics, Simulator, Voices
from pyannote_pix2seq.simulation.labels import Labels
from pyannote_pix2seq.simulation.turns import PlainTurns

ONE = """
import sys
from pyannote_pix2seq.evaluation.answer import respond
respond(lambda audio: ([(0.0, 5.0, "x")], None), *sys.argv[-2:])
"""


@pytest.fixture
def recipe(load_recipe: Callable[[str], ModuleType], tmp_path: Path, tiny_pipeline: Path) -> Any:
    """Run the recipe on a meeting of 12 s; its exit status."""
    main = load_recipe("long_recordings.py").main
    (tmp_path / "one.py").write_text(ONE)
    folders = ["--voices", str(write_toy_voices(tmp_path / "voices")), "--into", str(tmp_path / "long")]
    meeting = ["--minutes", "0.2", "--speakers", "2", "--threads", "1"]

    def run(*options: str) -> int:
        peers = ["--peer", f"one={tmp_path / 'one.py'}", "--pipeline", str(tiny_pipeline), "--strategy", "chain"]
        return main([*folders, *meeting, *peers, *options])

    return run


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of a pipeline, a system that is given its folder, and whose process begins at once."""
    (tmp_path / "ours.py").write_text(ONE)
    monkeypatch.setattr(
        System, "of_pipeline", lambda folder, *_: System.of_peer(f"ours={tmp_path / 'ours.py'} {folder}")
    )


def test_systems_are_measured_once_each_in_its_own_process(
    recipe: Any, tmp_path: Path, tiny_pipeline: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "long.md"
    page.write_text("<!-- long:begin -->\n<!-- long:end -->\n")
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    assert recipe("--docs", str(page), "--peer", f"broken={tmp_path}/broken.py") == 1
    assert "broken is left out: broken gave no answer" in capfd.readouterr().out
    ours, one = [line.split(" | ") for line in page.read_text().splitlines()[3:5]]
    assert ours[2] == f"{tiny_pipeline.name} chain" and one[2] == "one" and one[5] == "1"
    assert float(ours[-1].strip(" |")) > 5 * float(one[-1].strip(" |")) > 0  # GB: one is nothing but Python
    (path,) = (tmp_path / "long" / "0.2min").glob("2speakers-12s.one.*.json")
    kept = json.loads(path.read_text())
    assert kept["missed"] > 0 and kept["factor"] > 0
    assert recipe("--docs", str(page)) == 0
    assert "of 2: " not in capfd.readouterr().err  # what systems say while they work
    assert "| one |" in page.read_text()


@pytest.mark.usefixtures("quick")
def test_a_system_that_has_changed_is_measured_again(
    recipe: Any, tmp_path: Path, tiny_pipeline: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert recipe() == 0
    capfd.readouterr()
    (tmp_path / "one.py").write_text(f"{ONE}# another")
    assert recipe() == 0
    assert capfd.readouterr().err.count("1 of 2: ") == 1
    (tmp_path / "one.py").write_text(ONE)
    (tiny_pipeline / "README.md").write_text("a note")
    assert recipe() == 0
    assert "1 of 2: " not in capfd.readouterr().err


@pytest.mark.usefixtures("quick")
def test_a_recording_that_has_changed_is_heard_again(
    recipe: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert recipe() == 0
    capfd.readouterr()
    audio = tmp_path / "long" / "0.2min" / "2speakers-12s.wav"
    samples, rate = soundfile.read(audio)
    soundfile.write(audio, 0.5 * samples, rate)
    assert recipe() == 0
    assert capfd.readouterr().err.count("2 of 2: 2speakers-12s,") == 2  # both systems


@pytest.mark.usefixtures("quick")
def test_another_style_of_labels_is_another_reference(
    recipe: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rttm = tmp_path / "long" / "0.2min" / "2speakers-12s.rttm"
    heard, loose, again = (recipe(*style) or load_rttm(rttm)[rttm.stem] for style in ((), ("--padding", "0.2"), ()))
    assert heard == again and loose.get_timeline().duration() > heard.get_timeline().duration() + 0.2
    assert capfd.readouterr().err.count("2 of 2: 2speakers-12s,") == 4  # both systems, once for each style


def test_ctrl_c_is_one_line(
    load_recipe: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    long_recordings = load_recipe("long_recordings.py")
    monkeypatch.setattr(long_recordings, "record", interrupt)
    folders = ["--voices", str(write_toy_voices(tmp_path / "voices")), "--into", str(tmp_path / "long")]
    with pytest.raises(SystemExit) as ended:
        long_recordings.main([*folders, "--speakers", "2"])
    assert ended.value.code == 130


@pytest.mark.usefixtures("quick")
def test_shorter_meetings_are_beginnings_of_the_longest(recipe: Any, tmp_path: Path) -> None:
    assert recipe("--minutes", "0.1", "0.2") == 0
    rows = (("0.1min", "2speakers-12s@0s"), ("0.2min", "2speakers-12s"))
    short, long = (load_rttm(tmp_path / "long" / folder / f"{uri}.rttm")[uri] for folder, uri in rows)
    assert short == long.crop(Segment(0, 6))
    audio, whole = (soundfile.read(tmp_path / "long" / folder / f"{uri}.wav")[0] for folder, uri in rows)
    assert len(audio) == 6 * 16000 and (audio == whole[: len(audio)]).all()


@pytest.mark.usefixtures("quick")
def test_pieces_of_a_meeting_stand_for_shorter_ones(
    recipe: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert recipe("--minutes", "0.1", "0.2", "--pieces", "2") == 0
    folder = tmp_path / "long" / "0.1min"
    audio = tmp_path / "long" / "0.2min" / "2speakers-12s.wav"
    whole = load_rttm(audio.with_suffix(".rttm"))["2speakers-12s"]
    for start in (0, 6):
        uri = f"2speakers-12s@{start}s"
        piece = load_rttm(folder / f"{uri}.rttm")[uri]
        assert piece.get_timeline().extent().end <= 6
        samples, heard = (soundfile.read(path)[0] for path in (folder / f"{uri}.wav", audio))
        assert (samples == heard[16000 * start : 16000 * (start + 6)]).all() and len(samples) == 6 * 16000
        shifted = {(round(turn.start + start, 2), who) for turn, _, who in piece.itertracks(yield_label=True)}
        there = whole.crop(Segment(start, start + 6)).itertracks(yield_label=True)
        assert shifted == {(round(turn.start, 2), who) for turn, _, who in there}
        spoken = whole.crop(Segment(start, start + 6)).get_timeline().duration()
        assert piece.get_timeline().duration() == pytest.approx(spoken, abs=0.01)
    (kept,) = folder.glob("*.one.*.json")
    (line,) = (line for line in capfd.readouterr().out.splitlines() if line.startswith("0.1  ") and "  one  " in line)
    assert line.split("  ")[5] == "1"  # found in each piece, in the mean
    # one speaker from 0 to 5 s in each piece: errors of both are added up
    errors, speech = 0.0, 0.0
    for start in (0, 6):
        reference = load_rttm(folder / f"2speakers-12s@{start}s.rttm")[f"2speakers-12s@{start}s"]
        hypothesis = Annotation()
        hypothesis[Segment(0, 5)] = "x"
        scored = Timeline([Segment(0, 6)])
        result = DiarizationErrorRate()(reference, hypothesis, uem=scored, detailed=True)
        errors, speech = errors + result["false alarm"], speech + result["total"]
    assert json.loads(kept.read_text())["false alarm"] == pytest.approx(100 * errors / speech, abs=0.2)


def test_no_pieces_are_refused(recipe: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        recipe("--pieces", "0")
    assert "argument --pieces: '0' is not a whole number, 1 or more" in capfd.readouterr().err


def test_pieces_of_nothing_but_the_whole_are_refused(recipe: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        recipe("--minutes", "0.2", "--pieces", "3")
    assert "--pieces 3: --minutes 0.2 is all there is" in capfd.readouterr().err


def test_pieces_that_overlap_are_refused(recipe: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        recipe("--minutes", "0.05", "0.1", "0.25", "--pieces", "3")
    complaint = "--pieces 3 of 0.1 minutes would overlap: the meeting lasts 0.25, which has room for 2"
    assert complaint in capfd.readouterr().err


def test_a_folder_without_voices_is_one_line(recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"There is no folder .*nowhere"):
        recipe("--voices", str(tmp_path / "nowhere"))


def test_a_meeting_that_is_another_one_is_rendered_again(tmp_path: Path) -> None:
    voices = Voices(write_toy_voices(tmp_path / "voices"), "dev")
    simulator = Simulator(voices, PlainTurns(), Acoustics.none(), duration=6.0)
    first = simulator.describe("meeting")
    times = []
    for conversation in (first, first, replace(first, turns=first.turns[:1])):
        audio = record(conversation, simulator, tmp_path, Labels(padding=0.1 * len(times)))
        times.append(audio.stat().st_mtime_ns)
    assert times[0] == times[1] < times[2]
    assert len(load_rttm(audio.with_suffix(".rttm"))["meeting"]) == 1


@pytest.mark.filterwarnings("error")
def test_nothing_is_said_of_the_first_minute_of_a_longer_meeting(
    load_recipe: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    long, system = load_recipe("long_recordings.py"), tmp_path / "one.py"
    system.write_text(ONE)
    meeting = tmp_path / "meeting.wav"
    soundfile.write(meeting, np.zeros(70 * 16000), 16000)
    reference = annotation((62, 66, "ann"))
    reference.uri = "meeting"
    meeting.with_suffix(".rttm").write_text(reference.to_rttm())
    found = long.run([meeting], System.of_peer(f"one={system}"), threads=1)
    assert (found["people"], found["missed"], found["false alarm"]) == (1, 100.0, 125.0)
