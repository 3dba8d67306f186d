"""One name -> one recording: who says what when, and how it sounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import resample_poly

from ..audio import SAMPLE_RATE
from ..vocabulary import Triplet
from .acoustics import Acoustics
from .seed import seed_of
from .turns import TurnTaking
from .voices import Voices

SPEED_STEPS = 20
MAX_STEPS = 2
"""Voices are played up to `MAX_STEPS / SPEED_STEPS` (10 %) faster or slower."""

DESCRIPTION, SOUND = range(2)
"""Each part of a conversation has a stream of random numbers of its own."""


@dataclass(frozen=True)
class Conversation:
    """What a simulated recording holds; it can be changed by hand before it is rendered.

    Attributes
    ----------
    uri : str
        Name of the conversation, and the only source of its randomness.
    duration : float
        Seconds.
    turns : tuple of Triplet
        Sorted; speakers are named in the order in which they are first heard.
    voices : tuple of str
        Name of the voice of each speaker.
    """

    uri: str
    duration: float
    turns: tuple[Triplet, ...]
    voices: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"Conversation({self.uri!r}: {self.duration:g} s, {len(self.turns)} turns of "
            f"{len(self.voices)} voices: {', '.join(self.voices) or 'nobody'})"
        )


class Simulator:
    """Imagines conversations.

    Parameters
    ----------
    voices : Voices
        Who can speak.
    turns : TurnTaking
        Who speaks when.
    acoustics : Acoustics
        How it sounds.
    duration : float
        Of every conversation, in seconds.

    Raises
    ------
    ValueError
        If the duration is not positive.
    """

    def __init__(self, voices: Voices, turns: TurnTaking, acoustics: Acoustics, duration: float = 50.0) -> None:
        if not duration > 0:
            raise ValueError(f"A conversation of {duration} s was asked for; its duration must be positive.")
        self.voices = voices
        self.turns = turns
        self.acoustics = acoustics
        self.duration = duration

    def __repr__(self) -> str:
        return f"Simulator({self.duration:g} s, {self.voices!r}, {self.turns!r})"

    def describe(self, uri: str) -> Conversation:
        """Draw turns and voices: the same for the same `uri` in any process.

        Raises
        ------
        VoicesError
            If more speakers take turns than there are voices.
        """
        rng = _stream(uri, DESCRIPTION)
        turns = self.turns.draw(rng, self.duration)
        num_speakers = len({turn.speaker for turn in turns})
        return Conversation(uri, self.duration, tuple(turns), self.voices.choose(num_speakers, rng))

    def render(self, conversation: Conversation) -> np.ndarray:
        """Make a conversation heard: the same samples for the same conversation in any process.

        Returns
        -------
        waveform : (1, num_samples) float32
            At 16 kHz.

        Raises
        ------
        VoicesError
            If a voice is not in the store.
        """
        rng = _stream(conversation.uri, SOUND)
        return self.acoustics.apply(self._tracks(conversation, rng), rng)[None]

    def tracks(self, conversation: Conversation) -> np.ndarray:
        """What each speaker says, unaltered by any acoustics: (num_speakers, num_samples) float32."""
        return self._tracks(conversation, _stream(conversation.uri, SOUND))

    def _tracks(self, conversation: Conversation, rng: np.random.Generator) -> np.ndarray:
        num_samples = round(conversation.duration * SAMPLE_RATE)
        tracks = np.zeros((len(conversation.voices), num_samples), dtype=np.float32)
        steps = rng.integers(-MAX_STEPS, MAX_STEPS + 1, size=len(conversation.voices))
        for start, end, speaker in conversation.turns:
            first, last = round(start * SAMPLE_RATE), min(round(end * SAMPLE_RATE), num_samples)
            voice = conversation.voices[speaker]
            tracks[speaker, first:last] = self._speech(voice, SPEED_STEPS + int(steps[speaker]), rng, last - first)
        return tracks

    def _speech(self, voice: str, speed: int, rng: np.random.Generator, num_samples: int) -> np.ndarray:
        """Speech played at `speed / SPEED_STEPS` times its speed, pitch included: (num_samples,)."""
        num_original = -(-num_samples * speed // SPEED_STEPS)
        speech = self.voices.speech(voice, rng, num_original)
        return resample_poly(speech, SPEED_STEPS, speed)[:num_samples]


def _stream(uri: str, part: int) -> np.random.Generator:
    return np.random.default_rng([seed_of(uri), part])
