"""What strategies that read a recording have in common: their names, how they report progress, and their result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # command lines import STRATEGIES, and must not import PyTorch for it
    from pyannote_pix2seq.output import Turn
    from pyannote_pix2seq.strategies.chunks import Chunk
    from pyannote_pix2seq.strategies.speakers import Speaker

STRATEGIES = ("chain", "two_pass")

ProgressCallback = Callable[[str, int, int], None]
"""Called with the name of a step, how much of it is done, and how much there is in all."""


def reported(chunks: Iterable[Chunk], num_chunks: int, step: str, report: ProgressCallback) -> Iterator[Chunk]:
    """Chunks of a recording, each of which is reported when the next one is asked for.

    There may be more or fewer than `num_chunks`, which is what the file's header implied.
    """
    report(step, 0, num_chunks)
    for done, chunk in enumerate(chunks, 1):
        yield chunk
        report(step, done, done if chunk.is_last else max(num_chunks, done + 1))


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
