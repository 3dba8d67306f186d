"""What the first pass over a chunk finds, and the second pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from pyannote.core import Segment
from torch import Tensor

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.joining import shifted
from pyannote_pix2seq.output import Turn, join
from pyannote_pix2seq.strategies.attribution import attribute, parts_of, solo_voice
from pyannote_pix2seq.strategies.matching import likeliest
from pyannote_pix2seq.strategies.speakers import Speaker, speakers_in
from pyannote_pix2seq.strategies.writer import Writer

NUM_VOICES = 2
"""How many voices of each audio token are summed to tell the speakers of a recording apart. The first is that of all
speech nearby, the second that of the local speaker who is the most active, wherever they speak alone: less of others is
in it. Within a chunk, the first alone tells better who speaks, see `attribute`."""
AUDIBLE = 0.75
"""Seconds without overlap that a part needs for its voice to tell who speaks."""


class Part(NamedTuple):
    """A few seconds of a turn of a chunk.

    Attributes
    ----------
    turn : Turn
        In seconds of the recording.
    voice : (voice_dim,) tensor
        Sum of the first `NUM_VOICES` voices where nobody else speaks; if that is too short, the voice of the speaker in
        the chunk, see `Speaker`.
    seconds : float
        Seconds without overlap.
    written : tuple of float and int
        Where the chunk begins, in seconds, and the speaker number that the part was written with there, whoever it is
        assigned to now.
    """

    turn: Turn
    voice: Tensor
    seconds: float
    written: tuple[float, int]

    def assigned_to(self, speaker: int) -> Part:
        """The same part, assigned to a speaker."""
        return self._replace(turn=self.turn._replace(speaker=speaker))


@dataclass
class Reading:
    """Audio tokens of a chunk, and the turns that were found in it.

    Parameters
    ----------
    audio : AudioTokens
        (num_tokens, ...), in half precision where many chunks are kept.
    start : float
        Where the chunk begins, in seconds of the recording.
    core : Segment
        Part of the chunk whose turns count, in seconds of the recording.

    Attributes
    ----------
    turns : list of Turn
        In seconds of the recording.
    speakers : dict of int to Speaker
        Speakers of the turns, by number.
    """

    audio: AudioTokens
    start: float
    core: Segment
    turns: list[Turn] = field(default_factory=list)
    speakers: dict[int, Speaker] = field(default_factory=dict)

    @property
    def tokens(self) -> AudioTokens:
        """The audio tokens in single precision."""
        return self.audio.to(torch.float)

    def set_turns(self, turns: Sequence[Turn]) -> None:
        """Set the turns, in seconds of the recording, and the speakers that follow from them."""
        self.turns = join(turns, 0.0)
        self.speakers = speakers_in(self.tokens, self.turns, self.start)

    def attributed(self) -> list[Turn]:
        """The turns, parts of which are reassigned to the speakers whose voices they clearly have, see `attribute`."""
        order = list(self.speakers)
        turns = [turn._replace(speaker=order.index(turn.speaker)) for turn in shifted(self.turns, -self.start)]
        found = attribute(turns, self.tokens, list(self.speakers.values()))
        return [turn._replace(speaker=order[turn.speaker]) for turn in shifted(found, self.start)]

    def prompted(self, writer: Writer, people: Mapping[int, Speaker]) -> list[int]:
        """Numbers of the speakers to prompt the chunk with: who was found in it, and others who may be in it."""
        tokens = self.tokens
        return likeliest(people, tokens, writer.most_prompts(tokens), self.speakers)

    def forget(self) -> None:
        """Drop turns and speakers: the clips of all speakers in many chunks are large."""
        self.turns, self.speakers = [], {}

    def parts(self, seconds: float) -> Iterator[Part]:
        """Parts of all turns, of about `seconds` seconds each."""
        tokens, turns = self.tokens, shifted(self.turns, -self.start)
        for turn in turns:
            others = [other.segment for other in turns if other.speaker != turn.speaker]
            parts = list(parts_of(turn, seconds))
            for part, placed in zip(parts, shifted(parts, self.start), strict=True):
                voice, heard = solo_voice(part, others, tokens, NUM_VOICES)
                usual = self.speakers[turn.speaker].voice
                voice = usual if voice is None else voice
                yield Part(placed, voice, heard, (self.start, turn.speaker))


def second_pass(
    writer: Writer,
    audio: Sequence[AudioTokens],
    prompted: Sequence[Sequence[int]],
    people: Mapping[int, Speaker],
) -> list[list[Turn]]:
    """Write the turns of chunks, behind prompts of those who may be in each.

    Parameters
    ----------
    writer : Writer
    audio : sequence of AudioTokens
        Of each chunk, (num_tokens, ...); chunks are equally long.
    prompted : sequence of sequences of int
        Numbers of the speakers that each chunk is prompted with, as many for each. Nobody else can be written: without
        any, there are no turns.
    people : mapping of int to Speaker
        Speakers by number.

    Returns
    -------
    turns : list of lists of Turn
        In seconds from the beginning of each chunk, with the numbers of `people`.
    """
    if not any(prompted):
        return [[] for _ in audio]
    prompts = [[people[number] for number in numbers] for numbers in prompted]
    written = writer.second_pass.write(audio, prompts, max_speakers=len(prompted[0]))
    return [
        [turn._replace(speaker=numbers[turn.speaker]) for turn in turns]
        for numbers, turns in zip(prompted, written, strict=True)
    ]
