"""A chunk that is read twice: who speaks is told by the voices of all that was heard so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf

from torch import Tensor

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.output import Turn
from pyannote_pix2seq.strategies.attribution import attribute
from pyannote_pix2seq.strategies.cast import Cast
from pyannote_pix2seq.strategies.chunks import Chunk, believed
from pyannote_pix2seq.strategies.people import PART
from pyannote_pix2seq.strategies.reading import SKETCH, Part, Reading, write_again
from pyannote_pix2seq.strategies.recollection import Group, Recollection, same_people
from pyannote_pix2seq.strategies.speakers import CLAIM, Speaker, claimed, similarity, voices_of
from pyannote_pix2seq.strategies.writer import Writer

NEWCOMER = 10**9
"""Numbers from here on are of those who are met in a chunk, and have none of their own until they are heard."""


class ByVoices:
    """Reads each chunk of a chain twice.

    First on its own, to find out who is in it: the voices of all that was said so far are told apart again with those
    of the chunk, see `Recollection`. Then behind prompts of them and of others whose voices those are. A chunk before
    which nobody was heard is read once.

    Parameters
    ----------
    writer : Writer
    cast : Cast
        Learns whom it hears.
    enrolled : sequence of Speaker
        Those of the cast, as they were enrolled.

    Attributes
    ----------
    recollection : Recollection
        Of what was heard.
    """

    def __init__(self, writer: Writer, cast: Cast, enrolled: Sequence[Speaker]):
        self.writer = writer
        self.cast = cast
        self.recollection = Recollection()
        self._enrolled = enrolled

    def read(self, audio: AudioTokens, chunk: Chunk) -> list[Turn]:
        """Turns of a chunk where it is believed."""
        cast = self.cast
        reading, parts = self._meet(audio, chunk)
        met = {number: reading.speakers[number] for number in reading.speakers if number not in cast.heard}
        people = {number: cast.speakers[number] for number in sorted(cast.heard & cast.present)} | met
        turns = write_again(self.writer, [audio], people)[0] if cast.heard else self._only(reading, people)
        said = believed([turn.later(chunk.start) for turn in turns], chunk.believed)
        order = list(dict.fromkeys(turn.speaker for turn in sorted(said)))
        numbers = {number: cast.new_number() if number >= NEWCOMER else number for number in order}
        for number in (number for number in order if number not in cast.heard):
            name = cast.speakers[number].name if number in cast.speakers else None
            cast.speakers[numbers[number]] = replace(met[number], name=name)
            cast.arrive(numbers[number])
        told = [part.told(numbers.get(part.turn.speaker, part.turn.speaker)) for part in parts]
        self.recollection.add(part for part in told if part.turn.speaker in cast.heard)
        return [turn._replace(speaker=numbers[turn.speaker]) for turn in said]

    def forget(self, number: int) -> None:
        """Let go of all that somebody said."""
        self.recollection.forget(number)

    def _meet(self, audio: AudioTokens, chunk: Chunk) -> tuple[Reading, list[Part]]:
        """Who is in a chunk that is read on its own, and its parts that begin where it is believed.

        What lies before that is left out: it is remembered already, and nobody sounds as much like it as it does.
        Whoever begins just before its end is remembered, or the next chunk would not know whom it goes on with.
        """
        reading = self._sketch(audio, chunk)
        parts = [part for part in reading.parts(PART) if part.turn.segment.middle >= chunk.believed.start]
        if not parts:
            reading.tell([])
            return reading, []
        told, groups = self._tell(reading, parts, chunk.believed.end)
        own = same_people(groups, self._claims(groups, set(told)))
        numbers = self._numbers(told, groups, own)
        parts = [part.told(numbers[group]) for part, group in zip(parts, told, strict=True)]
        reading.tell([part.turn for part in parts])
        self._learn(reading, {number: groups[group].voice for group, number in own.items()})
        self.cast.present = set(numbers.values())
        return reading, [part for part in parts if part.turn.start < chunk.believed.end]

    def _sketch(self, audio: AudioTokens, chunk: Chunk) -> Reading:
        """A chunk that is read on its own; with care if that is all there will be to know of it."""
        reading = Reading(audio, self.writer.token_duration, chunk.start, chunk.believed)
        writer = self.writer.at_most(**SKETCH) if self.cast.heard else self.writer
        most = self.cast.limits.at_once(self.writer.capacity)
        reading.tell([turn.later(chunk.start) for turn in writer.write([audio], [[]], 0, most)[0]])
        return reading

    def _tell(self, reading: Reading, parts: Sequence[Part], until: float) -> tuple[list[int], list[Group]]:
        """Group of each part. As long as nobody was heard, they are the speakers of the chunk."""
        if self.cast.heard:
            return self.recollection.tell(parts, until, self.cast.limits.most)
        order = list(reading.speakers)
        groups = [Group(speaker.voice, speaker.voice, {}) for speaker in reading.speakers.values()]
        return [order.index(part.turn.speaker) for part in parts], groups

    def _claims(self, groups: Sequence[Group], present: set[int]) -> dict[int, int]:
        """Numbers of groups that sound like somebody enrolled; if they speak in a chunk, there as well."""
        claims = claimed(self._enrolled, [group.voice for group in groups]).items()
        here = similarity(voices_of(self._enrolled), [group.here for group in groups])
        return {group: ~row for row, group in claims if group not in present or here[row, group] >= CLAIM}

    def _numbers(self, told: Sequence[int], groups: Sequence[Group], own: Mapping[int, int]) -> dict[int, int]:
        """Their own numbers, those of newcomers or, where there is no room for one, of who sounds most like him."""
        allowed = self.cast.allowed
        room = inf if allowed is None else allowed
        numbers = {**own}
        for group in dict.fromkeys(told):
            number = numbers.setdefault(group, NEWCOMER + group)
            if number not in self.cast.heard:
                room -= 1
                numbers[group] = number if room >= 0 else self.cast.most_similar(groups[group].voice)
        return numbers

    def _learn(self, reading: Reading, voices: Mapping[int, Tensor]) -> None:
        """Know those better who were heard before: clips by what they say in a chunk, voices by all that is theirs."""
        for number in self.cast.heard & voices.keys():
            if number in reading.speakers:
                self.cast.speakers[number].learn(reading.speakers[number])
            self.cast.speakers[number].voice = voices[number]

    def _only(self, reading: Reading, people: dict[int, Speaker]) -> list[Turn]:
        """Turns of a chunk before which nobody was heard: there is nothing to learn but whose voice is whose."""
        order = list(people)
        turns = [turn.later(-reading.start)._replace(speaker=order.index(turn.speaker)) for turn in reading.turns]
        told = attribute(turns, reading.audio, list(people.values()), self.writer.token_duration)
        return [turn._replace(speaker=order[turn.speaker]) for turn in told]
