"""Chunks that were listened to."""

from __future__ import annotations

import pytest
import torch
from pyannote.core import Segment

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.output import Turn
from pyannote_pix2seq.reading import Reading


@pytest.mark.parametrize("is_kept", [False, True])
def test_clips_are_parts_of_audio_that_is_kept_and_copies_of_other(is_kept: bool) -> None:
    audio = AudioTokens(torch.rand(188, 28).half(), torch.rand(188, 3, 192).half())
    reading = Reading(audio, 0.16, 24.0, Segment(27, 51), is_kept)
    reading.tell([Turn(26.0, 30.0, 0, 0.9)])
    clip = reading.speakers[0].clip
    assert torch.equal(clip.single().content, audio.content[13:37].float())
    assert (clip.content.untyped_storage().data_ptr() == audio.content.untyped_storage().data_ptr()) == is_kept
