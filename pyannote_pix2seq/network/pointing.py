"""Pointing at time bins: where turns start and end."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from pyannote_pix2seq.network.attention import VOICE_GAIN, by_recording, voice_products
from pyannote_pix2seq.network.rotary import Rotary, rotate
from pyannote_pix2seq.network.written import START_ROLE, Written

REACH = 15
"""Audio tokens around a bin in which a voice is compared: the kernel size of a convolution."""
RATE = -4.0
"""Initial logit of the hazard of a bin: one event in about two seconds."""


class Pointing(nn.Module):
    """Distribution of the next start, or of the end of a turn, over time bins.

    Each bin from the start of the turn on gets a hazard: the probability that the event happens in this bin if it has
    not happened before. The probability of a bin is its hazard times the probability that the event did not happen in
    any earlier bin (discrete-time survival analysis, Cox 1972), so that a later pause cannot outbid the first one by
    being clearer. Hazards come from scalar products of the state and keys of the bins (Vinyals et al., "Pointer
    Networks", arXiv 1506.03134), rotated by their times; those of ends also depend on where in the audio the voice of
    the turn's onset occurs.

    Parameters
    ----------
    width : int
        Size of the states.
    bins_per_token : int
    num_voices : int
        Number of voices of a position.
    """

    def __init__(self, width: int, bins_per_token: int, num_voices: int):
        super().__init__()
        self.width = width
        self.bins_per_token = bins_per_token
        self.key = nn.Linear(width, bins_per_token * width)
        self.query = nn.Linear(width, width)
        self.rate = nn.Linear(width, 1)
        nn.init.constant_(self.rate.bias, RATE)
        self.rotary = Rotary(width)
        self.voice = nn.Conv1d(num_voices**2, bins_per_token, REACH, padding="same") if num_voices else None
        if self.voice is not None:
            nn.init.zeros_(self.voice.weight)

    def keys(self, state: Tensor) -> Tensor:
        """Keys of all time bins, (batch, num_bins, width), from the states of audio tokens."""
        keys = self.key(state).view(len(state), -1, self.width)
        time = (torch.arange(keys.shape[1], device=keys.device) + 0.5) / self.bins_per_token
        return rotate(keys, self.rotary(time).to(keys.dtype))

    def forward(
        self, state: Tensor, time: Tensor, written: Written, keys: Tensor, voices: tuple[Tensor, Tensor], real: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the next event over time bins.

        Parameters
        ----------
        state : (batch, num_tokens, width)
            States of written positions.
        time : (batch, num_tokens)
            Their times, in audio tokens.
        written : Written
            Their tokens.
        keys : (num_recordings, num_bins, width)
        voices : pair of (..., num_voices, voice_dim)
            Of written positions, (batch, num_tokens, ...), and of audio, (num_recordings, num_audio_tokens, ...).
        real : (num_recordings, num_audio_tokens) bool
            False for padding.

        Returns
        -------
        scores : (batch, num_tokens, num_bins)
            Logarithm of the probability that the event happens in each bin, minus infinity for padding. Before
            `written.starts`, where the grammar allows no event, the values are not probabilities.
        never : (batch, num_tokens, 1)
            Logarithm of the probability that it does not happen at all.
        """
        query = rotate(self.query(state), self.rotary(time).to(state.dtype))
        products = by_recording(query, keys) @ keys.transpose(1, 2)
        # (R, all P, W) x (R, W, num_bins) -> (R, all P, num_bins)
        hazard = (products.view(*query.shape[:2], -1) / self.width**0.5 + self.rate(state)).float()
        if self.voice is not None:
            hazard = self._attend_to_voice(hazard, written.role == START_ROLE, *voices)
        real = real.repeat_interleave(len(state) // len(real), dim=0)
        exists = real.repeat_interleave(self.bins_per_token, dim=1)[:, None]
        index = torch.arange(hazard.shape[-1], device=hazard.device)
        counts = exists & (index >= written.starts[..., None])
        passed = torch.where(counts, F.logsigmoid(-hazard), 0).cumsum(-1)
        return (hazard + passed).masked_fill(~exists, -torch.inf), passed[..., -1:]

    def _attend_to_voice(self, hazard: Tensor, is_start: Tensor, voice: Tensor, audio: Tensor) -> Tensor:
        """Add to the hazard of ends a term from the similarity of the audio to the voice of each turn's onset."""
        assert self.voice is not None
        starts = voice[:, is_start]
        by_voice = voice_products(by_recording(starts, audio), audio)
        # (num_recordings, num_voices ** 2, num_starts of all sequences, num_audio_tokens)
        logits = self.voice(VOICE_GAIN * by_voice.transpose(1, 2).flatten(0, 1)).unflatten(0, starts.shape[:2])
        # (batch, num_starts, bins_per_token, num_audio_tokens)
        index = is_start.nonzero()[:, 0]
        return hazard.index_add(1, index, logits.transpose(2, 3).flatten(2).to(hazard.dtype))
