"""Groups that are one person, by the chunks that have both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.stats import poisson

from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.output import Turn
from pyannote_pix2seq.strategies.assignment import assign_speakers
from pyannote_pix2seq.strategies.copresence import CHANCE, SHARED, reunite
from pyannote_pix2seq.strategies.reading import Part

Chunk = Sequence[tuple[int, int]]
"""Parts of a chunk: the speaker whom each was written for, and its group."""


def reunited(chunks: Sequence[Chunk], min_groups: int = 0, seconds: Sequence[float] = (3.0, 3.0, 3.0)) -> list[int]:
    """New group of each part; parts of a chunk have these seconds, 0.75 at most without overlap.

    Whoever they were told to since makes no difference.
    """
    parts, groups = [], []
    for number, chunk in enumerate(chunks):
        for (speaker, group), duration in zip(chunk, seconds, strict=False):
            turn = Turn(24.0 * number, 24.0 * number + duration, 7, 1.0)
            parts.append(Part(turn, torch.ones(1), min(duration, 0.75), (24.0 * number, speaker)))
            groups.append(group)
    return reunite(np.array(groups), parts, min_groups).tolist()


def meeting(num_apart: int, one: int, two: int, num_empty: int = 0) -> list[Chunk]:
    """Chunks that have group 0 or 1 alone, so many each, and both as one speaker or as two; others have group 2."""
    apart = [[(0, group)] for group in (0, 1)] * num_apart
    return [*apart, *[[(0, 0), (0, 1)]] * one, *[[(0, 0), (1, 1)]] * two, *[[(0, 2)]] * num_empty]


def test_halves_of_a_person_are_never_beside_each_other() -> None:
    """Two groups in 25 of 60 chunks each: 10.4 would have both, if each were anywhere."""
    chunks = meeting(22, one=3, two=0, num_empty=13)
    groups = [group for chunk in chunks for _, group in chunk]
    assert reunited(chunks) == [max(group - 1, 0) for group in groups]


@pytest.mark.parametrize(("one", "two", "number"), [(3, 0, 2), (2, 0, 3), (6, 5, 2), (5, 5, 3), (7, 6, 3)])
def test_more_chunks_must_have_one_speaker_than_two_and_these_be_few(one: int, two: int, number: int) -> None:
    """Two groups in 30 of 60 chunks each: 15 would have both, if each were anywhere."""
    chunks = meeting(30 - one - two, one, two, num_empty=one + two)
    assert len(chunks) == 60 and len(set(reunited(chunks))) == number
    assert (number == 2) == (one > two and poisson.cdf(two, 15) < CHANCE and one >= 15 * SHARED)


@pytest.mark.parametrize(("num_empty", "number"), [(14, 2), (15, 3)])
def test_chance_decides_where_many_chunks_have_neither(num_empty: int, number: int) -> None:
    """With n chunks, each group in 15, there are 225 / n chunks of both by chance: 5.3 must be surpassed."""
    assert CHANCE == pytest.approx(np.exp(-5.298), rel=1e-3)
    chunks = meeting(13, one=2, two=0, num_empty=num_empty)
    assert len(chunks) == 28 + num_empty and (225 / len(chunks) > 5.298) == (number == 2)
    assert len(set(reunited(chunks))) == number


@pytest.mark.parametrize(("num_apart", "number"), [(18, 2), (19, 3)])
def test_people_who_have_never_met_are_not_one_because_of_a_mistake(num_apart: int, number: int) -> None:
    """Two chunks are one speaker's; with no other chunks, 9.8 or 10.3 would have both, were they independent."""
    chunks = meeting(num_apart, one=2, two=0, num_empty=3)
    assert (2 >= SHARED * (num_apart + 2) ** 2 / len(chunks)) == (number == 2)
    assert len(set(reunited(chunks))) == number


def test_a_group_is_told_to_the_speaker_who_has_most_of_it_in_a_chunk() -> None:
    """In three chunks, the first speaker has a part of both groups, and the second one another of group 1."""
    chunks = [[(0, 0)], [(0, 1)]] * 22 + [[(0, 0), (0, 1), (1, 1)]] * 3
    assert set(reunited(chunks, seconds=(3.0, 3.0, 2.9))) == {0}
    assert set(reunited(chunks, seconds=(3.0, 3.0, 3.1))) == {0, 1}
    chunks = [[(0, 0)], [(0, 1)]] * 22 + [[(0, 0), (1, 1), (0, 1), (0, 1)]] * 3
    assert set(reunited(chunks, seconds=(3.0, 3.0, 1.6, 1.6))) == {0}  # several parts are summed
    assert set(reunited(chunks, seconds=(3.0, 3.0, 1.4, 1.4))) == {0, 1}


@pytest.mark.parametrize(("first", "second", "seconds", "number"), [(1, 0, 0.8, 2), (1, 1, 0.8, 1), (1, 1, 0.7, 2)])
def test_audible_parts_count_whichever_speaker_has_them(first: int, second: int, seconds: float, number: int) -> None:
    chunks = [*meeting(22, one=0, two=0), *[[(first, 0), (second, 1)]] * 3]
    assert len(set(reunited(chunks, seconds=(3.0, seconds)))) == number


def test_those_who_are_the_clearest_are_made_one_first() -> None:
    """Group 0 may be one with 1 or 2, and is one with 2: then 1 is beside them as often as the same."""
    chunks = [[(0, group)] for group in (0, 1, 2)] * 24
    chunks += [[(0, 0), (0, 1)]] * 3 + [[(0, 0), (1, 1)]] + [[(0, 0), (0, 2)]] * 3 + [[(0, 1), (1, 2)]] * 2
    assert reunited(chunks)[:3] == [0, 1, 0]
    assert set(reunited(chunks[:-5])[:2]) == {0}


def test_people_may_be_split_in_more_than_two() -> None:
    thirds = [[(0, group)] for group in (0, 1, 3)] * 20 + [[(0, 0), (0, 1)], [(4, 1), (4, 3)], [(0, 0), (0, 3)]] * 3
    others = [[(0, number % 4), (1, 2)] for number in (0, 1, 3) * 10]
    assert set(reunited(thirds + others)) == {0, 1}
    assert reunited(thirds + others)[-2:] == [0, 1]


@pytest.mark.parametrize(("min_groups", "number"), [(0, 1), (1, 1), (2, 2), (3, 2)])
def test_as_many_are_left_as_there_have_to_be(min_groups: int, number: int) -> None:
    assert len(set(reunited(meeting(22, one=3, two=0), min_groups))) == number


@pytest.mark.parametrize(("limits", "number"), [((0, None), 1), ((1, 2), 1), ((2, 2), 2), ((2, None), 2)])
def test_a_voice_that_changes_is_one_speaker_of_the_recording(limits: tuple[int, int | None], number: int) -> None:
    voices = torch.eye(2)
    parts = []
    for chunk in range(50):
        for index in (0, 1) if chunk in (25, 26, 27) else (int(chunk > 27),):
            turn = Turn(24.0 * chunk + 3 * index, 24.0 * chunk + 3 * index + 3, 0, 1.0)
            parts.append(Part(turn, 3 * voices[index], 3.0, (24.0 * chunk, 0)))
    assert len(set(assign_speakers(parts, 1200.0, SpeakerLimits(*limits)).tolist())) == number
