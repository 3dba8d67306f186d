"""Grammar of the token language, shared by decoding and training targets."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyannote_pix2seq.vocabulary import (
    FIRST_TIME,
    PAD,
    TOKENS_PER_TRIPLET,
    Vocabulary,
    VocabularyError,
)


def grammar(
    vocabulary: Vocabulary,
    tokens: Tensor,
    min_speakers: int = 0,
    max_speakers: int | None = None,
    num_bins: Tensor | None = None,
    last: bool = False,
) -> Tensor:
    """Tokens that are allowed after each prefix of `tokens`.

    Start, end and speaker alternate; an end is later than its start; starts never decrease; a new speaker always gets
    the next letter; turns of one speaker do not overlap; `<eos>` is allowed between triplets only, and not before
    `min_speakers` have spoken, unless the audio has fewer than two time bins; only padding follows it. At least one
    token is always allowed.

    Parameters
    ----------
    vocabulary : Vocabulary
    tokens : (batch, num_tokens) int64
        Sequences that obey the grammar, without the leading `<diarize>`.
    min_speakers, max_speakers : int, optional
        Minimum and maximum number of speakers. Default to any number that the vocabulary can name.
    num_bins : (batch,) int64, optional
        Number of time bins of the audio of each sequence. Defaults to the whole window.
    last : bool, optional
        Return the last position only.

    Returns
    -------
    allowed : (batch, num_tokens + 1, size) bool, or (batch, 1, size) if `last`
        `allowed[:, i]` is True for the tokens that are allowed at position `i`.

    Raises
    ------
    VocabularyError
        If the limits on the number of speakers contradict each other or the vocabulary.
    """
    max_speakers = vocabulary.num_speakers if max_speakers is None else max_speakers
    if not 0 <= min_speakers <= max_speakers <= vocabulary.num_speakers or max_speakers < 1:
        raise VocabularyError(
            f"min_speakers={min_speakers} and max_speakers={max_speakers} were asked for; allowed is "
            f"0 <= min_speakers <= max_speakers and 1 <= max_speakers <= {vocabulary.num_speakers}."
        )
    if num_bins is None:
        num_bins = torch.full((len(tokens),), vocabulary.num_bins, device=tokens.device)
    position = torch.arange(tokens.shape[1] + 1, device=tokens.device)
    finished = torch.nn.functional.pad((tokens < FIRST_TIME).cumsum(1) > 0, (1, 0))
    if last:
        position, finished = position[-1:], finished[:, -1:]
    state = _GrammarState.read(vocabulary, tokens, max_speakers).at(position // TOKENS_PER_TRIPLET)
    phase = position % TOKENS_PER_TRIPLET
    times = _allowed_times(vocabulary, state, phase, num_bins[:, None])
    speakers = _allowed_speakers(state, max_speakers) & (phase == 2)[:, None]
    may_stop = (state.known >= min_speakers) | ~times.any(-1)
    eos = (may_stop & (phase == 0))[..., None]
    allowed = torch.cat([torch.zeros_like(eos), eos, times, speakers], dim=-1)
    padding = torch.zeros(vocabulary.size, dtype=torch.bool, device=tokens.device)
    padding[PAD] = True
    return torch.where(finished[..., None], padding, allowed)


class _GrammarState(NamedTuple):
    """State of the grammar in each triplet, given the triplets before it."""

    start: Tensor
    """(batch, num_triplets) bin in which it starts; meaningless until its start is written"""
    earliest: Tensor
    """(batch, num_triplets) first bin in which it may start"""
    known: Tensor
    """(batch, num_triplets) number of speakers named before it"""
    busy_until: Tensor
    """(batch, num_triplets, num_speakers) last bin of the turns of each speaker before it"""

    @classmethod
    def read(cls, vocabulary: Vocabulary, tokens: Tensor, max_speakers: int) -> _GrammarState:
        batch, num_tokens = tokens.shape
        num_triplets = num_tokens // TOKENS_PER_TRIPLET + 1
        padding = TOKENS_PER_TRIPLET * num_triplets - num_tokens
        triplets = torch.nn.functional.pad(tokens, (0, padding)).view(batch, num_triplets, TOKENS_PER_TRIPLET)
        start, end = (triplets[..., :2] - FIRST_TIME).clamp(0, vocabulary.num_bins - 1).unbind(-1)
        letter = torch.arange(vocabulary.num_speakers, device=tokens.device)
        spoken = (triplets[..., 2] - vocabulary.first_speaker)[..., None] == letter
        known = _before((spoken * (letter + 1)).amax(-1))
        busy_until = _before(spoken * end[..., None])
        is_absent = letter >= known[..., None]
        free_at = busy_until.masked_fill(is_absent, vocabulary.num_bins).amin(-1)
        free_at = torch.where(known < max_speakers, 0, free_at)
        return cls(start, torch.maximum(_before(start), free_at), known, busy_until)

    def at(self, triplet: Tensor) -> _GrammarState:
        return _GrammarState(*(field[:, triplet] for field in self))


def _before(value: Tensor) -> Tensor:
    """Running maximum over the triplets before each one, (batch, num_triplets, ...)."""
    return torch.cat([torch.zeros_like(value[:, :1]), value[:, :-1].cummax(1).values], dim=1)


def _allowed_times(vocabulary: Vocabulary, state: _GrammarState, phase: Tensor, num_bins: Tensor) -> Tensor:
    """(batch, num_positions, num_bins) bool."""
    first = torch.where(phase == 0, state.earliest, state.start + 1)
    stop = torch.where(phase == 0, num_bins - 1, num_bins)
    stop = torch.where(phase == 2, 0, stop)
    time_bin = torch.arange(vocabulary.num_bins, device=phase.device)
    return (time_bin >= first[..., None]) & (time_bin < stop[..., None])


def _allowed_speakers(state: _GrammarState, max_speakers: int) -> Tensor:
    """(batch, num_positions, num_speakers) bool."""
    letter = torch.arange(state.busy_until.shape[-1], device=state.known.device)
    known = state.known[..., None]
    is_free = (letter < known) & (state.busy_until <= state.start[..., None])
    return is_free | ((letter == known) & (letter < max_speakers))
