"""Grouping voices."""

from __future__ import annotations

import numpy as np
import pytest

from pyannote_pix2seq.clustering import cluster

RNG = np.random.default_rng(0)


def people(sizes: list[int], noise: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voices of several people, each heard in as many chunks, and whose they are."""
    means = np.eye(16)[: len(sizes)]
    whose = np.repeat(np.arange(len(sizes)), sizes)
    voices = means[whose] + noise * RNG.normal(size=(len(whose), 16)) / 4
    chunks = np.concatenate([np.arange(size) for size in sizes])
    return voices / np.linalg.norm(voices, axis=1, keepdims=True), chunks, whose


def found(groups: list[np.ndarray]) -> list[list[int]]:
    return sorted(group.tolist() for group in groups)


def test_voices_that_are_alike_are_one_person() -> None:
    voices, chunks, whose = people([10, 7, 12])
    groups = cluster(voices, chunks, np.full(29, 2.0), distance=0.5, shortest=3.0)
    assert found(groups) == [np.flatnonzero(whose == number).tolist() for number in range(3)]


def test_two_speakers_of_one_chunk_are_two_people_however_alike() -> None:
    voices = people([2], noise=0.1)[0]
    assert len(cluster(voices, np.zeros(2, int), np.full(2, 4.0), 0.5, 3.0)) == 2
    assert len(cluster(voices, np.arange(2), np.full(2, 4.0), 0.5, 3.0)) == 1


@pytest.mark.parametrize("number", range(1, 30))
def test_any_number_of_people_is_obeyed(number: int) -> None:
    voices, chunks, _ = people([10, 7, 12])
    groups = cluster(voices, chunks, np.full(29, 2.0), 0.5, 3.0, least=number, most=number)
    assert len(groups) == number
    members = np.concatenate(groups).tolist()
    assert len(set(members)) == len(members) and all(len(group) for group in groups)


def test_names_hold_people_together_and_apart() -> None:
    voices, chunks, whose = people([10, 10])
    alike = voices + 3 * voices.mean(0)  # everybody sounds much the same
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    seconds = np.full(20, 2.0)
    assert len(cluster(alike, np.arange(20), seconds, 0.5, 3.0)) == 1
    names = np.where(chunks < 6, whose, -1)  # some of the voices of both are known
    assert found(cluster(alike, np.arange(20), seconds, 0.5, 3.0, names=names)) == [[*range(10)], [*range(10, 20)]]
    one = np.zeros(20, int)  # two voices of one name
    assert len(cluster(voices, np.arange(20), seconds, 0.5, 3.0)) == 2
    assert len(cluster(voices, np.arange(20), seconds, 0.5, 3.0, names=one)) == 1


def test_limits_are_kept_only_where_they_are_needed() -> None:
    voices, chunks, _ = people([10, 7, 12])
    seconds = np.full(29, 2.0)
    limits = ((1, 2), (1, 5), (4, 6), (0, None))
    assert [len(cluster(voices, chunks, seconds, 0.5, 3.0, *limit)) for limit in limits] == [
        2, 3, 4, 3,
    ]  # fmt: skip


def test_who_hardly_says_anything_is_nobody_unless_asked_for() -> None:
    voices, chunks, _ = people([10, 7, 1])
    seconds = np.full(18, 2.0)
    assert sorted(len(group) for group in cluster(voices, chunks, seconds, 0.5, 3.0)) == [7, 10]
    assert len(cluster(voices, chunks, seconds, 0.5, 3.0, 3, 3)) == 3


def test_nobody_and_one() -> None:
    assert cluster(np.zeros((0, 16)), np.zeros(0, int), np.zeros(0), 0.5, 3.0) == []
    assert found(cluster(np.eye(16)[:1], np.zeros(1, int), np.ones(1), 0.5, 3.0)) == [[0]]
