"""How far apart voices are, as far as the chunks of a recording know."""

from __future__ import annotations

import numpy as np
import pytest

from pyannote_pix2seq.strategies.clustering import cluster
from pyannote_pix2seq.strategies.separation import separated


def apart(near: float, far: float, num_each: int = 3) -> np.ndarray:
    """Distances of the voices of two people: `near` for one person, `far` for two."""
    whose = np.repeat([0, 1], num_each)
    distances = np.where(whose[:, None] == whose, near, far)
    np.fill_diagonal(distances, 0)
    return distances


def one_chunk_each(num_voices: int) -> np.ndarray:
    """Voices of which each has a chunk of its own, so that nothing is known of them."""
    return np.stack([np.arange(num_voices), np.zeros(num_voices, dtype=int)], axis=1)


def clustered(distances: np.ndarray, written: np.ndarray | list[list[int]]) -> list[list[int]]:
    corrected, distance = separated(distances, np.asarray(written))
    return [group.tolist() for group in cluster(corrected, np.full(len(distances), 2.0), distance, shortest=1.0)]


def test_who_was_heard_beside_somebody_is_not_as_easily_the_same() -> None:
    """Two ways to sound, 0.4 apart: one person, unless six of nine pairs are two speakers of a chunk."""
    distances = apart(0.0, 0.4)
    beside = [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [3, 1]]  # two pairs
    often = [[0, 0], [0, 0], [2, 0], [0, 1], [0, 1], [0, 1]]  # six
    assert clustered(distances, one_chunk_each(6)) == [[0, 1, 2, 3, 4, 5]]
    assert clustered(distances, beside) == [[0, 1, 2, 3, 4, 5]]
    assert clustered(distances, often) == [[0, 1, 2], [3, 4, 5]]


def test_only_voices_that_were_written_for_two_speakers_of_one_chunk_are_farther_apart() -> None:
    written = np.array([[0, 0], [0, 0], [0, 1], [30, 0], [30, 1], [60, 1]])
    before = apart(0.1, 0.4)
    after, distance = separated(before, written)
    expected = before.copy()
    for first, second in ((0, 2), (1, 2), (3, 4)):
        expected[first, second] += 0.2
        expected[second, first] += 0.2
    np.testing.assert_array_equal(after, expected)
    np.testing.assert_array_equal(before, apart(0.1, 0.4))
    assert distance == 0.45


def chunks(num_chunks: int) -> np.ndarray:
    """Voices of two speakers in each chunk, each with two voices; the first person's come before the second's."""
    return np.array([[chunk, speaker] for speaker in (0, 1) for chunk in range(num_chunks) for _ in range(2)])


@pytest.mark.parametrize(
    ("near", "far", "expected"),
    [(0.1, 0.5, 0.3), (0.06, 0.32, 0.25), (0.02, 0.4, 0.25), (0.2, 0.8, 0.45)],
)
def test_groups_are_one_speaker_up_to_halfway_between_pairs_of_one_and_of_two(
    near: float, far: float, expected: float
) -> None:
    assert separated(apart(near, far, 20), chunks(10))[1] == pytest.approx(expected)


@pytest.mark.parametrize(("num_chunks", "expected"), [(9, 0.45), (10, 0.25)])
def test_few_pairs_say_nothing(num_chunks: int, expected: float) -> None:
    """Each chunk has two pairs of one speaker, of which ten are enough, and four of two."""
    written = chunks(num_chunks)
    written[1::2, 0] += 1000 * (np.arange(len(written) // 2) % 2)  # every other pair is torn apart
    distances = apart(0.1, 0.4, 2 * num_chunks)
    assert separated(distances, written)[1] == pytest.approx(expected)


def test_a_few_mistakes_of_the_model_do_not_bring_two_speakers_nearer() -> None:
    """In three chunks, one person is two speakers: the distance is what it is without these pairs."""
    distances = apart(0.1, 0.5, 20)
    written = chunks(10)
    right = separated(distances, written)[1]
    written[:12:4, 1] = 2
    assert separated(distances, written)[1] == pytest.approx(right)


def test_two_people_on_one_line_are_two() -> None:
    """All voices are similar, but what one chunk wrote for two speakers is less so than what it wrote for one."""
    distances, written = apart(0.08, 0.4, 40), chunks(20)
    assert clustered(distances, written) == [list(range(40)), list(range(40, 80))]
    assert clustered(distances, one_chunk_each(80)) == [list(range(80))]
