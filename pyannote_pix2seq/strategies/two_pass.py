"""Strategy "two_pass": read the whole recording to find its speakers, and again to find when each of them speaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeVar

import torch

from pyannote_pix2seq.joining import shifted
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.output import Turn, join, surest
from pyannote_pix2seq.strategies.assignment import CLUSTERED_DURATION, assign_speakers
from pyannote_pix2seq.strategies.chunks import BORDER, Chunk, Stitcher, cropped
from pyannote_pix2seq.strategies.matching import match_enrolled
from pyannote_pix2seq.strategies.reading import Reading, second_pass
from pyannote_pix2seq.strategies.speakers import Speaker, merged, new_numbers, numbered, voices_of
from pyannote_pix2seq.strategies.strategy import Diarization, ProgressCallback, reported
from pyannote_pix2seq.strategies.writer import Writer

BATCH = 4
"""Chunks that are decoded at once."""

Item = TypeVar("Item")


class TwoPass:
    """Reads every chunk on its own, clusters the voices, and reads every chunk again.

    In the second pass, a chunk is prompted with the speakers of the recording who may be in it, see `Reading.prompted`.
    Audio tokens, and clips of them, are kept: about 1 MB per minute.

    Parameters
    ----------
    writer : Writer
    limits : SpeakerLimits
    known : sequence of Speaker, optional
        Enrolled speakers.
    """

    def __init__(self, writer: Writer, limits: SpeakerLimits, known: Sequence[Speaker] = ()):
        self.writer = writer
        self.limits = limits
        self.known = known

    def diarize(self, chunks: Iterable[Chunk], num_chunks: int, report: ProgressCallback) -> Diarization:
        """Diarize a recording; progress is reported as (step, completed, total)."""
        readings = self._listen(chunks, num_chunks, report)
        self._first_pass(readings, 0, report)
        if sum(len(reading.speakers) for reading in readings) < self.limits.min_speakers:
            self._first_pass(readings, -(-self.limits.min_speakers // len(readings)), report)
        if len(readings) == 1:
            return self._single_pass(readings[0])
        people, sure = self._people(readings)
        stitcher, turns = Stitcher(), []
        for reading, written in zip(readings, self._second_pass(readings, people, report), strict=True):
            turns += stitcher.push(cropped(written, reading.core), reading.core.end)
        turns += stitcher.close()
        return self._numbered(turns + self._missing_turns(people, sure, turns), people)

    def _single_pass(self, reading: Reading) -> Diarization:
        """Turns of a recording that is one chunk: they are only attributed by voice, not written again."""
        people = list(reading.speakers.values())
        self._name_enrolled(people)
        reading.turns = [turn.within(0.0, reading.core.end) for turn in reading.turns]
        assigned = reading.attributed()
        is_obeyed = len({turn.speaker for turn in assigned}) >= self.limits.min_speakers
        return self._numbered(join(assigned if is_obeyed else reading.turns, BORDER), people)

    def _numbered(self, turns: Sequence[Turn], people: Sequence[Speaker]) -> Diarization:
        """Give the speakers who have turns their final numbers, see `speakers.numbered`."""
        new, enrolled = new_numbers(self.known), {who.name: number for number, who in numbered(self.known).items()}
        order = dict.fromkeys(turn.speaker for turn in sorted(turns))
        numbers = {i: next(new) if people[i].name is None else enrolled[people[i].name] for i in order}
        turns = [turn._replace(speaker=numbers[turn.speaker]) for turn in turns]
        return Diarization(turns, {numbers[i]: people[i] for i in order})

    def _name_enrolled(self, people: Sequence[Speaker]) -> None:
        """Name the speakers who match enrolled ones."""
        for row, column in match_enrolled(self.known, voices_of(people), self.writer.compensation).items():
            people[column].name = self.known[row].name

    def _listen(self, chunks: Iterable[Chunk], num_chunks: int, report: ProgressCallback) -> list[Reading]:
        readings: list[Reading] = []
        for chunk in reported(chunks, num_chunks, "listening", report):
            audio = self.writer.listen(chunk.waveform).to(torch.half)
            readings.append(Reading(audio, chunk.start, chunk.core))
        return readings

    def _first_pass(self, readings: Sequence[Reading], min_speakers: int, report: ProgressCallback) -> None:
        """First pass over all chunks, with at least `min_speakers` speakers in each."""
        max_speakers = self.limits.at_once(self.writer.capacity)
        writer = self.writer if len(readings) == 1 else self.writer.first_pass
        for number, batch in enumerate(_batches(readings)):
            report("first pass", BATCH * number, len(readings))
            found = writer.write([reading.tokens for reading in batch], [[]] * len(batch), min_speakers, max_speakers)
            for reading, turns in zip(batch, found, strict=True):
                reading.set_turns(shifted(turns, reading.start))
        report("first pass", len(readings), len(readings))

    def _people(self, readings: Sequence[Reading]) -> tuple[list[Speaker], list[Turn]]:
        """Speakers of the recording, and the most confident turn of each in the first pass.

        The turns of all readings are reassigned from speakers of a chunk to speakers of the recording, from 0 on.
        """
        parts = [list(reading.parts(CLUSTERED_DURATION)) for reading in readings]
        duration = readings[-1].core.end
        assigned = iter(assign_speakers([part for some in parts for part in some], duration, self.limits).tolist())
        for reading, some in zip(readings, parts, strict=True):
            reading.set_turns([part.assigned_to(next(assigned)).turn for part in some])
        numbers = sorted({number for reading in readings for number in reading.speakers})
        people = [merged([r.speakers[number] for r in readings if number in r.speakers]) for number in numbers]
        self._name_enrolled(people)
        written = [turn for reading in readings for turn in reading.turns]
        sure = [surest(written, number).within(0.0, duration) for number in numbers]
        return people, sure

    def _second_pass(
        self, readings: Sequence[Reading], people: Sequence[Speaker], report: ProgressCallback
    ) -> list[list[Turn]]:
        """Second pass: turns of each chunk, in seconds of the recording. What the first pass found is dropped."""
        everybody, turns = dict(enumerate(people)), dict[int, list[Turn]]()
        prompted = self._prompted(readings, everybody)
        for batch in _alike(prompted):
            report("second pass", len(turns), len(readings))
            audio = [readings[index].tokens for index in batch]
            written = second_pass(self.writer, audio, [prompted[index] for index in batch], everybody)
            for index, found in zip(batch, written, strict=True):
                turns[index] = shifted(found, readings[index].start)
        report("second pass", len(readings), len(readings))
        return [turns[index] for index in range(len(readings))]

    def _prompted(self, readings: Sequence[Reading], people: Mapping[int, Speaker]) -> list[list[int]]:
        """Numbers of the speakers to prompt each chunk with; the turns of all readings are dropped."""
        prompted = []
        for reading in readings:
            prompted.append(reading.prompted(self.writer, people))
            reading.forget()
        return prompted

    def _missing_turns(self, people: Sequence[Speaker], sure: Sequence[Turn], turns: Sequence[Turn]) -> list[Turn]:
        """First-pass turns of speakers who have none in the second pass, where there are too few speakers."""
        silent = sorted(
            set(range(len(people))) - {turn.speaker for turn in turns}, key=lambda n: -people[n].solo_duration
        )
        missing = self.limits.min_speakers - (len(people) - len(silent))
        return [sure[number] for number in silent[: max(missing, 0)]]


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Items in batches."""
    return (items[first : first + BATCH] for first in range(0, len(items), BATCH))


def _alike(prompted: Sequence[Sequence[int]]) -> Iterator[Sequence[int]]:
    """Indices of chunks in batches, the chunks of each of which have as many prompts."""
    by_length: dict[int, list[int]] = {}
    for index, numbers in enumerate(prompted):
        by_length.setdefault(len(numbers), []).append(index)
    return chain.from_iterable(map(_batches, by_length.values()))
