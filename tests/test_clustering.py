"""Grouping voices."""

from __future__ import annotations

import numpy as np
import pytest

from pyannote_pix2seq.strategies.clustering import cluster, distances

RNG = np.random.default_rng(0)


def people(sizes: list[int], noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Voices of several people, so many of each, and whose they are."""
    means = np.eye(16)[: len(sizes)]
    whose = np.repeat(np.arange(len(sizes)), sizes)
    voices = means[whose] + noise * RNG.normal(size=(len(whose), 16)) / 4
    return unit(voices), whose


def unit(voices: np.ndarray) -> np.ndarray:
    return voices / np.linalg.norm(voices, axis=1, keepdims=True)


def found(groups: list[np.ndarray]) -> list[list[int]]:
    return sorted(group.tolist() for group in groups)


def test_voices_that_are_alike_are_one_person() -> None:
    voices, whose = people([10, 7, 12])
    groups = cluster(distances(voices), np.full(29, 2.0), distance=0.5, shortest=3.0)
    assert found(groups) == [np.flatnonzero(whose == number).tolist() for number in range(3)]


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 2, 0], [2, 0, 1]])
def test_exactly_enough_speech_is_enough_in_whatever_order_it_is_added_up(order: list[int]) -> None:
    seconds = np.array([0.1, 0.2, 0.3])[order]
    for shortest in (0.1 + 0.2 + 0.3, 0.2 + 0.3 + 0.1):  # 0.6 and a little more
        for alike in ([0, 1], [1, 2], [0, 2]):  # merged first
            voices = np.ones((3, 3))
            voices[:, 0] += 0.1
            voices[alike, 0] -= 0.1
            assert found(cluster(distances(unit(voices)), seconds, 0.5, shortest)) == [[0, 1, 2]]


@pytest.mark.parametrize(("noise", "alike"), [(0.4, 0.86), (0.8, 0.61), (1.0, 0.5)])
def test_how_noisy_a_recording_is_makes_no_difference(noise: float, alike: float) -> None:
    whose = np.repeat([0, 1, 2], [60, 40, 50])
    means = unit(np.eye(4, 192)[1:] + np.eye(4, 192)[0])  # all have something in common
    voices = unit(means[whose] + noise * RNG.normal(size=(150, 192)) / 192**0.5)
    cosines = voices @ voices.T
    assert cosines[whose[:, None] == whose].mean() == pytest.approx(alike, abs=0.03)
    assert cosines[whose[:, None] != whose].mean() == pytest.approx(0.5 * alike, abs=0.03)
    groups = cluster(distances(voices), np.full(150, 2.0), 0.45, 30.0)
    assert found(groups) == [np.flatnonzero(whose == number).tolist() for number in range(3)]


@pytest.mark.parametrize(("size", "count"), [(30, 3), (150, 10)])  # a twentieth of 60, but ten of 300
def test_distances_are_those_of_the_docstring(size: int, count: int) -> None:
    voices, _ = people([size, size], 1.0)
    cosines = voices @ voices.T
    nearest = np.sort(cosines - 2 * np.eye(2 * size), axis=1)[:, -count:].mean(1)
    assert (nearest > 0.45).all()
    expected = np.clip(1 - cosines / np.sqrt(nearest[:, None] * nearest), 0, 2)
    np.testing.assert_allclose(distances(voices), expected * (1 - np.eye(2 * size)), atol=1e-12)


def test_two_voices_have_nobody_to_be_compared_with() -> None:
    two = unit(np.array([[1.0, 0.2], [0.2, 1.0]]))
    assert distances(two)[0, 1] == pytest.approx(1 - (0.4 / 1.04) / 0.45)


@pytest.mark.parametrize("number", range(1, 30))
def test_any_number_of_people_is_obeyed(number: int) -> None:
    voices, _ = people([10, 7, 12])
    groups = cluster(distances(voices), np.full(29, 2.0), 0.5, 3.0, min_speakers=number, max_speakers=number)
    assert len(groups) == number
    members = np.concatenate(groups).tolist()
    assert len(set(members)) == len(members) and all(len(group) for group in groups)


def test_limits_are_kept_only_where_they_are_needed() -> None:
    voices, _ = people([10, 7, 12])
    seconds = np.full(29, 2.0)
    limits = ((1, 2), (1, 5), (4, 6), (0, None))
    assert [len(cluster(distances(voices), seconds, 0.5, 3.0, *limit)) for limit in limits] == [
        2, 3, 4, 3,
    ]  # fmt: skip


def test_who_hardly_says_anything_is_nobody_unless_asked_for() -> None:
    voices, _ = people([10, 7, 1])
    seconds = np.full(18, 2.0)
    assert sorted(len(group) for group in cluster(distances(voices), seconds, 0.5, 3.0)) == [7, 10]
    assert len(cluster(distances(voices), seconds, 0.5, 3.0, 3, 3)) == 3


def test_nobody_and_one() -> None:
    assert cluster(np.zeros((0, 0)), np.zeros(0), 0.5, 3.0) == []
    assert found(cluster(distances(np.eye(16)[:1]), np.ones(1), 0.5, 3.0)) == [[0]]
