"""What is kept of people who are enrolled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pyannote_pix2seq.enrolment import Enrolment, EnrolmentError
from pyannote_pix2seq.frontends import AudioTokens, Frontend

SAMPLES = 2560
"""Of an audio token, 0.16 s."""


class Loud(Frontend):
    """What is loud is speech, and tokens are numbered by a second channel of the content."""

    content_dim, num_voices, voice_dim = 2, 2, 3
    frozen = True

    def forward(self, waveforms: Tensor) -> AudioTokens:
        num_tokens = self.num_tokens(waveforms.shape[-1])
        padded = torch.nn.functional.pad(waveforms[:, 0], (0, num_tokens * SAMPLES - waveforms.shape[-1]))
        loudness = padded.unflatten(1, (num_tokens, SAMPLES)).amax(-1)
        content = torch.stack([loudness, torch.arange(num_tokens).expand_as(loudness)], dim=-1)
        voice = torch.stack([torch.stack([loudness, 0 * loudness, 0 * loudness], -1), torch.ones(1, num_tokens, 3)], 2)
        return AudioTokens(content, voice)

    def speech(self, content: Tensor) -> Tensor:
        return content[..., 0]


def recording(*loudness: tuple[int, float]) -> dict[str, Any]:
    """(number of audio tokens, probability that they are speech) one after the other."""
    samples = np.concatenate([np.full(count * SAMPLES, value, dtype=np.float32) for count, value in loudness])
    return {"waveform": samples[None], "sample_rate": 16000, "uri": "alone"}


def enrol(recordings: Sequence[dict[str, Any]] | dict[str, Any]) -> Enrolment:
    return Enrolment.of({"ann": recordings}, Loud())


def test_the_clip_is_the_five_seconds_with_the_most_speech_and_the_voice_is_of_all_speech() -> None:
    (ann,) = enrol(recording((20, 0.4), (31, 0.9), (40, 0.6)))
    assert ann.clip.content[:, 1].tolist() == list(range(20, 51))
    assert ann.quality == pytest.approx(31 * 0.9 * 0.16) and ann.solo_duration == pytest.approx(71 * 0.16)
    torch.testing.assert_close(ann.voice, torch.tensor([31 * 0.9 + 40 * 0.6, 0.0, 0.0]))
    assert [field.untyped_storage().nbytes() for field in ann.clip] == [field.nbytes for field in ann.clip]


def test_every_second_of_long_recordings_counts_once() -> None:
    long, short = recording((188, 0.6), (188, 0.8), (6, 0.7)), recording((10, 0.9))  # pieces of 30.08 s
    (ann,) = enrol([long, short])
    assert ann.solo_duration == pytest.approx((188 + 188 + 6 + 10) * 0.16)
    torch.testing.assert_close(ann.voice, torch.tensor([188 * 0.6 + 188 * 0.8 + 6 * 0.7 + 10 * 0.9, 0.0, 0.0]))
    assert ann.quality == pytest.approx(31 * 0.8 * 0.16)  # of the best piece


def test_a_second_of_speech_is_needed() -> None:
    (ann,) = enrol([recording((3, 0.5), (9, 0.49)), recording((4, 0.5))])
    assert ann.solo_duration == pytest.approx(7 * 0.16)
    with pytest.raises(EnrolmentError, match=r"^0\.96 s of speech can be heard of ann; 1 s or more are needed"):
        enrol(recording((6, 1.0), (90, 0.49)))


def test_people_of_another_frontend_are_refused() -> None:
    (ann,) = people = enrol(recording((40, 0.9)))
    people.check(Loud())
    for other in (
        replace(ann, voice=torch.ones(4)),
        replace(ann, clip=AudioTokens(ann.clip.content, torch.ones(31, 1, 3))),
    ):
        with pytest.raises(EnrolmentError, match="ann was enrolled with audio tokens and .* Enrol again"):
            Enrolment([other]).check(Loud())
