"""Estimators of a fit: clusters, causes of choices, and who does more than others."""

from __future__ import annotations

import numpy as np
import pytest

from pyannote_pix2seq.simulation.estimators import balance, excess, k_means


def test_clusters() -> None:
    rng = np.random.default_rng(1)
    centres = np.array([[0, 0], [9, 0], [0, 9]])
    truth = np.repeat([0, 1, 2], [60, 40, 20])
    labels = k_means(centres[truth] + rng.normal(size=(120, 2)), np.ones(120), 3)
    assert labels.tolist() == truth.tolist()
    assert set(k_means(np.zeros((5, 2)), np.ones(5), 3)) == {0}


def test_the_first_cluster_is_that_of_most_weight() -> None:
    points, weights = np.array([[0.0], [0.1], [0.2], [9.0]]), np.array([1.0, 1.0, 1.0, 4.0])
    assert k_means(points, np.ones(4), 2).tolist() == [0, 0, 0, 1]
    assert k_means(points, weights, 2).tolist() == [1, 1, 1, 0]


def test_choices_are_explained_by_two_causes() -> None:
    rng = np.random.default_rng(0)
    places, people = np.array([1.0, 2.0, 5.0]), np.array([[1.0, 1.0, 8.0], [4.0, 1.0, 1.0]])
    groups = rng.integers(2, size=20_000)
    order = np.argsort(rng.random((len(groups), 3)), axis=1)  # who is at which place
    weights = places * people[groups[:, None], order]
    chosen = (rng.random(len(groups))[:, None] > np.cumsum(weights / weights.sum(1, keepdims=True), axis=1)).sum(axis=1)
    causes = [np.tile(np.arange(3), (len(groups), 1)), groups[:, None] * 3 + order]
    found_places, found_people = balance(causes, [3, 6], chosen, smoothing=0.1)
    assert found_places / found_places[0] == pytest.approx(places, rel=0.1)
    assert found_people[:3] / found_people[0] == pytest.approx(people[0], rel=0.15)
    assert found_people[3:] / found_people[4] == pytest.approx(people[1], rel=0.15)


def test_who_does_more_than_others_in_the_same_situations() -> None:
    situations, groups = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    more = excess(np.array([1.0, 3.0, 10.0, 30.0]), np.ones(4), situations, groups, smoothing=0)
    assert more == pytest.approx([0.5, 1.5])
