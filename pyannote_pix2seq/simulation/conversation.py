"""Simulated conversations: one name -> one recording, its turns, its voices and its acoustics."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import soxr

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.errors import ArgumentError, OptionError, check_methods
from pyannote_pix2seq.numeric import check_ranges, is_number
from pyannote_pix2seq.simulation.acoustics import PIECE, Acoustics
from pyannote_pix2seq.simulation.pitch import shift_pitch
from pyannote_pix2seq.simulation.scene import Scene
from pyannote_pix2seq.simulation.seed import seed_of
from pyannote_pix2seq.simulation.turns import TurnTaking, check_turns
from pyannote_pix2seq.simulation.voices import Voices
from pyannote_pix2seq.vocabulary import Triplet

DESCRIPTION, SPEECH, SCENE, ACOUSTICS = range(4)
"""Parts of a conversation, each of which has its own stream of random numbers."""


class Utterance(NamedTuple):
    """What is said in a turn: who says it, the first sample, and (num_samples,) float32 of speech."""

    speaker: int
    first: int
    speech: np.ndarray


@dataclass(frozen=True)
class Conversation:
    """A simulated conversation; it can be changed by hand before it is rendered.

    Attributes
    ----------
    uri : str
        Name of the conversation, and the only source of its randomness.
    duration : float
        Seconds; a sample at 16 kHz or more.
    turns : tuple of Triplet
        Sorted; speakers are numbered in order of appearance.
    voices : tuple of str
        Name of the voice of each speaker.
    scene : Scene, optional
        Its acoustics. Left out, they are drawn when the conversation is rendered.

    Raises
    ------
    ArgumentError
        If the duration is no such number, or the scene has another number of speakers than there are voices.
    TurnsError
        If a turn is no `Triplet`, is not within the duration, belongs to none of the voices, or is not in order.
    """

    uri: str
    duration: float
    turns: tuple[Triplet, ...]
    voices: tuple[str, ...]
    scene: Scene | None = None

    def __post_init__(self) -> None:
        owner = f"Conversation {self.uri!r}"
        check_duration(owner, self.duration)
        check_turns(owner, self.turns, self.duration, len(self.voices))
        scene, num_voices = self.scene, len(self.voices)
        if scene and not len(scene.levels) == len(scene.speeds) == len(scene.pitches) == num_voices:
            raise ArgumentError(
                f"{owner} has {num_voices} voices, and a scene with levels={scene.levels}, speeds={scene.speeds}, "
                f"pitches={scene.pitches}. Give one of each for each voice, or leave the scene out to have it drawn."
            )

    def __repr__(self) -> str:
        scene = f"; {self.scene}" if self.scene is not None else ""
        return (
            f"Conversation({self.uri!r}: {self.duration:g} s, {len(self.turns)} turns of "
            f"{len(self.voices)} voices: {', '.join(self.voices) or 'nobody'}{scene})"
        )

    @property
    def num_samples(self) -> int:
        """Samples of its audio at 16 kHz."""
        return round(self.duration * SAMPLE_RATE)

    @property
    def digest(self) -> str:
        """Hash of its duration, turns, voices and scene; its audio depends on more, see `Simulator.digest`."""
        return hashlib.sha256(repr((self.duration, self.turns, self.voices, self.scene)).encode()).hexdigest()


class Simulator:
    """Draws conversations, and renders them.

    Parameters
    ----------
    voices : Voices
        Voices to choose from.
    turns : TurnTaking
        Draws who speaks when.
    acoustics : Acoustics
        Draws and applies the acoustics: `Acoustics`, or anything with a `draw`, `apply` and `digest` as it has. The
        digest has to change with whatever changes what is drawn, or how it sounds.
    duration : float
        Of every conversation, in seconds.

    Raises
    ------
    ValueError
        If the duration is no number, or too short for a sample.
    OptionError
        If voices, turns or acoustics are something else, such as the name of a folder.
    """

    def __init__(self, voices: Voices, turns: TurnTaking, acoustics: Acoustics, duration: float = 50.0) -> None:
        check_methods("Simulator", "voices", voices, ("choose",), "Voices(folder, split)")
        check_methods("Simulator", "turns", turns, ("draw",), 'turn-taking, e.g. FittedTurns.ready("ami")')
        check_methods("Simulator", "acoustics", acoustics, ("draw", "apply", "digest"), "Acoustics()")
        check_duration("Simulator", duration)
        self.voices = voices
        self.turns = turns
        self.acoustics = acoustics
        self.duration = duration

    def __repr__(self) -> str:
        return f"Simulator({self.duration:g} s, {self.voices!r}, {self.turns!r})"

    def describe(self, uri: str) -> Conversation:
        """Draw turns, voices and scene: the same for the same `uri` in any process.

        Raises
        ------
        OptionError
            If `uri` is no text.
        VoicesError
            If more speakers take turns than there are voices.
        TurnsError
            If what was drawn are no turns, see `Conversation`.
        """
        rng = _stream(uri, DESCRIPTION)
        turns = tuple(self.turns.draw(rng, self.duration))
        num_speakers = len({turn.speaker for turn in turns if isinstance(turn, Triplet)})  # `Conversation` checks them
        voices = self.voices.choose(num_speakers, rng)
        return Conversation(uri, self.duration, turns, voices, self._draw_scene(uri, voices))

    def render(self, conversation: Conversation) -> np.ndarray:
        """Render a conversation: the same samples for the same conversation in any process.

        Returns
        -------
        waveform : (1, num_samples) float32
            At 16 kHz.

        Raises
        ------
        VoicesError
            If a voice is not in the store.
        """
        scene = self._scene_of(conversation)
        return self.acoustics.apply(self._pieces(conversation), scene, _stream(conversation.uri, ACOUSTICS))[None]

    def digest(self, conversation: Conversation) -> str:
        """Hashes of all that the audio of a conversation depends on: itself, the store of voices, and the acoustics."""
        return f"{conversation.digest} of {self.voices.digest} in {self.acoustics.digest}"

    def tracks(self, conversation: Conversation) -> np.ndarray:
        """Speech of each speaker, and nothing else: no room, no noise, all at one level.

        Returns
        -------
        tracks : (num_speakers, num_samples) float32
            0 outside of each speaker's turns.
        """
        return np.concatenate(list(self._pieces(conversation)), axis=1)

    def _pieces(self, conversation: Conversation) -> Iterator[np.ndarray]:
        """Tracks of one piece after the other. A turn that crosses the border of two is said in one go."""
        rng, scene = _stream(conversation.uri, SPEECH), self._scene_of(conversation)
        said: list[Utterance] = []
        for start in range(0, conversation.num_samples, PIECE):
            end = min(start + PIECE, conversation.num_samples)
            begun = (turn for turn in conversation.turns if start <= round(turn.start * SAMPLE_RATE) < end)
            said = [one for one in said if one.first + len(one.speech) > start]
            said += [self._say(turn, conversation, scene, rng) for turn in begun]
            tracks = np.zeros((len(conversation.voices), end - start), dtype=np.float32)
            for speaker, first, speech in said:
                part = speech[max(start - first, 0) : end - first]
                tracks[speaker, max(first - start, 0) :][: len(part)] = part
            yield tracks

    def _say(self, turn: Triplet, conversation: Conversation, scene: Scene, rng: np.random.Generator) -> Utterance:
        """Speech of one turn."""
        speaker, first = turn.speaker, round(turn.start * SAMPLE_RATE)
        num_samples = min(round(turn.end * SAMPLE_RATE), conversation.num_samples) - first
        speed, pitch = scene.speeds[speaker], scene.pitches[speaker]
        speech = self.voices.speech(conversation.voices[speaker], rng, math.ceil(num_samples * speed) + 1)
        played = soxr.resample(speech, speed, 1)[:num_samples]
        return Utterance(speaker, first, shift_pitch(played, pitch) if pitch else played)

    def _scene_of(self, conversation: Conversation) -> Scene:
        return conversation.scene or self._draw_scene(conversation.uri, conversation.voices)

    def _draw_scene(self, uri: str, voices: tuple[str, ...]) -> Scene:
        return self.acoustics.draw(voices, _stream(uri, SCENE))


def check_duration(owner: str, duration: Any) -> None:
    """Check that a duration is a number of seconds in which there is a sample.

    Raises
    ------
    ArgumentError
        If it is not.
    """
    shortest = 1 / SAMPLE_RATE
    allowed = (is_number(duration, shortest), f"a number of seconds, {shortest} (a sample) or more")
    check_ranges(owner, {"duration": duration}, {"duration": allowed})


def _stream(uri: str, part: int) -> np.random.Generator:
    if not isinstance(uri, str):
        raise OptionError(f"A conversation is called {uri!r}; its uri has to be a text, such as 'meeting-{uri}'.")
    return np.random.default_rng([seed_of(uri), part])
