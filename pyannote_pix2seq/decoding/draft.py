"""Partial sequences during decoding."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyannote_pix2seq.network.context import Context
from pyannote_pix2seq.vocabulary import FIRST_TIME

FINISHED = 0.25
"""Finished sequences are put aside once they are more than this share of the sequences of every recording."""

Row = tuple[list[int], list[float], float]
"""Tokens of a sequence, their probabilities and its log-probability."""


class Draft(NamedTuple):
    """Partial sequences, `width` of them for each recording, best first."""

    context: Context
    tokens: Tensor
    """(num_drafts, num_tokens) int64"""
    mass: Tensor
    """(num_drafts, num_tokens) probability of each token, neighbouring time bins included; that of a start which only
    limits demand, times the probability of going on"""
    log_prob: Tensor
    """(num_drafts,)"""
    num_bins: Tensor
    """(num_drafts,)"""
    number: Tensor
    """(num_drafts,) index of each draft among the initial ones"""

    @classmethod
    def begin(cls, context: Context, given: Tensor, num_bins: Tensor, width: int) -> Draft:
        """Begin with given tokens, (num_recordings, num_tokens), all but the last of which the context has.

        All but the first draft of each recording have probability zero, because they are identical to it.
        """
        context = context.repeat(width)
        log_prob = torch.full((len(num_bins), width), -torch.inf, device=num_bins.device)
        log_prob[:, 0] = 0
        tokens = given.repeat_interleave(width, 0)
        number = torch.arange(len(tokens), device=num_bins.device)
        mass = torch.ones_like(tokens, dtype=torch.float)
        return cls(context, tokens, mass, log_prob.flatten(), num_bins.repeat_interleave(width), number)

    def select(self, parent: Tensor) -> Draft:
        """Replace each draft by its parent."""
        if torch.equal(parent, torch.arange(len(self.tokens), device=parent.device)):
            return self
        return Draft(self.context.reorder(parent), *(field[parent] for field in self[1:]))

    def append(self, token: Tensor, log_prob: Tensor, mass: Tensor) -> Draft:
        """Append a token to each draft."""
        tokens = torch.cat([self.tokens, token[:, None]], dim=1)
        masses = torch.cat([self.mass, mass[:, None]], dim=1)
        return self._replace(tokens=tokens, mass=masses, log_prob=log_prob)

    def without_finished(self) -> tuple[Draft, dict[int, Row]]:
        """Put finished drafts aside, if there are many: the same number for each recording of the context."""
        is_finished = (self.tokens[:, -1] < FIRST_TIME).view(len(self.context.voice), -1)
        num_finished = int(is_finished.sum(1).min())
        if num_finished <= FINISHED * is_finished.shape[1]:
            return self, {}
        order = is_finished.int().argsort(dim=1, descending=True, stable=True)
        order += is_finished.shape[1] * torch.arange(len(order), device=order.device)[:, None]
        aside, kept = order.split([num_finished, order.shape[1] - num_finished], dim=1)
        return self.select(kept.flatten()), self._rows(aside.flatten())

    def best(self, width: int) -> dict[int, Row]:
        """The first draft of each recording, by the index of the recording."""
        rows = self._rows(slice(None, None, width))
        return {number // width: row for number, row in rows.items()}

    def _rows(self, index: Tensor | slice) -> dict[int, Row]:
        """Rows of some drafts, by their numbers."""
        fields = (self.tokens, self.mass, self.log_prob)
        rows = zip(*(field[index].tolist() for field in fields), strict=True)
        return dict(zip(self.number[index].tolist(), rows, strict=True))
