"""The ways of reading a recording, by their names, and what each of them finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # names are asked for before PyTorch is there
    from pyannote_pix2seq.output import Turn
    from pyannote_pix2seq.strategies.speakers import Speaker

STRATEGIES = ("chain", "two_pass")

ProgressCallback = Callable[[str, int, int], None]
"""Is told the name of a step, how much of it is done, and how much there is."""


class Diarization(NamedTuple):
    """What a strategy finds.

    Attributes
    ----------
    turns : list of Turn
    speakers : dict of int to Speaker
        By their numbers, see `speakers.numbered`; some may have no turn.
    """

    turns: list[Turn]
    speakers: dict[int, Speaker]
