"""How a chunk is read twice, and what the first time finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from pyannote.core import Segment
from torch import Tensor

from pyannote_pix2seq.decoding_options import TIGHT
from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.output import Turn, join
from pyannote_pix2seq.strategies.attribution import parts_of, solo_voice
from pyannote_pix2seq.strategies.speakers import Speaker, likeliest, speakers_in
from pyannote_pix2seq.strategies.writer import Writer

FIRST_PASS = {"num_samples": 4, "temperature": 0.8, "threshold": 0.4, **TIGHT}
"""Decoding options of a first pass, which only has to tell voices apart: few samples should not vary much."""
SECOND_PASS = {"num_samples": 16}
"""Those of the second pass, which knows more than a pass that is the only one. Both are the most that is used."""


class Part(NamedTuple):
    """A few seconds of a turn of a chunk.

    Attributes
    ----------
    turn : Turn
        In seconds of the recording.
    voice : (voice_dim,) tensor
        Sum over where nobody else speaks; if that is too little, the voice of the speaker in the chunk, see `Speaker`.
    seconds : float
        Where nobody else speaks.
    written : tuple of float and int
        Where the chunk begins, and number of the speaker for whom the part was written there, whomever it is told to
        now.
    """

    turn: Turn
    voice: Tensor
    seconds: float
    written: tuple[float, int]

    def assigned_to(self, speaker: int) -> Part:
        """The same, told to a speaker."""
        return self._replace(turn=self.turn._replace(speaker=speaker))


@dataclass
class Reading:
    """A chunk that was listened to.

    Parameters
    ----------
    audio : AudioTokens
        (num_tokens, ...), in half precision where many chunks are kept.
    token_duration : float
        Seconds.
    start : float
        Where the chunk begins, in seconds of the recording.
    believed : Segment
        Where it is believed.

    Attributes
    ----------
    turns : list of Turn
        In seconds of the recording.
    speakers : dict of int to Speaker
        Those of the turns.
    """

    audio: AudioTokens
    token_duration: float
    start: float
    core: Segment
    turns: list[Turn] = field(default_factory=list)
    speakers: dict[int, Speaker] = field(default_factory=dict)

    @property
    def tokens(self) -> AudioTokens:
        """The audio in single precision."""
        return self.audio.to(torch.float)

    def set_turns(self, turns: Sequence[Turn]) -> None:
        """Say who speaks when, in seconds of the recording."""
        self.turns = join(turns, 0.0)
        self.speakers = speakers_in(self.tokens, self.turns, self.start, self.token_duration)

    def forget(self) -> None:
        """Forget who speaks when: clips of everybody in many chunks are large."""
        self.turns, self.speakers = [], {}

    def parts(self, seconds: float) -> Iterator[Part]:
        """Parts of about so many seconds of all turns."""
        tokens, turns = self.tokens, [turn.later(-self.start) for turn in self.turns]
        for turn in turns:
            others = [other.segment for other in turns if other.speaker != turn.speaker]
            for part in parts_of(turn, seconds):
                voice, heard = solo_voice(part, others, tokens, self.token_duration)
                usual = self.speakers[turn.speaker].voice
                voice = usual if voice is None else voice
                yield Part(part.later(self.start), voice, heard, (self.start, turn.speaker))


def second_pass(writer: Writer, audio: Sequence[AudioTokens], people: Mapping[int, Speaker]) -> list[list[Turn]]:
    """Who speaks when in chunks, behind prompts of those people who are the likeliest to be heard in each.

    Parameters
    ----------
    writer : Writer
    audio : sequence of AudioTokens
        Of each chunk, (num_tokens, ...).
    people : mapping of int to Speaker
        Nobody else is heard, so that without people, nobody is.

    Returns
    -------
    turns : list of lists of Turn
        In seconds from the beginning of each chunk, of people by their numbers.
    """
    if not people:
        return [[] for _ in audio]
    numbers, everybody = list(people), list(people.values())
    chosen = [likeliest(everybody, chunk, writer.capacity, writer.token_duration) for chunk in audio]
    prompted = [[everybody[index] for index in some] for some in chosen]
    written = writer.at_most(**SECOND_PASS).write(audio, prompted, max_speakers=len(chosen[0]))
    return [
        [turn._replace(speaker=numbers[some[turn.speaker]]) for turn in turns]
        for some, turns in zip(chosen, written, strict=True)
    ]
