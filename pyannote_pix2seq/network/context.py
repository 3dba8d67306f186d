"""What a model has read and written so far."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pyannote_pix2seq.network.transformer import Cache


@dataclass(frozen=True)
class Context:
    """Audio that the model has read, and tokens that it has written so far.

    Attributes
    ----------
    cache : Cache
        Keys and values of audio and written positions.
    pointers : (num_recordings, num_bins, width)
        One key for each time bin of the audio, see `Pointing`.
    activity : (num_recordings, num_bins, num_speakers)
        Logits of the auxiliary frame head: whether a speaker, in order of arrival, is active in a time bin.
    content : (num_recordings, num_audio_tokens + 1, content_dim)
        Running sum of the audio tokens' content, from which the mean over any region is computed.
    written : (batch, num_written) int64
        Tokens written so far, `<diarize>` included: the same number of sequences for each recording, those of the
        first recording first.
    """

    cache: Cache
    pointers: Tensor
    activity: Tensor
    content: Tensor
    written: Tensor

    @property
    def voice(self) -> Tensor:
        """(num_recordings, num_audio_tokens, num_voices, voice_dim)"""
        return self.cache.heard_voice

    def reorder(self, index: Tensor) -> Context:
        """Select, repeat or reorder the sequences; each recording must keep the same number of them."""
        return replace(self, cache=self.cache.reorder(index), written=self.written[index])

    def repeat(self, count: int) -> Context:
        """Replace each sequence by `count` copies; the cache of the audio is shared, not copied."""
        index = torch.arange(len(self.written), device=self.written.device)
        return self.reorder(index.repeat_interleave(count))
