"""Names of the strategies that read a recording, and the result that each of them returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # command lines import STRATEGIES, and must not import PyTorch for it
    from pyannote_pix2seq.output import Turn
    from pyannote_pix2seq.strategies.speakers import Speaker

STRATEGIES = ("chain", "two_pass")

ProgressCallback = Callable[[str, int, int], None]
"""Called with the name of a step, how much of it is done, and how much there is in all."""


class Diarization(NamedTuple):
    """Result of a strategy.

    Attributes
    ----------
    turns : list of Turn
    speakers : dict of int to Speaker
        Speakers by number, see `speakers.numbered`; some may have no turn.
    """

    turns: list[Turn]
    speakers: dict[int, Speaker]
