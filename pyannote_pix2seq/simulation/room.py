"""Room acoustics: one impulse response for the position of each speaker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import fft

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.simulation.dependency import dependency

SMALLEST, LARGEST = (3.0, 3.0, 2.4), (9.0, 7.0, 3.5)
"""Length, width and height of rooms, in metres."""

MARGIN = 0.3
"""Least distance of a speaker from a wall, in metres."""

MAX_ORDER = 10
MIXING_TIME = 0.05
"""Up to this moment, in seconds after the direct sound, reflections are computed one by one. In the lowest room, all
of them are of order `MAX_ORDER` or lower."""

AUDIBLE = 45.0
"""Impulse responses end when the sound has decayed by this much, in dB."""

LEAD = SAMPLE_RATE // 1000
"""Samples kept before the direct sound: part of the filter that places it between two samples."""


def impulse_responses(rt60: float, distances: Sequence[tuple[float, float]], rng: np.random.Generator) -> np.ndarray:
    """Impulse responses from several positions to one microphone in a random shoebox room.

    Early reflections come from the image method (Allen and Berkley, 1979), in pyroomacoustics; late reverberation, too
    dense to be resolved, is Gaussian noise that decays at the same rate (as in Lehmann and Johansson, "Diffuse
    reverberation model for efficient image-source simulation of room impulse responses", 2010).

    Parameters
    ----------
    rt60 : float
        Reverberation time, in which the sound decays by 60 dB, in seconds.
    distances : (num_places,) sequence of (float, float)
        Shortest and longest horizontal distance from each position to the microphone, in metres; less near a wall.
    rng : np.random.Generator

    Returns
    -------
    responses : (num_places, num_taps) float32
        Unit energy; the direct sound comes 1 ms after the beginning, whatever the distance.
    """
    size = rng.uniform(SMALLEST, LARGEST)
    microphone = rng.uniform((1.0, 1.0, 0.7), (size[0] - 1, size[1] - 1, 1.3))
    places = [_place(microphone, size, distance, rng) for distance in distances]
    early = _early_echoes(size, rt60, microphone, places)
    responses = _with_tail(early, rt60, rng)
    return responses / np.linalg.norm(responses, axis=1, keepdims=True)


class Room:
    """A room in which tracks are heard, one piece after the other.

    Parameters
    ----------
    responses : (num_speakers, num_taps) float32, optional
        Impulse response of the place of each speaker; without them, there are no echoes.
    """

    def __init__(self, responses: np.ndarray | None = None) -> None:
        self._responses = responses
        self._echoes = np.zeros(0, dtype=np.float32)

    def hear(self, tracks: np.ndarray) -> np.ndarray:
        """Sum of all tracks in the room, and of the echoes of the pieces before.

        Parameters
        ----------
        tracks : (num_speakers, num_samples) float32
            The next piece.

        Returns
        -------
        mixture : (num_samples,) float32
        """
        if self._responses is None:
            return np.sum(tracks, axis=0)
        heard = _convolved(tracks, self._responses)
        heard[: len(self._echoes)] += self._echoes
        mixture, self._echoes = np.split(heard, [tracks.shape[1]])
        return mixture


def _convolved(tracks: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Sum of all tracks, each convolved with its impulse response: (num_samples + num_taps,) float32.

    Overlap-add in blocks as long as a response; blocks in which a track is silent cost nothing.
    """
    (num_speakers, num_samples), num_taps = tracks.shape, responses.shape[1]
    num_blocks = -(-max(num_samples, 1) // num_taps)
    padded = np.pad(tracks, ((0, 0), (0, num_blocks * num_taps - num_samples)))
    blocks = padded.reshape(num_speakers, num_blocks, num_taps)
    spectrum = np.zeros((num_blocks, num_taps + 1), dtype=np.complex64)
    for speaker_blocks, response in zip(blocks, responses, strict=True):
        is_heard = speaker_blocks.any(axis=1)
        spectrum[is_heard] += fft.rfft(speaker_blocks[is_heard], 2 * num_taps) * fft.rfft(response, 2 * num_taps)
    echoed = fft.irfft(spectrum, 2 * num_taps)
    # (num_blocks, 2 * num_taps)
    mixture = np.zeros((num_blocks + 1, num_taps), dtype=np.float32)
    mixture[:-1] = echoed[:, :num_taps]
    mixture[1:] += echoed[:, num_taps:]
    return mixture.reshape(-1)[: num_samples + num_taps]


def _place(
    microphone: np.ndarray, size: np.ndarray, distance: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Random position of a mouth, around the microphone but inside the room."""
    radius, angle = rng.uniform(*distance), rng.uniform(0, 2 * np.pi)
    x, y = microphone[:2] + radius * np.array([np.cos(angle), np.sin(angle)])
    return np.clip((x, y, rng.uniform(1.1, 1.7)), MARGIN, size - MARGIN)


def _early_echoes(size: np.ndarray, rt60: float, microphone: np.ndarray, places: list[np.ndarray]) -> np.ndarray:
    """Direct sound and reflections up to the mixing time: (num_places, num_samples) float32."""
    pra = _pyroomacoustics()
    volume, surface = np.prod(size), 2 * (size[0] * size[1] + size[1] * size[2] + size[2] * size[0])
    absorption = 1 - np.exp(-0.161 * volume / (surface * rt60))  # Eyring
    room = pra.ShoeBox(size, fs=SAMPLE_RATE, materials=pra.Material(float(absorption)), max_order=MAX_ORDER)
    room.add_microphone(microphone)
    for place in places:
        room.add_source(place)
    room.compute_rir()
    early = np.zeros((len(places), LEAD + round(MIXING_TIME * SAMPLE_RATE)), dtype=np.float32)
    for echoes, response, place in zip(early, room.rir[0], places, strict=True):
        delay = np.linalg.norm(place - microphone) / pra.constants.get("c") * SAMPLE_RATE
        direct = round(delay) + pra.constants.get("frac_delay_length") // 2
        echoes[:] = response[direct - LEAD :][: early.shape[1]]
    return early


def _pyroomacoustics() -> Any:
    """Import pyroomacoustics, which is optional, with one thread: how sums are split changes their last bits."""
    pyroomacoustics = dependency(
        "pyroomacoustics", "Rooms need pyroomacoustics", "simulation", ", or use room_probability=0"
    )
    pyroomacoustics.constants.set("num_threads", 1)
    pyroomacoustics.constants.set("rir_hpf_enable", False)  # speech has nothing below 10 Hz
    return pyroomacoustics


def _with_tail(early: np.ndarray, rt60: float, rng: np.random.Generator) -> np.ndarray:
    """Early reflections, followed by late reverberation at their level: (num_places, num_taps) float32."""
    num_places, num_early = early.shape
    level = np.sqrt(np.mean(np.square(early[:, num_early // 2 :]), axis=1, keepdims=True))
    num_taps = fft.next_fast_len(max(round(rt60 * AUDIBLE / 60 * SAMPLE_RATE), num_early), real=True)
    num_late = num_taps - num_early
    decay = 10 ** (-3 * np.arange(num_late, dtype=np.float32) / (rt60 * SAMPLE_RATE))
    late = rng.standard_normal((num_places, num_late), dtype=np.float32) * decay * level
    return np.concatenate([early, late], axis=1)
