"""Reading a chunk twice, with speakers identified by clustering all voices so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf

from torch import Tensor

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.joining import shifted
from pyannote_pix2seq.output import Turn
from pyannote_pix2seq.strategies.assignment import CLUSTERED_DURATION
from pyannote_pix2seq.strategies.chunks import Chunk, cropped
from pyannote_pix2seq.strategies.history import Group, PartHistory, same_people, unclaimed
from pyannote_pix2seq.strategies.inventory import SpeakerInventory
from pyannote_pix2seq.strategies.matching import enrolled_similarity, match_enrolled
from pyannote_pix2seq.strategies.reading import Part, Reading, second_pass
from pyannote_pix2seq.strategies.speakers import Speaker, numbered
from pyannote_pix2seq.strategies.writer import Writer

PROVISIONAL = 10**9
"""First of the numbers that new speakers of a chunk have until they have a turn in its core: above all final ones."""


class ByVoices:
    """Reads each chunk of a chain twice.

    The first pass reads the chunk on its own, to find its speakers: its voices are clustered with all earlier ones, see
    `PartHistory`. The second pass reads it behind prompts of the speakers, known or new, who may be in it.
    Chunks are read only once until somebody has spoken.

    Parameters
    ----------
    writer : Writer
    inventory : SpeakerInventory
        Updated with the speakers of each chunk.
    enrolled : sequence of Speaker
        Enrolled speakers of the inventory, as they were enrolled.

    Attributes
    ----------
    history : PartHistory
        Parts of the turns so far.
    """

    def __init__(self, writer: Writer, inventory: SpeakerInventory, enrolled: Sequence[Speaker]):
        self.writer = writer
        self.inventory = inventory
        self.history = PartHistory()
        self._enrolled = enrolled

    def read(self, audio: AudioTokens, chunk: Chunk) -> list[Turn]:
        """Turns in the core of a chunk."""
        reading, parts = self._first_pass(audio, chunk)
        met = {number: who for number, who in reading.speakers.items() if number not in self.inventory.heard}
        said = cropped(self._second_pass(reading, met), chunk.core)
        numbers = self._remember(said, met)
        assigned = [part.assigned_to(numbers.get(part.turn.speaker, part.turn.speaker)) for part in parts]
        self.history.add(part for part in assigned if part.turn.speaker in self.inventory.heard)
        return [turn._replace(speaker=numbers[turn.speaker]) for turn in said]

    def forget(self, number: int) -> None:
        """Remove all parts of a speaker from the history."""
        self.history.forget(number)

    def _first_pass(self, audio: AudioTokens, chunk: Chunk) -> tuple[Reading, list[Part]]:
        """Read a chunk on its own, identify its speakers, and return its parts that begin before its core ends.

        Parts before the core are left out: they are in the history already, and would be their own nearest neighbours.
        A speaker who begins just before the end of the core is included, so that the next chunk knows who goes on.
        """
        reading = self._read_alone(audio, chunk)
        parts = [part for part in reading.parts(CLUSTERED_DURATION) if part.turn.segment.middle >= chunk.core.start]
        if not parts:
            reading.set_turns([])
            return reading, []
        assigned, groups = self._assign(reading, parts, chunk.core.end)
        own = same_people(groups, self._enrolled_groups(groups, set(assigned)))
        spare = unclaimed(groups, own)
        self.inventory.present = set(own.values())
        numbers = self._numbers(assigned, groups, own, spare)
        parts = [part.assigned_to(numbers[group]) for part, group in zip(parts, assigned, strict=True)]
        reading.set_turns([part.turn for part in parts])
        self._update(reading, {number: groups[group].voice for group, number in own.items()}, spare)
        self.inventory.present = set(numbers.values())
        return reading, [part for part in parts if part.turn.start < chunk.core.end]

    def _second_pass(self, reading: Reading, met: dict[int, Speaker]) -> list[Turn]:
        """Read a chunk behind prompts of who may be in it; `met` are those who have not spoken before."""
        heard, speakers = self.inventory.heard, self.inventory.speakers
        if not heard:
            return reading.attributed()
        people = {number: speakers[number] for number in sorted(heard & self.inventory.present)} | met
        prompted = reading.prompted(self.writer, people)
        return shifted(second_pass(self.writer, [reading.tokens], [prompted], people)[0], reading.start)

    def _remember(self, said: Sequence[Turn], met: Mapping[int, Speaker]) -> dict[int, int]:
        """Add those who have not spoken before to the inventory, and return the number of everybody who speaks."""
        inventory, numbers = self.inventory, {}
        for number in dict.fromkeys(turn.speaker for turn in sorted(said)):
            known = inventory.speakers.get(number)
            numbers[number] = inventory.new_number() if known is None else number
            if number not in inventory.heard:
                inventory.speakers[numbers[number]] = replace(met[number], name=known.name if known else None)
                inventory.add(numbers[number])
        return numbers

    def _read_alone(self, audio: AudioTokens, chunk: Chunk) -> Reading:
        """Read a chunk on its own; with all decoding samples where that is the only pass."""
        reading = Reading(audio, chunk.start, chunk.core)
        writer = self.writer.first_pass if self.inventory.heard else self.writer
        max_speakers = self.inventory.limits.at_once(self.writer.capacity)
        reading.set_turns(shifted(writer.write([audio], [[]], 0, max_speakers)[0], chunk.start))
        return reading

    def _assign(self, reading: Reading, parts: Sequence[Part], until: float) -> tuple[list[int], list[Group]]:
        """Group of each part. Until somebody has spoken, groups are the speakers of the chunk."""
        if self.inventory.heard:
            return self.history.assign(parts, until, self.inventory.limits.max_speakers)
        order = list(reading.speakers)
        groups = [Group(speaker.voice, speaker.voice, {}) for speaker in reading.speakers.values()]
        return [order.index(part.turn.speaker) for part in parts], groups

    def _enrolled_groups(self, groups: Sequence[Group], present: set[int]) -> dict[int, int]:
        """Numbers of enrolled speakers by group; a group that speaks in the chunk has to match there as well."""
        numbers = list(numbered(self._enrolled))
        compensation = self.writer.compensation
        matched = match_enrolled(self._enrolled, [group.voice for group in groups], compensation).items()
        here = enrolled_similarity(self._enrolled, [group.here for group in groups], compensation)
        return {
            group: numbers[row]
            for row, group in matched
            if (group not in present or here[row, group] >= compensation.least.item())
            and (numbers[row] in self.inventory.heard or self.inventory.allowed != 0)
        }

    def _numbers(
        self, assigned: Sequence[int], groups: Sequence[Group], own: Mapping[int, int], spare: Iterable[int]
    ) -> dict[int, int]:
        """Number of each group: its own, a new one or, if no more may appear, a spare one or the most similar one's."""
        allowed, unused = self.inventory.allowed, iter(spare)
        room = inf if allowed is None else allowed
        numbers = {**own}
        for group in dict.fromkeys(assigned):
            number = numbers.setdefault(group, PROVISIONAL + group)
            if number not in self.inventory.heard:
                room -= 1
                if room < 0:
                    other = next(unused, None)
                    numbers[group] = self.inventory.most_similar(groups[group].voice) if other is None else other
        return numbers

    def _update(self, reading: Reading, voices: Mapping[int, Tensor], spare: Iterable[int]) -> None:
        """Update speakers who have spoken before: clips from this chunk, voices from all parts of their group.

        Whoever gets a spare number takes the place of the speaker who had it.
        """
        for number in self.inventory.heard & voices.keys():
            if number in reading.speakers:
                self.inventory.speakers[number].update(reading.speakers[number])
            self.inventory.speakers[number].voice = voices[number]
        for number in spare:
            if number in reading.speakers:
                self.inventory.speakers[number] = reading.speakers[number]
                self.history.forget(number)
