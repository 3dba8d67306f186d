"""Styles of labels, and where they are written down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyannote.database.protocol import SpeakerDiarizationProtocol
from toy import write_toy_voices

from pyannote_pix2seq.frontends import MelFrontend
from pyannote_pix2seq.protocol import SyntheticProtocol, origin
from pyannote_pix2seq.simulation import Acoustics, PlainTurns, Simulator, Voices
from pyannote_pix2seq.simulation.labels import HEARD, Labels, LabelsError
from pyannote_pix2seq.training.examples import CacheError, ExampleCache
from pyannote_pix2seq.vocabulary import Triplet

TURNS = [Triplet(1.0, 2.0, 0), Triplet(1.5, 3.0, 1), Triplet(2.2, 3.0, 0), Triplet(9.0, 9.95, 0)]


def test_labels_are_what_is_heard_in_whole_milliseconds() -> None:
    assert HEARD == Labels() and HEARD.apply(TURNS, 10.0) == TURNS
    assert HEARD.apply([Triplet(0.12345, 3.98765, 0)], 10.0) == [Triplet(0.123, 3.988, 0)]
    assert HEARD.apply([Triplet(1.0, 1.5006, 0)], 1.5006) == [Triplet(1.0, 1.5, 0)]
    assert HEARD.apply([], 10.0) == []


def test_pauses_that_are_shorter_are_merged_and_others_are_not() -> None:
    joined = [Triplet(1.0, 3.0, 0), Triplet(1.5, 3.0, 1), Triplet(9.0, 9.95, 0)]
    assert Labels(merge_pauses=0.21).apply(TURNS, 10.0) == joined
    assert Labels(merge_pauses=0.19).apply(TURNS, 10.0) == TURNS
    assert Labels(merge_pauses=0.5).apply([Triplet(0, 1, 0), Triplet(1.5, 2, 0)], 2) == [(0, 1, 0), (1.5, 2, 0)]


def test_loose_labels_are_longer_and_stay_in_the_recording() -> None:
    assert Labels(padding=0.1).apply(TURNS, 10.0) == [
        Triplet(0.9, 2.1, 0),
        Triplet(1.4, 3.1, 1),
        Triplet(2.1, 3.1, 0),
        Triplet(8.9, 10.0, 0),
    ]
    assert Labels(padding=0.2).apply(TURNS, 10.0)[0] == Triplet(0.8, 3.2, 0)
    assert Labels(padding=60).apply(TURNS, 10.0) == [Triplet(0.0, 10.0, 0), Triplet(0.0, 10.0, 1)]


def test_pauses_are_as_long_as_they_are_heard() -> None:
    """A pause of 0.2 s is not shorter than 0.15 s because the labels around it are loose."""
    assert len(Labels(merge_pauses=0.15, padding=0.05).apply(TURNS, 10.0)) == len(TURNS)
    assert len(Labels(merge_pauses=0.25, padding=-0.3).apply(TURNS, 10.0)) == len(TURNS) - 1


def test_tight_labels_are_shorter_but_leave_something_of_each_turn() -> None:
    short = [Triplet(1.0, 2.0, 0), Triplet(3.0, 3.3, 1), Triplet(4.0, 4.05, 1)]
    assert Labels(padding=-0.1).apply(short, 5.0) == [(1.1, 1.9, 0), (3.1, 3.2, 1), (4.0, 4.05, 1)]
    assert Labels(padding=-9).apply(short, 5.0) == [(1.45, 1.55, 0), (3.1, 3.2, 1), (4.0, 4.05, 1)]


@given(
    seed=st.integers(0, 10_000),
    merge_pauses=st.sampled_from([0.0, 0.25, 2.0]),
    padding=st.floats(-2.0, 2.0, allow_subnormal=False),
)
def test_labels_are_always_well_formed(seed: int, merge_pauses: float, padding: float) -> None:
    turns = PlainTurns(max_speakers=3).draw(np.random.default_rng(seed), 20.0)
    labels = Labels(merge_pauses, padding).apply(turns, 20.0)
    assert labels == sorted(labels)
    assert {label.speaker for label in labels} == {turn.speaker for turn in turns}
    for label in labels:
        assert 0 <= label.start < label.end <= 20
        assert [round(time, 3) for time in label[:2]] == list(label[:2])
    for speaker in {label.speaker for label in labels}:
        own = [label for label in labels if label.speaker == speaker]
        assert all(before.end <= after.start for before, after in zip(own, own[1:], strict=False))
    is_inside = [any(_within(a, b) for b in labels) for a in turns] if padding >= 0 else []
    assert all(is_inside)


def _within(turn: Triplet, label: Triplet) -> bool:
    """Up to half a millisecond: labels are rounded."""
    return turn.speaker == label.speaker and label.start <= turn.start + 5e-4 and turn.end - 5e-4 <= label.end


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"merge_pauses": -0.1}, "merge_pauses=-0.1 was given; it has to be a number of seconds, 0 or more"),
        ({"merge_pauses": float("nan")}, "merge_pauses=nan"),
        ({"merge_pauses": float("inf")}, "merge_pauses=inf"),
        ({"merge_pauses": "a"}, "merge_pauses='a'"),
        ({"padding": float("inf")}, "padding=inf was given; it has to be a number of seconds"),
        ({"padding": True}, "padding=True"),
    ],
)
def test_what_is_no_style_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(LabelsError, match=f"^Labels: {message}"):
        Labels(**options)


def test_unknown_options_are_named() -> None:
    with pytest.raises(TypeError, match="'collar'"):
        Labels(collar=0.25)  # type: ignore[call-arg]


@pytest.fixture
def simulator(tmp_path: Path) -> Simulator:
    voices = Voices(write_toy_voices(tmp_path / "voices"), "train")
    turns = PlainTurns(max_seconds=1.5, interrupt_max=0.0, silence_max=0.4, max_speakers=1)
    return Simulator(voices, turns, Acoustics.none(), duration=6.0)


def test_files_say_how_they_are_labelled_and_sound_the_same(simulator: Simulator) -> None:
    heard, merged = (
        SyntheticProtocol("Toy", simulator, simulator, labels=labels).file("train", 0)
        for labels in (HEARD, Labels(merge_pauses=0.5))
    )
    assert (heard["labels"], merged["labels"]) == ("merge_pauses=0,padding=0", "merge_pauses=0.5,padding=0")
    assert len(heard["annotation"]) > len(merged["annotation"]) == 1
    assert heard["waveform"].equal(merged["waveform"])


def test_examples_that_were_labelled_otherwise_are_refused(simulator: Simulator, tmp_path: Path) -> None:
    heard, loose = (
        SyntheticProtocol("Toy", simulator, simulator, labels=labels, num_train=1)
        for labels in (HEARD, Labels(padding=0.2))
    )
    assert re.fullmatch(r"Synthetic.SpeakerDiarization.Toy, files \w{16}", origin(heard, "train"))
    assert "Toy, labels merge_pauses=0,padding=0.2, files" in origin(loose, "train")
    frontend = MelFrontend()
    ExampleCache(tmp_path / "cache", frontend, origin(heard, "train"), 6.0)
    ExampleCache(tmp_path / "cache", frontend, origin(heard, "train"), 6.0)
    with pytest.raises(CacheError, match="padding=0.2"):
        ExampleCache(tmp_path / "cache", frontend, origin(loose, "train"), 6.0)


def test_a_protocol_of_recordings_is_known_by_its_name_and_style() -> None:
    """What each of them is annotated with is compared one by one, by `ExampleCache`."""

    class Corpus(SpeakerDiarizationProtocol):
        name = "My.SpeakerDiarization.Corpus"

        def train_iter(self) -> Iterator[dict[str, Any]]:
            yield {"uri": "first"}

    class Rendered(Corpus):
        def train_iter(self) -> Iterator[dict[str, Any]]:
            yield {"uri": "first", "labels": "merge_pauses=0.5,padding=0"}

    assert origin(Corpus(), "train") == "My.SpeakerDiarization.Corpus"
    assert origin(Rendered(), "train") == "My.SpeakerDiarization.Corpus, labels merge_pauses=0.5,padding=0"


def test_a_protocol_is_known_by_its_first_files(simulator: Simulator) -> None:
    """By their turns, their voices and how they sound."""
    turns, voices, acoustics = simulator.turns, simulator.voices, simulator.acoustics
    others = [
        Simulator(voices, PlainTurns(max_seconds=4.0), acoustics, duration=simulator.duration),
        Simulator(voices, turns, Acoustics(), duration=simulator.duration),
    ]
    protocols = [SyntheticProtocol("Toy", other, simulator, num_train=9) for other in (simulator, simulator, *others)]
    first, again, *different = (origin(protocol, "train") for protocol in protocols)
    assert first == again and len({first, *different}) == 3
    assert origin(protocols[0], "train") != origin(protocols[0], "development")
    assert len({origin(protocol, "development") for protocol in protocols}) == 1
