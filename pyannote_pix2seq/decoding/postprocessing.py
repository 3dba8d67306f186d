"""Post-processing of turns: padding, and filling of short pauses.

References differ in how tight their turns are, see `simulation.labels.Labels`; the turns of a model are as tight as the
labels that it was trained on, and can be made looser here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.joining import joined
from pyannote_pix2seq.vocabulary import FIRST_TIME, TOKENS_PER_TRIPLET, Vocabulary


class BinTurn(NamedTuple):
    """A turn in time bins.

    Attributes
    ----------
    start, end : int
        First and last bin.
    speaker : int
    confidence : float
        Mean over its parts, weighted by their bins.
    num_bins : int
        Number of bins that were decoded, without padding and filled pauses.
    """

    start: int
    end: int
    speaker: int
    confidence: float
    num_bins: int

    def joined(self, later: BinTurn) -> BinTurn:
        """Join with a later turn, filling the pause between them."""
        num_bins = self.num_bins + later.num_bins
        confidence = (self.confidence * self.num_bins + later.confidence * later.num_bins) / num_bins
        return BinTurn(self.start, max(self.end, later.end), self.speaker, confidence, num_bins)


def postprocess(
    vocabulary: Vocabulary,
    tokens: Sequence[int],
    confidence: Sequence[float],
    num_given: int,
    num_bins: int,
    options: DecodingOptions,
) -> tuple[list[int], list[float]]:
    """Pad turns, then fill the remaining short pauses of each speaker.

    Parameters
    ----------
    vocabulary : Vocabulary
    tokens : sequence of int
        Whole triplets.
    confidence : sequence of float
        Of each triplet.
    num_given : int
        Number of triplets at the start that belong to prompts: they are unchanged, and no turn is padded into them.
    num_bins : int
        Time bins of the audio.
    options : DecodingOptions
        Its `pad_onset`, `pad_offset` and `min_duration_off`.

    Returns
    -------
    tokens : list of int
        Whole triplets within the grammar, of the same speakers in order of first appearance.
    confidence : list of float
    """
    before, after = (round(pad / vocabulary.resolution) for pad in (options.pad_onset, options.pad_offset))
    longest = options.min_duration_off / vocabulary.resolution
    if not (before or after or longest):
        return list(tokens), list(confidence)
    given = TOKENS_PER_TRIPLET * num_given
    first = max(tokens[1:given:TOKENS_PER_TRIPLET], default=FIRST_TIME - 1) - FIRST_TIME + 1
    longer = (
        run._replace(start=min(max(run.start - before, first), run.start), end=min(run.end + after, num_bins - 1))
        for run in _runs(vocabulary, tokens[given:], confidence[num_given:])
    )
    runs = joined(longer, lambda one, other: other.start - one.end < max(longest, 1), BinTurn.joined)
    return write(vocabulary, list(tokens[:given]), list(confidence[:num_given]), runs)


def _runs(vocabulary: Vocabulary, tokens: Sequence[int], confidence: Sequence[float]) -> Iterator[BinTurn]:
    for (start, end, speaker), sure in zip(vocabulary.spans(tokens), confidence, strict=True):
        yield BinTurn(start, end, speaker, sure, end - start + 1)


def write(
    vocabulary: Vocabulary, tokens: list[int], confidence: list[float], runs: Iterable[BinTurn]
) -> tuple[list[int], list[float]]:
    """Append turns to the triplets of prompts; new speakers are named in order of first appearance.

    Parameters
    ----------
    vocabulary : Vocabulary
    tokens, confidence : list
        Those of the prompts; modified in place.
    runs : iterable of BinTurn
        In any order; speakers of prompts have the numbers of their prompts.

    Returns
    -------
    tokens : list of int
        Whole triplets.
    confidence : list of float
        Of each triplet.
    """
    names = {speaker: speaker for speaker in range(len(confidence))}
    for run in sorted(runs):
        name = names.setdefault(run.speaker, len(names))
        tokens += vocabulary.triplet(run.start, run.end, name)
        confidence.append(run.confidence)
    return tokens, confidence
