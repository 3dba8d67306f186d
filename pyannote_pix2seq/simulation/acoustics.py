"""Acoustics of simulated conversations: loudness, pitch, rooms, noise, telephones, files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.errors import check_methods
from pyannote_pix2seq.simulation.acoustics_limits import AcousticsError, Range, check_limits
from pyannote_pix2seq.simulation.codec import transmit
from pyannote_pix2seq.simulation.level import WanderingGains, clip, mix, rms, to_peak
from pyannote_pix2seq.simulation.noise import Noises, coloured_noise
from pyannote_pix2seq.simulation.room import Room, impulse_responses
from pyannote_pix2seq.simulation.scene import Scene
from pyannote_pix2seq.simulation.store import LEVEL
from pyannote_pix2seq.simulation.voices import Voices

Value = TypeVar("Value")

GENERATED = "generated"

PIECE = 300 * SAMPLE_RATE
"""Samples of a long conversation that are mixed at once: 5 minutes."""


@dataclass(frozen=True)
class Acoustics:
    """Acoustics of simulated conversations; everything is drawn anew for each of them.

    Ranges are drawn from uniformly. Speakers, room, noise, crowd and recording (clipping, peak, telephone, file) have a
    stream of random numbers each, so that an option of one of them never changes another: with other noise, the same
    conversation has the same room. Nor does an option change what other options of the same stream decide, except
    where it changes how many numbers are drawn before:

    - `recorded_probability`, and whether `noises` has several kinds: whether there is noise, and its level;
    - `bystanders` and `crowd_size`: whether there is a crowd;
    - whether `telephones` has several: whether there is a telephone, and the codec of the file.

    Parameters
    ----------
    noises : Noises, optional
        Recorded noise; without it, all noise is generated.
    bystanders : Voices, optional
        Voices of an unlabelled crowd; without them, there is none. Speakers of the conversation are not in the crowd.
    loudness : float
        Standard deviation of the speakers' levels, in dB.
    quiet_probability : float
        How often a speaker is quiet.
    quiet : (float, float)
        How much quieter, in dB.
    drift : float
        Standard deviation of how much the level of a speaker changes in 5 s, within turns too, in dB.
    speed : (float, float)
        Factor by which voices are played faster, which raises their pitch too.
    pitch_probability : float
        How often the pitch of a voice is shifted at constant speed.
    pitch : (float, float)
        How much higher, in semitones.
    room_probability, distant_probability : float
        How often the conversation is in a room, and how often a room's microphone is far from everyone.
    rt60 : (float, float)
        Reverberation time of rooms, in seconds.
    near, distant : (float, float)
        Horizontal distance of the speakers from a microphone that is near, and from one that is far, in metres.
    noise_probability, recorded_probability : float
        How often there is noise, and how often noise is recorded rather than generated.
    signal_to_noise : (float, float)
        Level of speech over the noise, in dB.
    crowd_probability : float
        How often there is a crowd.
    crowd_size : (int, int)
        Voices in a crowd.
    signal_to_crowd : (float, float)
        Level of speech over the crowd, in dB.
    clipping_probability : float
        How often the recording is clipped.
    clipping : (float, float)
        How far the highest peak was above the clipping level, in dB.
    peak : (float, float)
        Highest peak of the recording, in dBFS.
    telephone_probability : float
        How often the recording went over a telephone.
    telephones : tuple of str
        Codecs of telephones, all equally likely; see `codec.TELEPHONES`.
    codec_probability : float
        How often the recording was kept in a lossy file.
    codecs : tuple of str
        Codecs of files, all equally likely; see `codec.FILES`. "opus" takes longer than all the rest together.
    compression : (float, float)
        Of files, see `codec.transmit`.

    Raises
    ------
    AcousticsError
        If a number is out of its limits, a range is reversed, or a codec does not exist or is missing in libsndfile.
    OptionError
        If `noises` or `bystanders` are something else, such as the name of a folder, or lack a `digest`.
    """

    noises: Noises | None = None
    bystanders: Voices | None = None
    loudness: float = 5.0
    quiet_probability: float = 0.15
    quiet: Range = (5.0, 15.0)
    drift: float = 1.0
    speed: Range = (0.9, 1.1)
    pitch_probability: float = 0.1
    pitch: Range = (-2.0, 2.0)
    room_probability: float = 0.7
    distant_probability: float = 0.1
    rt60: Range = (0.15, 0.7)
    near: Range = (0.3, 2.5)
    distant: Range = (2.5, 5.0)
    noise_probability: float = 0.85
    recorded_probability: float = 0.6
    signal_to_noise: Range = (0.0, 30.0)
    crowd_probability: float = 0.15
    crowd_size: tuple[int, int] = (4, 8)
    signal_to_crowd: Range = (12.0, 30.0)
    clipping_probability: float = 0.03
    clipping: Range = (3.0, 12.0)
    peak: Range = (-30.0, -1.0)
    telephone_probability: float = 0.08
    telephones: tuple[str, ...] = ("alaw", "mulaw", "gsm")
    codec_probability: float = 0.15
    codecs: tuple[str, ...] = ("mp3", "vorbis")
    compression: Range = (0.3, 0.97)

    def __post_init__(self) -> None:
        if self.noises is not None:
            check_methods("Acoustics", "noises", self.noises, ("kinds", "draw", "digest"), "Noises(folder)")
        if self.bystanders is not None:
            check_methods("Acoustics", "bystanders", self.bystanders, ("choose", "digest"), "Voices(folder, split)")
        check_limits(self)

    @classmethod
    def none(cls) -> Acoustics:
        """Acoustics that add nothing: voices as they are, all at one level."""
        never: dict[str, Any] = {field.name: 0.0 for field in fields(cls) if field.name.endswith("_probability")}
        return cls(loudness=0.0, drift=0.0, speed=(1.0, 1.0), peak=(-1.0, -1.0), **never)

    @property
    def digest(self) -> str:
        """Short hash of all options; of noises and bystanders, their own digests.

        Much of it is in no scene: `drift`, `near` and `distant`, and what noise and bystanders sound like. Acoustics
        derived from these have others, by their name; what else such a class depends on is up to it.
        """
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        known = {name: getattr(value, "digest", value) for name, value in options.items()}
        if type(self) is not Acoustics:
            known["type"] = type(self).__qualname__
        return hashlib.sha256(repr(known).encode()).hexdigest()[:16]

    def draw(self, voices: Sequence[str], rng: np.random.Generator) -> Scene:
        """Draw the scene of a conversation.

        Parameters
        ----------
        voices : (num_speakers,) sequence of str
            Voices of its speakers.
        rng : np.random.Generator

        Returns
        -------
        scene : Scene
        """
        speakers, place, line, kind, crowd = rng.spawn(5)
        size = len(voices)
        is_quiet = speakers.random(size) < self.quiet_probability
        levels = speakers.normal(0, self.loudness, size) - is_quiet * speakers.uniform(*self.quiet, size)
        has_pitch = speakers.random(size) < self.pitch_probability
        return Scene(
            levels=tuple(levels.tolist()),
            speeds=tuple(speakers.uniform(*self.speed, size).tolist()),
            pitches=tuple((has_pitch * speakers.uniform(*self.pitch, size)).tolist()),
            rt60=_maybe(self.room_probability, place.uniform(*self.rt60), place),
            is_distant=place.random() < self.distant_probability,
            peak=line.uniform(*self.peak),
            clipping=_maybe(self.clipping_probability, line.uniform(*self.clipping), line),
            telephone=_maybe(self.telephone_probability, _one_of(self.telephones, line), line),
            codec=_maybe(self.codec_probability, _one_of(self.codecs, line), line),
            compression=line.uniform(*self.compression),
            noise=_maybe(self.noise_probability, self._kind_of_noise(kind), kind),
            signal_to_noise=kind.uniform(*self.signal_to_noise),
            signal_to_crowd=crowd.uniform(*self.signal_to_crowd),
            crowd=_maybe(self.crowd_probability, self._crowd(voices, crowd), crowd) or (),
        )

    def apply(self, pieces: Iterable[np.ndarray], scene: Scene, rng: np.random.Generator) -> np.ndarray:
        """Mix the speakers of a conversation into one recording.

        Room, noise, crowd and peak are those of the whole recording. With each piece, the level of each speaker returns
        to what the scene says.

        Parameters
        ----------
        pieces : iterable of (num_speakers, num_samples) float32
            Speech of each speaker at `LEVEL`, 0 where they are silent: the pieces of a conversation, one after the
            other. One will do for a short conversation.
        scene : Scene
        rng : np.random.Generator

        Returns
        -------
        mixture : (num_samples,) float32
            As long as all pieces together.
        """
        walk, place, crowd, noise = rng.spawn(4)
        speakers, bystanders = self._rooms(scene, place)
        gains = WanderingGains(scene.levels, self.drift, walk)
        heard = [(speakers.hear(tracks * gains.draw(tracks.shape[1])), tracks.any(axis=0)) for tracks in pieces]
        mixture, is_active = (np.concatenate(parts) for parts in zip(*heard, strict=True))
        del heard  # as large as what it is now
        level = rms(mixture[is_active]) if is_active.any() else LEVEL
        if scene.crowd:
            murmur = np.split(self._murmur(scene, len(mixture), crowd), range(PIECE, len(mixture), PIECE))
            heard_there = np.concatenate([bystanders.hear(piece[None]) for piece in murmur])
            mixture = mix(mixture, level, heard_there, scene.signal_to_crowd)
        if scene.noise is not None:
            mixture = mix(mixture, level, self._noise(scene.noise, len(mixture), noise), scene.signal_to_noise)
        return _record(mixture, scene)

    def _kind_of_noise(self, rng: np.random.Generator) -> str:
        is_recorded = rng.random() < self.recorded_probability
        return _one_of(self.noises.kinds, rng) if self.noises is not None and is_recorded else GENERATED

    def _crowd(self, voices: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
        if self.bystanders is None:
            return ()
        num_others = len(set(self.bystanders.speakers) - set(voices))
        size = int(rng.integers(*self.crowd_size, endpoint=True))
        return self.bystanders.choose(min(size, num_others), rng, excluding=voices)

    def _rooms(self, scene: Scene, rng: np.random.Generator) -> tuple[Room, Room]:
        """One room, as it sounds from where the speakers are, and from where the crowd is."""
        if scene.rt60 is None:
            return Room(), Room()
        distances = [self.distant if scene.is_distant else self.near] * len(scene.levels)
        responses = impulse_responses(scene.rt60, [*distances, self.distant], rng)
        return Room(responses[:-1]), Room(responses[-1:])

    def _murmur(self, scene: Scene, num_samples: int, rng: np.random.Generator) -> np.ndarray:
        murmur = np.zeros(num_samples, dtype=np.float32)
        for voice in scene.crowd:
            if self.bystanders is None:
                raise AcousticsError(f"There is a crowd ({scene}) and no voice it could have. Give `bystanders`.")
            murmur += self.bystanders.speech(voice, rng, num_samples)
        return murmur

    def _noise(self, kind: str, num_samples: int, rng: np.random.Generator) -> np.ndarray:
        if kind == GENERATED:
            return coloured_noise(rng, num_samples)
        if self.noises is None:
            raise AcousticsError(f"There is {kind!r} to be heard and no recording of it. Give `noises`.")
        return self.noises.draw(kind, rng, num_samples)


def _record(mixture: np.ndarray, scene: Scene) -> np.ndarray:
    """The recording of a sound after clipping, telephone line and lossy file: (num_samples,) float32."""
    if scene.clipping is not None:
        mixture = clip(mixture, scene.clipping)
    recording = transmit(to_peak(mixture, scene.peak), scene.telephone, scene.codec, scene.compression)
    return np.clip(recording, -1, 1)


def _maybe(probability: float, value: Value, rng: np.random.Generator) -> Value | None:
    return value if rng.random() < probability else None


def _one_of(names: Sequence[str], rng: np.random.Generator) -> str:
    return names[int(rng.integers(len(names)))]
