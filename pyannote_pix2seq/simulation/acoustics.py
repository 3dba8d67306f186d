"""How a conversation sounds: loudness, rooms, noise, telephones."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.signal import butter, resample_poly, sosfilt

from ..audio import SAMPLE_RATE
from .noise import Noises, coloured_noise
from .room import DISTANT, NEAR, heard_in_room, impulse_responses
from .voices import LEVEL, Voices

Range = tuple[float, float]

LOUDNESS_LIMITS = (-20.0, 10.0)
DRIFT_HOP = 5 * SAMPLE_RATE
TELEPHONE_BAND = butter(4, (300, 3400), btype="bandpass", fs=SAMPLE_RATE, output="sos").astype(np.float32)


class AcousticsError(ValueError):
    """Options of acoustics that make no sense."""


@dataclass(frozen=True)
class Acoustics:
    """How conversations sound; everything is drawn anew for each of them.

    Parameters
    ----------
    noises : Noises, optional
        Recorded noise; without it, all noise is generated.
    bystanders : Voices, optional
        Voices of an unlabelled crowd; without it, there is none.
    loudness : float
        Standard deviation of the speakers' levels, in dB.
    quiet_probability : float
        How often a speaker is quiet: another 5 to 15 dB down.
    drift : float
        Standard deviation of how much the level of a speaker changes in 5 s, in dB.
    room_probability, distant_probability : float
        How often the conversation is in a room, and how often a room's microphone is far from everyone.
    rt60 : (float, float)
        Reverberation time of rooms, in seconds.
    noise_probability, recorded_probability : float
        How often there is noise, and how often noise is recorded rather than generated.
    signal_to_noise : (float, float)
        Level of speech over noise, in dB.
    crowd_probability : float
        How often a crowd can be heard.
    crowd_size : (int, int)
        Voices in a crowd.
    signal_to_crowd : (float, float)
        Level of speech over the crowd, in dB.
    telephone_probability, clipping_probability : float
        How often the recording went over a telephone, and how often it is clipped.
    clipping : (float, float)
        How far the highest peak was above what could be recorded, in dB.
    peak : (float, float)
        Highest peak of the recording, in dBFS.

    Raises
    ------
    AcousticsError
        If a probability is not between 0 and 1, or a range is upside down.
    """

    noises: Noises | None = None
    bystanders: Voices | None = None
    loudness: float = 5.0
    quiet_probability: float = 0.15
    drift: float = 1.0
    room_probability: float = 0.7
    distant_probability: float = 0.1
    rt60: Range = (0.15, 0.7)
    noise_probability: float = 0.85
    recorded_probability: float = 0.6
    signal_to_noise: Range = (0.0, 30.0)
    crowd_probability: float = 0.15
    crowd_size: tuple[int, int] = (4, 8)
    signal_to_crowd: Range = (12.0, 30.0)
    telephone_probability: float = 0.08
    clipping_probability: float = 0.03
    clipping: Range = (3.0, 12.0)
    peak: Range = (-30.0, -1.0)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_probability") and not 0 <= value <= 1:
                raise AcousticsError(f"{field.name}={value}: a probability must be between 0 and 1.")
            if isinstance(value, tuple) and not value[0] <= value[1]:
                raise AcousticsError(f"{field.name}={value}: the first number must not be above the second.")

    @classmethod
    def none(cls) -> Acoustics:
        """Nothing but voices side by side, all at one level."""
        never = {field.name: 0.0 for field in fields(cls) if field.name.endswith("_probability")}
        return cls(loudness=0.0, drift=0.0, peak=(-1.0, -1.0), **never)  # type: ignore[arg-type]

    def apply(self, tracks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Make one recording of what each speaker says.

        Parameters
        ----------
        tracks : (num_speakers, num_samples) float32
            Speech at `LEVEL`, silent (0) where a speaker is.
        rng : np.random.Generator

        Returns
        -------
        mixture : (num_samples,) float32
        """
        tracks = tracks * self._gains(tracks.shape, rng)
        is_active = tracks.any(axis=0)
        mixture = self._in_room(tracks, rng)
        level = _rms(mixture[is_active]) if is_active.any() else LEVEL
        mixture = self._with_crowd(mixture, level, rng)
        mixture = self._with_noise(mixture, level, rng)
        if rng.random() < self.telephone_probability:
            mixture = telephone(mixture)
        if rng.random() < self.clipping_probability:
            mixture = clip(mixture, rng.uniform(*self.clipping))
        return _to_peak(mixture, rng.uniform(*self.peak))

    def _gains(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Level of each speaker over time: (num_speakers, num_samples) float32."""
        num_speakers, num_samples = shape
        level = rng.normal(0, self.loudness, (num_speakers, 1))
        is_quiet = rng.random((num_speakers, 1)) < self.quiet_probability
        level -= is_quiet * rng.uniform(5, 15, (num_speakers, 1))
        num_hops = -(-num_samples // DRIFT_HOP)
        walk = rng.normal(0, self.drift, (num_speakers, num_hops + 1)).cumsum(axis=1)
        gain = _amplitude(np.clip(level + walk, *LOUDNESS_LIMITS)).astype(np.float32)[..., None]
        ramp = np.linspace(0, 1, DRIFT_HOP, endpoint=False, dtype=np.float32)
        gains = gain[:, :-1] + (gain[:, 1:] - gain[:, :-1]) * ramp
        # (num_speakers, num_hops, hop)
        return gains.reshape(num_speakers, num_hops * DRIFT_HOP)[:, :num_samples]

    def _in_room(self, tracks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not len(tracks) or rng.random() >= self.room_probability:
            return tracks.sum(axis=0)
        distance = DISTANT if rng.random() < self.distant_probability else NEAR
        return heard_in_room(tracks, impulse_responses(len(tracks), rng.uniform(*self.rt60), distance, rng))

    def _with_crowd(self, mixture: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
        if self.bystanders is None or rng.random() >= self.crowd_probability:
            return mixture
        speakers = self.bystanders.choose(int(rng.integers(*self.crowd_size, endpoint=True)), rng)
        crowd = sum(self.bystanders.speech(speaker, rng, len(mixture)) for speaker in speakers)
        return _mix(mixture, level, np.asarray(crowd), rng.uniform(*self.signal_to_crowd))

    def _with_noise(self, mixture: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.noise_probability:
            return mixture
        is_recorded = self.noises is not None and rng.random() < self.recorded_probability
        draw = self.noises.draw if self.noises is not None and is_recorded else coloured_noise
        return _mix(mixture, level, draw(rng, len(mixture)), rng.uniform(*self.signal_to_noise))


def telephone(waveform: np.ndarray) -> np.ndarray:
    """Band from 300 to 3400 Hz, 8 kHz, 8-bit mu-law (ITU-T G.711, continuous): (num_samples,) float32."""
    narrow = _to_peak(resample_poly(sosfilt(TELEPHONE_BAND, waveform), 1, 2), 0.0)
    companded = np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)
    quantized = np.round(companded * 127) / 127
    expanded = np.sign(quantized) * np.expm1(np.abs(quantized) * np.log(256)) / 255
    return resample_poly(expanded.astype(np.float32), 2, 1)[: len(waveform)]


def clip(waveform: np.ndarray, excess: float) -> np.ndarray:
    """Cut off what is above `excess` dB below the highest peak: (num_samples,) float32."""
    limit = np.abs(waveform).max(initial=0) * np.float32(_amplitude(-excess))
    return np.clip(waveform, -limit, limit)


def _mix(mixture: np.ndarray, level: float, noise: np.ndarray, decibels: float) -> np.ndarray:
    """Add noise whose level is `decibels` below `level`."""
    gain = level * _amplitude(-decibels) / max(_rms(noise), 1e-9)
    return mixture + noise * np.float32(gain)


def _to_peak(waveform: np.ndarray, decibels: float) -> np.ndarray:
    """Scale to a highest peak in dBFS; silence stays silent."""
    peak = max(float(np.abs(waveform).max(initial=0)), 1e-9)
    return waveform * np.float32(_amplitude(decibels) / peak)


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform))))


def _amplitude(decibels: np.ndarray | float) -> np.ndarray:
    return np.asarray(10 ** (np.asarray(decibels) / 20))
