"""How many speakers a recording may have: numbers that are obeyed, and those that cannot be."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pipelines import recording, same, with_params
from pitched import RATE, make, talk

from pyannote_pix2seq.limits import SpeakerCountError, SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.pipeline import Pix2SeqDiarization


@pytest.mark.parametrize("num_speakers", [1, 2, 3, 4])
@pytest.mark.parametrize("seconds", [0.2, 3.0, 45.0])
def test_the_number_of_speakers_is_obeyed(pipeline: Pix2SeqDiarization, num_speakers: int, seconds: float) -> None:
    output = pipeline(recording(seconds), num_speakers=num_speakers)
    assert len(output.speaker_diarization.labels()) == num_speakers


@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam"])
@pytest.mark.parametrize(("least", "most"), [(None, 2), (3, None), (2, 3), (6, 9)])
def test_limits_are_obeyed_over_several_chunks(
    tiny_pipeline: Path, strategy: str, least: int | None, most: int | None
) -> None:
    pipeline = with_params(tiny_pipeline, chunk=2.0, decoding={"method": strategy, "max_turns": 10})
    output = pipeline(recording(11.0), min_speakers=least, max_speakers=most)
    assert (least or 0) <= len(output.speaker_diarization.labels()) <= (most or 99)


def test_a_recording_may_have_more_speakers_than_a_window(tiny_pipeline: Path) -> None:
    pipeline = with_params(tiny_pipeline, chunk=1.0, decoding={"max_turns": 8})
    with torch.no_grad():  # newcomers all the time
        pipeline.model.name.weight.zero_()
        pipeline.model.name.bias.copy_(torch.tensor([0.0, 5.0, 10.0, 15.0]))
        pipeline.model.stop.bias.fill_(-100.0)
    labels = pipeline(recording(12.0)).speaker_diarization.labels()
    assert len(labels) > 6
    assert len(pipeline(recording(12.0), max_speakers=6).speaker_diarization.labels()) == 6
    assert len(pipeline(recording(12.0), num_speakers=2).speaker_diarization.labels()) == 2


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64])
@pytest.mark.parametrize("strategy", ["chain", "two_pass"])
def test_numbers_of_numpy_are_obeyed_as_those_of_python(model: Pix2Seq, strategy: str, kind: type[np.integer]) -> None:
    pipeline, file = make(model, strategy), talk(13.0)
    for limits in ({"num_speakers": 2}, {"min_speakers": 1, "max_speakers": 3}):
        expected = pipeline(file, **limits)
        assert same(pipeline(file, **{name: kind(number) for name, number in limits.items()}), expected)
    assert pipeline.stream(RATE, min_speakers=kind(1)).push(file["waveform"])


@pytest.mark.parametrize("num_speakers", [1, 2, 4])
def test_the_number_is_obeyed_by_a_model_that_hears_one_voice_only(tiny_pipeline: Path, num_speakers: int) -> None:
    pipeline = with_params(tiny_pipeline, decoding={"max_turns": 5})
    with torch.no_grad():
        pipeline.model.name.weight.zero_()
        pipeline.model.name.bias.copy_(torch.tensor([100.0, 0.0, 0.0, 0.0]))
    labels = pipeline(recording(15.0), num_speakers=num_speakers).speaker_diarization.labels()
    assert len(labels) == num_speakers


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"num_speakers": 0}, "num_speakers=0 .*1 or more. Leave out what is not known, or"),
        ({"min_speakers": -1}, "1 or more"),
        ({"max_speakers": 0}, "max_speakers=0.*1 or more"),
        ({"max_speakers": -1}, "1 or more"),
        ({"num_speakers": 5}, "num_speakers=5.*at most 4 speakers"),
        ({"min_speakers": 5}, "at most 4 speakers"),
        ({"min_speakers": 3, "max_speakers": 2}, "min_speakers cannot be more than max_speakers"),
        ({"num_speakers": 2.5}, "whole number"),
    ],
)
def test_numbers_of_speakers_that_cannot_be_obeyed(
    pipeline: Pix2SeqDiarization, numbers: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpeakerCountError, match=message):
        pipeline(recording(1.0), **numbers)


def test_no_limits_are_what_they_are_to_pyannote_audio() -> None:
    assert SpeakerLimits.check(None, 0, math.inf) == SpeakerLimits.check(None, None, None)


def test_limits_that_contradict_each_other() -> None:
    for numbers in ((None, 3, 2), (2, 3, None), (3, None, 2)):
        with pytest.raises(SpeakerCountError, match="min_speakers cannot be more than max_speakers"):
            SpeakerLimits.check(*numbers)
    for number in (0, -1, 2.0, "2", True):
        with pytest.raises(SpeakerCountError, match=f"num_speakers={number!r} was asked for"):
            SpeakerLimits.check(number, None, None)  # type: ignore[arg-type]
    assert SpeakerLimits.check(3, 1, 5) == (3, 3) and SpeakerLimits.check(None, None, None) == (0, None)
