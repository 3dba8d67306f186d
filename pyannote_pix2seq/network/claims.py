"""Voices of turns and of speakers, estimated outside of overlap.

In overlap, the voice of the audio is that of neither speaker. So the voice of a region is pooled mostly where there is
no earlier turn, and the voice of a speaker mostly where they alone speak according to the turns written so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pyannote_pix2seq.network.attention import by_recording
from pyannote_pix2seq.network.written import Written

SHARED = 0.01
"""Weight of audio that other turns cover as well: a turn within another one has no other audio."""
LEAST_FREE = 1e-3


@dataclass(frozen=True)
class Claims:
    """Audio that the written turns cover ("claim").

    Attributes
    ----------
    log_free : (batch, num_turns, num_audio_tokens)
        Logarithm of the share of each audio token that a turn does not cover.
    speakers : (batch, num_turns, num_speakers)
        1 for the speaker of a turn.
    """

    log_free: Tensor
    speakers: Tensor

    @classmethod
    def of(cls, written: Written, voice: Tensor, num_speakers: int) -> Claims:
        """Claims of the complete turns of written tokens on audio (num_recordings, num_audio_tokens, ...)."""
        free = 1 - coverage(written.turns, voice)
        speakers = F.one_hot(written.turn_speakers, num_speakers).to(free.dtype)
        return cls(free.clamp(min=LEAST_FREE).log(), speakers)

    def voices(self, tokens: Written, voice: Tensor) -> Tensor:
        """Voices of the regions of some written tokens.

        Parameters
        ----------
        tokens : Written
            (batch, num_tokens)
        voice : (num_recordings, num_audio_tokens, num_voices, voice_dim)

        Returns
        -------
        voices : (batch, num_tokens, num_voices, voice_dim)
            Unit vectors.
        """
        free = (self._earlier(tokens) @ self.log_free).exp()
        weights = coverage(tokens.regions, voice) * (free + SHARED)
        return F.normalize(_weighted(weights, voice), dim=-1)

    def similarities(self, tokens: Written, voices: Tensor, voice: Tensor) -> Tensor:
        """Similarities of the voices of some turns to those of the speakers named before.

        Parameters
        ----------
        tokens : Written
            (batch, num_tokens)
        voices : (batch, num_tokens, num_voices, voice_dim)
            What `voices` returned for them.
        voice : (num_recordings, num_audio_tokens, num_voices, voice_dim)
            The first voice of a token is that of a speaker who is active alone.

        Returns
        -------
        similarities : (batch, num_tokens, num_speakers, num_voices + 1)
            Cosine of each voice and that of a speaker, then 1; all zeros for speakers who have not been named.
        """
        earlier = self._earlier(tokens)
        log_free = torch.einsum("pm,bms,bmt->bpst", earlier, self.speakers, self.log_free)
        # (batch, num_tokens, num_speakers, num_audio_tokens)
        free_of_others = (log_free.sum(dim=2, keepdim=True) - log_free).exp()
        free_of_this = 1 - coverage(tokens.regions, voice).unsqueeze(2)
        weights = (1 - log_free.exp()) * (free_of_others * free_of_this + SHARED)
        speakers = F.normalize(_weighted(weights, voice[:, :, :1]), dim=-1)
        cosines = torch.einsum("bpvd,bpsud->bpsv", voices, speakers)
        named = (earlier @ self.speakers).clamp(max=1).unsqueeze(-1)
        return torch.cat([cosines, named.to(cosines.dtype)], dim=-1)

    def _earlier(self, tokens: Written) -> Tensor:
        """1 for the turns that were written before that of each token: (num_tokens, num_turns)."""
        turns = torch.arange(self.log_free.shape[1], device=self.log_free.device)
        return (turns < tokens.rank[:, None]).to(self.log_free.dtype)


def _weighted(weights: Tensor, voice: Tensor) -> Tensor:
    """Weighted sums of voices: (batch, ..., num_audio_tokens) -> (batch, ..., num_voices, voice_dim)."""
    sums = by_recording(weights.flatten(1, -2), voice) @ voice.flatten(2)
    # (R, all positions, T) x (R, T, V * D)
    return sums.view(*weights.shape[:-1], *voice.shape[2:])


def coverage(regions: Tensor, voice: Tensor) -> Tensor:
    """Share of each audio token that lies in each region.

    Parameters
    ----------
    regions : (batch, num_regions, 2)
        Start and end, in audio tokens.
    voice : (num_recordings, num_audio_tokens, ...)

    Returns
    -------
    coverage : (batch, num_regions, num_audio_tokens)
    """
    index = torch.arange(voice.shape[1], device=voice.device)
    start, end = regions[..., :1], regions[..., 1:]
    return (torch.minimum(end, index + 1) - torch.maximum(start, index)).clamp(min=0).to(voice.dtype)
