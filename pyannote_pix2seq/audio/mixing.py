"""Mixing of channels, which may leave nothing to hear."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

CANCELLED = 0.02
"""Channels cancel each other out if their sum has less than this share of the sum of their energies, which is the
energy that the sum of independent channels has."""

CHOOSE = "Listen to one of them: 'channel': 0, or --channel 0; what is given to --known, enrol with --channel 0."


class Mixer:
    """Averages the channels of a recording, block by block, and tells whether they cancel each other out.

    Parameters
    ----------
    name : object
        What the warning calls the recording.
    way_out : str, optional
        What to do about channels that cancel each other out. Defaults to what helps where a channel can be chosen.
    """

    def __init__(self, name: object, way_out: str = CHOOSE):
        self._name, self._way_out = name, way_out
        self._before, self._after = 0.0, 0.0
        self._is_told = False

    def push(self, block: Tensor) -> Tensor:
        """Average the channels of a block: (channel, num_samples) -> (1, num_samples)."""
        mean = block.mean(dim=0, keepdim=True)
        self._before += _energy(block)
        self._after += _energy(mean) * len(block) ** 2
        return mean

    def check(self) -> None:
        """Warn, once, if the channels so far cancel each other out."""
        if self._after < CANCELLED * self._before and not self._is_told:
            self._is_told = True
            warnings.warn(
                f"{self._name}: its channels cancel each other out, as one does that is another upside down, and "
                f"little is left to hear in their mean. {self._way_out}",
                stacklevel=1,  # always this line, whoever calls, so that it is shown once
            )


def _energy(block: Tensor) -> float:
    return float(torch.linalg.vector_norm(block)) ** 2
