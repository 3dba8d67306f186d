"""The recipe that measures enrolment: what it keeps, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from toy import SAMPLE_RATE, annotation

from pyannote_pix2seq.annotation import survives_rttm
from pyannote_pix2seq.simulation.difficulty import DIFFICULTIES
from pyannote_pix2seq.simulation.store import write_voices


@pytest.fixture
def recipe(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("enrolment.py")


def noise(path: Path, seed: int) -> Path:
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, SAMPLE_RATE), SAMPLE_RATE)
    return path


def test_a_meeting_is_diarized_again_once_its_audio_or_that_of_the_enrolled_has_changed(
    recipe: ModuleType, tmp_path: Path, tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[dict[str, Path]] = []

    def diarize(audio: dict[str, Any], known: dict[str, Path]) -> SimpleNamespace:
        heard.append(known)
        return SimpleNamespace(speaker_diarization=annotation((0.0, len(heard), "ann"), uri=audio["uri"]))

    monkeypatch.setattr(recipe, "load_diarization", lambda pipeline, strategy: diarize)

    def found(meeting: int, ann: int, name: str = "ann") -> float:
        known = {name: noise(tmp_path / "ann.wav", ann)}
        there = recipe.Meeting(noise(tmp_path / "meeting.wav", meeting), known)
        return recipe.diarized(there, "chain", str(tiny_pipeline)).get_timeline().duration()

    assert [found(0, 1), found(0, 1)] == [1, 1]
    assert [found(2, 1), found(0, 2), found(0, 1, "bob")] == [2, 3, 4]
    assert [found(0, 1), found(2, 1)] == [1, 2]  # they were kept


@pytest.mark.parametrize("name", ["Meeting", "Easy"])
def test_conversations_have_the_difficulty_that_is_asked_for(recipe: ModuleType, tmp_path: Path, name: str) -> None:
    speech = [(f"v{number}", "toy", "dev", [np.full(10 * SAMPLE_RATE, 9, dtype=np.int16)] * 2) for number in range(5)]
    write_voices(tmp_path, speech)
    options = SimpleNamespace(voices=tmp_path, split="dev", noise=None, minutes=3, difficulty=name)
    for simulator in recipe.simulators(options):
        assert simulator.duration == 180.0
        assert simulator.acoustics.signal_to_noise == DIFFICULTIES[name].acoustics.signal_to_noise


def test_meetings_are_labelled_in_the_style_that_is_asked_for(recipe: ModuleType, tmp_path: Path) -> None:
    speech = [(f"v{number}", "toy", "dev", [np.full(10 * SAMPLE_RATE, 9, dtype=np.int16)] * 2) for number in range(5)]
    write_voices(tmp_path / "voices", speech)
    rest = {"voices": tmp_path / "voices", "split": "dev", "noise": None, "minutes": 3, "meetings": 1}
    last = {}
    for padding in (0.0, 0.08):
        options = SimpleNamespace(
            **rest, difficulty="Easy", into=tmp_path / str(padding), merge_pauses=0.0, padding=padding
        )
        (meeting,) = recipe.meetings(options, *recipe.simulators(options))
        last[padding] = max(meeting.reference.itersegments()).start
    assert last[0.0] - last[0.08] == pytest.approx(0.08)


def test_people_are_enrolled_under_their_labels_in_the_reference(recipe: ModuleType, tmp_path: Path) -> None:
    names = ("Ann Smith", "50%", "a/b", "NA", "v", "w")
    speech = [(name, "toy", "dev", [np.full(10 * SAMPLE_RATE, 9, dtype=np.int16)] * 2) for name in names]
    write_voices(tmp_path / "voices", speech)
    options = SimpleNamespace(
        voices=tmp_path / "voices", split="dev", noise=None, minutes=3, meetings=4, difficulty="Easy", into=tmp_path
    )
    options.merge_pauses = options.padding = 0.0
    known: dict[str, Path] = {}
    for meeting in recipe.meetings(options, *recipe.simulators(options)):
        assert {*meeting.known} <= {*meeting.reference.labels()}
        known |= meeting.known
    assert {*known} == {"Ann%20Smith", "50%25", "a/b", "%4EA", "v", "w"} and all(map(survives_rttm, known))
    assert all(soundfile.info(path).duration == recipe.SECONDS for path in known.values())


def test_nobody_of_a_meeting_is_in_the_crowd_around_it(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speech = [(f"v{number}", "toy", "dev", [np.full(10 * SAMPLE_RATE, 9, dtype=np.int16)] * 2) for number in range(9)]
    write_voices(tmp_path / "voices", speech)
    options = SimpleNamespace(
        voices=tmp_path / "voices", split="dev", noise=None, minutes=3, meetings=3, difficulty="Crowd", into=tmp_path
    )
    options.merge_pauses = options.padding = 0.0
    recorded: list[Any] = []
    monkeypatch.setattr(recipe, "record", lambda conversation, *_: recorded.append(conversation))
    monkeypatch.setattr(recipe, "enrolled", lambda *_: None)
    apart, together = recipe.simulators(options)
    assert len(list(recipe.meetings(options, apart, together))) == 3
    described = [together.describe(conversation.uri) for conversation in recorded]
    assert any({*before.scene.crowd} & {*now.voices} for before, now in zip(described, recorded, strict=True))
    for before, now in zip(described, recorded, strict=True):
        assert now.scene.crowd == tuple(voice for voice in before.scene.crowd if voice not in now.voices)
        assert (now.turns, now.scene.speeds) == (before.turns, before.scene.speeds)
