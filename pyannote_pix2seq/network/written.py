"""Interpretation of written tokens: their roles, the regions of audio that they refer to, and their speakers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyannote_pix2seq.vocabulary import FIRST_TIME, TOKENS_PER_TRIPLET, Vocabulary

ONSET = 4.0
"""Length of the region that a start token refers to, from the start on, in audio tokens."""
DIARIZE_ROLE, START_ROLE, END_ROLE, SPEAKER_ROLE = range(TOKENS_PER_TRIPLET + 1)


@dataclass(frozen=True)
class Written:
    """Interpreted tokens.

    Attributes
    ----------
    role : (num_tokens,) int64
        Whether a token is `<diarize>`, a start, an end or a speaker.
    rank : (num_tokens,) int64
        Index of the triplet that a token belongs to.
    regions : (batch, num_tokens, 2)
        Start and end, in audio tokens: of the onset for a start, of the whole turn for an end and a speaker.
    starts : (batch, num_tokens) int64
        First bin of the turn that a token belongs to; 0 for `<diarize>`.
    speakers : (batch, num_tokens) int64
        Number of the speaker; meaningful for speaker tokens only.
    """

    role: Tensor
    rank: Tensor
    regions: Tensor
    starts: Tensor
    speakers: Tensor

    @classmethod
    def read(cls, tokens: Tensor, vocabulary: Vocabulary, bins_per_token: int) -> Written:
        """Interpret tokens (batch, num_tokens), the first of which is `<diarize>`."""
        position = torch.arange(tokens.shape[1], device=tokens.device)
        role = torch.where(position == 0, DIARIZE_ROLE, (position - 1) % TOKENS_PER_TRIPLET + 1)
        first = position - (role - 1).clamp(min=0)
        bins = (tokens - FIRST_TIME).clamp(0, vocabulary.num_bins - 1)
        start, second = bins[:, first], bins[:, (first + 1).clamp(max=tokens.shape[1] - 1)]
        end = torch.where(role > START_ROLE, second + 0.5, start + 0.5 + ONSET * bins_per_token)
        regions = torch.stack([start + 0.5, end], dim=-1) / bins_per_token
        speakers = (tokens - vocabulary.first_speaker).clamp(0, vocabulary.num_speakers - 1)
        rank = (position - 1).clamp(min=0) // TOKENS_PER_TRIPLET
        return cls(role, rank, regions, start, speakers)

    @property
    def turns(self) -> Tensor:
        """Regions of the complete turns: (batch, num_turns, 2)."""
        return self.regions[:, TOKENS_PER_TRIPLET::TOKENS_PER_TRIPLET]

    @property
    def turn_speakers(self) -> Tensor:
        """Speakers of the complete turns: (batch, num_turns)."""
        return self.speakers[:, TOKENS_PER_TRIPLET::TOKENS_PER_TRIPLET]

    def at(self, where: slice | Tensor) -> Written:
        """Select tokens; `turns` and `turn_speakers` of the result are meaningless."""
        of_sequences = (field[:, where] for field in (self.regions, self.starts, self.speakers))
        return Written(self.role[where], self.rank[where], *of_sequences)
