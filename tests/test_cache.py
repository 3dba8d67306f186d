"""What is kept of recordings that were heard: what is computed again, left out or refused."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import torch
from loudness import FILES, SAMPLES, LoudnessFrontend, cache_of, file_of, numbers
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database import ProtocolFile
from pyannote.database.custom import Template
from toy import annotation

from pyannote_pix2seq.atomic import part_of
from pyannote_pix2seq.frontends.mel import MelFrontend
from pyannote_pix2seq.training.examples import CacheError


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    frontend = LoudnessFrontend()
    cache_of(tmp_path, frontend).fill(FILES[:1])
    assert frontend.calls == 1
    again = cache_of(tmp_path, frontend)
    assert len(again) == 1
    again.fill(FILES)
    assert (frontend.calls, len(again)) == (2, 2)
    again.fill(FILES)
    assert frontend.calls == 2


def test_what_is_annotated_otherwise_now_is_computed_again(tmp_path: Path) -> None:
    frontend = LoudnessFrontend()
    cache_of(tmp_path, frontend, duration=3.2).fill(FILES)
    calls = frontend.calls
    mended = FILES[0] | {"annotation": annotation((1.0, 3.0, "ann"), (2.0, 5.0, "bob"), (6.0, 9.5, "ann"))}
    renamed = FILES[1] | {"annotation": annotation((0.0, 6.0, "dora"))}
    cache = cache_of(tmp_path, frontend, duration=3.2)
    cache.fill([mended, FILES[1]])
    assert frontend.calls == calls + 1  # of three stretches of the first file
    assert cache[2].turns[-1].end == pytest.approx(9.5 - 6.4)
    cache.fill([mended, renamed])
    assert frontend.calls == calls + 3 and cache[3].names == ("b/second dora",)


def test_what_cannot_be_heard_again_is_no_example_any_more(tmp_path: Path) -> None:
    cache_of(tmp_path).fill(FILES)
    for lost in (
        {"annotation": annotation((1.0, 3.0, "zoe")), "waveform": None, "audio": str(tmp_path / "missing.wav")},
        {"annotation": None},
    ):
        cache = cache_of(tmp_path)
        with pytest.warns(UserWarning, match="^first is left out: "):
            cache.fill([FILES[0] | lost, FILES[1]])
        assert [example.uri for example in cache] == ["b/second@0.00"]  # type: ignore[attr-defined]


def test_a_region_that_is_longer_now_is_heard_again(tmp_path: Path) -> None:
    regions = [Timeline([Segment(0, 1.6)]), Timeline([Segment(0, 3.2)])]  # with the same turns
    lengths = []
    for annotated in regions:
        cache = cache_of(tmp_path)
        cache.fill([file_of("first", 9.6, (0.5, 1.0, "ann"), annotated=annotated)])
        lengths.append(len(cache[0].audio.content))
    assert lengths == [10, 20]


@pytest.mark.parametrize("damage", [b"", b"garbage", b"PK\x03\x04 and no more", None])
def test_damaged_examples_are_computed_again(tmp_path: Path, damage: bytes | None) -> None:
    cache = cache_of(tmp_path)
    cache.fill(FILES[:1])
    whole = cache.paths[0].read_bytes()
    cache.paths[0].write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    cache.fill(FILES[:1])
    assert numbers(cache[0].audio) == list(range(60))


def test_files_without_an_annotation_or_annotated_region_are_passed_over_with_a_warning(tmp_path: Path) -> None:
    nobody = file_of("nobody", 3.2, annotation=None)
    nothing = file_of("nothing", 3.2, annotated=Timeline())
    cache = cache_of(tmp_path)
    with pytest.warns(UserWarning) as warned:
        cache.fill([FILES[0], nobody, nothing])
    assert {str(warning.message) for warning in warned} == {
        "nothing is left out: no 0.5 s of it are annotated. Does its UEM have it?",
        "nobody is left out: it has no annotation. Does its RTTM have it?",
    }
    assert [example.uri for example in cache] == ["first@0.00"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_full_disk_is_said_in_one_line_whichever_process_it_is_full_for(tmp_path: Path, num_workers: int) -> None:
    cache, path = cache_of(tmp_path), tmp_path / "second@0.00.npz"
    part_of(path).symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"^{re.escape(f'[Errno 28] No space left on device: {str(path)!r}')}$"):
        cache.fill([FILES[0], FILES[1] | {"uri": "second"}], num_workers)
    cache.fill(FILES, num_workers)  # once there is room
    assert len(cache) == 2


def test_blank_lines_of_a_list_are_no_recordings(tmp_path: Path) -> None:
    blank = {"uri": "", "database": None, "annotation": Annotation(uri=""), "annotated": None}
    cache = cache_of(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.fill([blank, FILES[0], blank])
    assert [example.uri for example in cache] == ["first@0.00"]  # type: ignore[attr-defined]


def test_files_without_a_turn_are_kept_with_a_warning(tmp_path: Path) -> None:
    silent = [file_of(name, 3.2, annotation=Annotation(uri=name)) for name in ("typo", "quiet", "third")]
    for some, has in ((silent[:1], "typo has"), (silent, "typo and 2 more have")):
        cache = cache_of(tmp_path)
        with pytest.warns(UserWarning, match=f"^{has} no turn: nothing is to be written. Does the RTTM have it[?]$"):
            cache.fill([FILES[0], *some])
    assert [len(example.turns) for example in cache] == [3, 0, 0, 0]  # type: ignore[attr-defined]


def test_conversations_that_were_simulated_may_be_silent(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache_of(tmp_path).fill([file_of("simulated", 3.2, annotation=Annotation(), digest="0123abcd")])


def test_what_was_interrupted_is_computed_again(tmp_path: Path) -> None:
    (tmp_path / ".first@0.00.npz.part").write_bytes(b"half a file")
    cache = cache_of(tmp_path)
    assert len(cache) == 0
    cache.fill(FILES)
    assert [numbers(cache[k].audio)[-1] for k in range(2)] == [59, 39]


def test_the_cache_holds_what_was_asked_for_and_no_more(tmp_path: Path) -> None:
    cache_of(tmp_path).fill(FILES)
    cache = cache_of(tmp_path)
    cache.fill(FILES[1:])
    assert len(cache) == 1 and cache[0].uri == "b/second@0.00"


def unlabelled(file: ProtocolFile) -> Annotation:
    raise ValueError("no labels here")


def test_a_file_whose_annotated_regions_cannot_be_read_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    lost = Template(str(tmp_path / "{uri}.uem"), tmp_path / "database.yml")
    there = {key: value for key, value in FILES[1].items() if key != "annotated"}
    cache = cache_of(tmp_path)
    with pytest.warns(UserWarning, match="^b/second is left out: its annotated regions cannot be read: .*b/second.uem"):
        cache.fill([ProtocolFile(there, lazy={"annotated": lost}), FILES[0]])
    assert [example.uri for example in cache] == ["first@0.00"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("device", [None, torch.device("cpu")])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_broken_file_is_passed_over_with_a_warning(
    tmp_path: Path, num_workers: int, device: torch.device | None
) -> None:
    noise = torch.full((1, 16000), torch.nan)
    broken = [
        file_of("missing", 3.2, waveform=None, audio=str(tmp_path / "missing.wav")),
        file_of("silent", 3.2, waveform=noise),
        ProtocolFile({**FILES[0], "uri": "unlabelled"}, lazy={"annotation": unlabelled}),
    ]
    cache = cache_of(tmp_path)
    files = [broken[0], FILES[0], broken[1], broken[2], FILES[1]]
    with pytest.warns(UserWarning) as caught:
        cache.fill(files, num_workers=num_workers, device=device)
    messages = [str(warning.message) for warning in caught if "left out" in str(warning.message)]
    assert len(messages) == 3
    assert messages[0].startswith("missing is left out: There is no file")
    assert messages[1].startswith("silent is left out: 16000 of the 16000 samples")
    assert messages[2] == "unlabelled is left out: no labels here"
    assert [cache[k].uri for k in range(len(cache))] == ["first@0.00", "b/second@0.00"]
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("unknown", [set(), {"annotated"}])
def test_waveforms_are_forgotten_once_they_were_heard(tmp_path: Path, unknown: set[str]) -> None:
    waveform = FILES[0]["waveform"]
    described = {key: value for key, value in FILES[0].items() if key not in {"waveform", *unknown}}
    file = ProtocolFile(described, lazy={"waveform": lambda _: waveform})
    cache_of(tmp_path).fill([file])
    assert "waveform" in file.lazy and "waveform" not in abs(file)
    assert numbers(cache_of(tmp_path)[0].audio) == list(range(60))


def test_a_cache_of_nothing_is_an_error(tmp_path: Path) -> None:
    broken = file_of("missing", 3.2, waveform=None, audio=str(tmp_path / "missing.wav"))
    with pytest.raises(CacheError, match="none of 1 stretches of audio gave an example"):
        cache_of(tmp_path).fill([broken])


def test_a_cache_made_from_something_else_is_refused(tmp_path: Path) -> None:
    cache_of(tmp_path)
    cache_of(tmp_path, LoudnessFrontend())
    for other in (
        {"source": "other"},
        {"duration": 30.0},
        {"frontend": LoudnessFrontend(weight=2.0)},
        {"frontend": MelFrontend()},
    ):
        with pytest.raises(
            CacheError, match="was made from something else: .* was .* and is .*another folder or delete it"
        ):
            cache_of(tmp_path, **other)  # type: ignore[arg-type]


def test_weights_that_are_trained_do_not_matter_for_what_is_kept(tmp_path: Path) -> None:
    assert MelFrontend().fingerprint == MelFrontend().fingerprint
    newer = type("MelFrontend", (MelFrontend,), {"version": 9})()
    assert newer.fingerprint != MelFrontend().fingerprint
    cache = cache_of(tmp_path, MelFrontend())
    cache.fill(FILES[:1])
    content = cache[0].audio.content
    assert content.shape == (60, SAMPLES) and content[7].unique().tolist() == [7 / 256]
    assert cache[0].audio.voice.shape == (60, 0, 0)
