from __future__ import annotations

import numpy as np
import pytest
from toy import SAMPLE_RATE

from pyannote_pix2seq.simulation.room import AUDIBLE, LARGEST, LEAD, SMALLEST, Room, impulse_responses

NEAR = (0.3, 2.5)


def responses_of(rt60: float, seed: int = 1) -> np.ndarray:
    return impulse_responses(rt60, [NEAR, NEAR, (2.5, 5.0)], np.random.default_rng(seed))


@pytest.mark.parametrize("rt60", [0.2, 0.6])
def test_rooms_decay_as_fast_as_asked(rt60: float) -> None:
    response = responses_of(rt60)
    np.testing.assert_allclose(np.linalg.norm(response, axis=1), 1, rtol=1e-5)
    late = np.square(response[:, SAMPLE_RATE // 16 :], dtype=np.float64)
    energy = 10 * np.log10(late[:, ::-1].cumsum(axis=1)[:, ::-1].mean(axis=0))  # Schroeder
    window = int(0.25 * rt60 * SAMPLE_RATE)
    assert (energy[0] - energy[window]) / 0.25 == pytest.approx(60, rel=0.15)
    assert response.shape[1] / SAMPLE_RATE == pytest.approx(rt60 * AUDIBLE / 60, rel=0.02)


@pytest.mark.parametrize("rt60", [0.3, 0.6])
def test_reverberation_is_as_loud_as_rooms_of_this_size_have_it(rt60: float) -> None:
    """At 1.5 m, statistical acoustics; the direct sound is as loud at 0.057 * sqrt(volume / rt60) metres."""
    responses = [impulse_responses(rt60, [(1.5, 1.5)], np.random.default_rng(seed))[0] for seed in range(20)]
    energy = np.square(responses, dtype=np.float64)
    share = energy[:, LEAD + SAMPLE_RATE // 500 :].sum(axis=1) / energy.sum(axis=1)
    critical = 0.057**2 * np.prod(np.mean([SMALLEST, LARGEST], axis=0)) / rt60
    assert share.mean() == pytest.approx(1.5**2 / (1.5**2 + critical), abs=0.06)


def test_the_direct_sound_comes_first_and_at_once_from_any_distance() -> None:
    for seed in range(20):
        for response in np.abs(responses_of(0.3, seed)):
            around = response[LEAD - 1 : LEAD + 2]
            assert around.max() > 3 * response[: LEAD - 5].max()
            assert around.max() > 0.1


def test_every_place_has_a_response_of_its_own() -> None:
    first, second, third = responses_of(0.4)
    for one, other in ((first, second), (second, third)):
        assert abs(np.dot(one, other)) < 0.97


@pytest.mark.parametrize("rt60", [0.05, 0.1, 1.5, 3.0])
def test_dead_rooms_and_churches_have_responses_too(rt60: float) -> None:
    response = responses_of(rt60)
    assert np.isfinite(response).all() and response.shape[1] >= LEAD + 0.05 * SAMPLE_RATE


def test_a_room_is_a_convolution() -> None:
    rng = np.random.default_rng(0)
    tracks = rng.standard_normal((2, 2500)).astype(np.float32)
    tracks[0, 600:1900] = 0
    responses = rng.standard_normal((2, 400)).astype(np.float32)
    expected = sum(np.convolve(*pair)[:2500] for pair in zip(tracks, responses, strict=True))
    np.testing.assert_allclose(Room(responses).hear(tracks), expected, atol=1e-3)
