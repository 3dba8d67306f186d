"""Chunk after chunk, each prompted with the speakers known so far: what a stream needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple

from torch import Tensor

from pyannote_pix2seq.attribution import attribute
from pyannote_pix2seq.chunks import Chunk, Stitcher, believed
from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.output import SHORTEST_TURN, Turn
from pyannote_pix2seq.people import PART
from pyannote_pix2seq.reading import AGAIN, SKETCH, Part, Reading
from pyannote_pix2seq.recollection import Group, Recollection, Voice, same_people
from pyannote_pix2seq.speakers import Speaker, Voiced, hear, likeliest, match, new_numbers, numbered, similarity
from pyannote_pix2seq.writer import Writer

CLAIM = 0.45
"""Nobody is called by the name of an enrolled speaker unless the cosine of their voices is this or more."""
REMEMBERED = 64
"""Strangers who are remembered from chunk to chunk, however many there are in a recording."""
NEWCOMER = 10**9
"""Numbers from here on are of those who are met in a chunk, and have none of their own until they are heard."""

Report = Callable[[str, int, int], None]
"""Is told the name of a step, how much of it is done, and how much there is."""


class Diarization(NamedTuple):
    """What a strategy finds.

    Attributes
    ----------
    turns : list of Turn
    speakers : dict of int to Speaker
        By their numbers, see `speakers.numbered`; some may have no turn.
    """

    turns: list[Turn]
    speakers: dict[int, Speaker]


class Chain:
    """Reads chunks in their order and remembers who speaks.

    Each chunk is read twice. First on its own, to find out who is in it: the voices of all that was said so far are
    told apart again with those of the chunk, see `Recollection`. Then behind prompts of them and of others whose voices
    those are. A chunk before which nobody was heard is read once, and so is one in which somebody has to speak for the
    first time, or else there would be too few people in the recording. A frontend without voices has nothing to tell
    people apart by: then each chunk is read once, and who speaks is known by the prompts alone.

    No more than `REMEMBERED` strangers are, so that what is kept does not grow with the recording: others are
    forgotten, those first who are silent for the longest time in proportion to what they said alone. A stranger who is
    forgotten and speaks again is somebody new; nobody else ever has his number. Who was enrolled is never forgotten.

    Parameters
    ----------
    writer : Writer
    limits : SpeakerLimits
        On those who speak in the recording.
    known : sequence of Speaker, optional
        Who was enrolled.

    Attributes
    ----------
    speakers : dict of int to Speaker
        The enrolled ones first, then strangers who are remembered, in order of appearance.
    heard : set of int
        Numbers of those of them who spoke.
    num_heard : int
        How many spoke, those who are forgotten included.
    """

    def __init__(self, writer: Writer, limits: SpeakerLimits, known: Sequence[Speaker] = ()):
        self.writer = writer
        self.limits = limits
        self.speakers = numbered(replace(speaker) for speaker in known)
        self.heard: set[int] = set()
        self.num_heard = 0
        self.recollection = Recollection()
        self._enrolled = known
        self._present: set[int] = set()
        self._new = new_numbers(known)

    def diarize(self, chunks: Iterable[Chunk], num_chunks: int, report: Report) -> Diarization:
        """Diarize a recording; what is done is reported as (step, completed, total)."""
        stitcher, turns, everybody = Stitcher(), [], dict(self.speakers)
        report("chunks", 0, num_chunks)
        for done, chunk in enumerate(chunks, 1):
            later = 0 if chunk.is_last else max(num_chunks - done, 1)
            turns += stitcher.push(self.read(chunk, later), chunk.believed.end)
            everybody |= self.speakers
            report("chunks", done, done if chunk.is_last else max(num_chunks, done + 1))
        return Diarization(turns + stitcher.close(), everybody)

    def read(self, chunk: Chunk, later: int) -> list[Turn]:
        """Turns of the next chunk where it is believed; at least `later` chunks come after it."""
        self._forget(chunk.believed.start)
        needed = self.limits.needed(self.num_heard, later * self.writer.capacity)
        audio = self.writer.listen(chunk.waveform)
        if needed or not audio.voice.shape[1]:
            return self._read_once(audio, chunk, needed)
        return self._read_twice(audio, chunk)

    def _read_twice(self, audio: AudioTokens, chunk: Chunk) -> list[Turn]:
        """Turns of a chunk where it is believed: by whom, told by the voices of all that was heard so far."""
        reading, parts = self._meet(audio, chunk)
        met = {number: reading.speakers[number] for number in reading.speakers if number not in self.heard}
        people = {number: self.speakers[number] for number in sorted(self.heard & self._present)} | met
        turns = self._again(audio, people) if self.heard else self._only(reading, people)
        said = believed([turn.later(chunk.start) for turn in turns], chunk.believed)
        order = list(dict.fromkeys(turn.speaker for turn in sorted(said)))
        numbers = {number: next(self._new) if number >= NEWCOMER else number for number in order}
        for number in (number for number in order if number not in self.heard):
            name = self.speakers[number].name if number in self.speakers else None
            self.speakers[numbers[number]] = replace(met[number], name=name)
            self._arrive(numbers[number])
        told = [part.told(numbers.get(part.turn.speaker, part.turn.speaker)) for part in parts]
        self.recollection.add(part for part in told if part.turn.speaker in self.heard)
        return [turn._replace(speaker=numbers[turn.speaker]) for turn in said]

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
        self._present = set(numbers.values())
        return reading, [part for part in parts if part.turn.start < chunk.believed.end]

    def _sketch(self, audio: AudioTokens, chunk: Chunk) -> Reading:
        """A chunk that is read on its own; with care if that is all there will be to know of it."""
        reading = Reading(audio, self.writer.token_duration, chunk.start, chunk.believed)
        writer = self.writer.at_most(**SKETCH) if self.heard else self.writer
        most = self.limits.at_once(self.writer.capacity)
        reading.tell([turn.later(chunk.start) for turn in writer.write([audio], [[]], 0, most)[0]])
        return reading

    def _tell(self, reading: Reading, parts: Sequence[Part], until: float) -> tuple[list[int], list[Group]]:
        """Group of each part. As long as nobody was heard, they are the speakers of the chunk."""
        if self.heard:
            return self.recollection.tell(parts, until, self.limits.most)
        order = list(reading.speakers)
        groups = [Group(speaker.voice, Voice(speaker.voice), {}) for speaker in reading.speakers.values()]
        return [order.index(part.turn.speaker) for part in parts], groups

    def _learn(self, reading: Reading, voices: Mapping[int, Tensor]) -> None:
        """Know those better who were heard before: clips by what they say in a chunk, voices by all that is theirs."""
        for number in self.heard & voices.keys():
            if number in reading.speakers:
                self.speakers[number].learn(reading.speakers[number])
            self.speakers[number].voice = voices[number]

    def _numbers(self, told: Sequence[int], groups: Sequence[Group], own: Mapping[int, int]) -> dict[int, int]:
        """Their own numbers, those of newcomers or, where there is no room for one, of who sounds most like him."""
        allowed = self.limits.allowed(self.num_heard)
        room = inf if allowed is None else allowed
        numbers = {**own}
        for group in dict.fromkeys(told):
            number = numbers.setdefault(group, NEWCOMER + group)
            if number not in self.heard:
                room -= 1
                numbers[group] = number if room >= 0 else self._most_similar(groups[group])
        return numbers

    def _claims(self, groups: Sequence[Group], present: set[int]) -> dict[int, int]:
        """Numbers of groups that sound like somebody enrolled; if they speak in a chunk, there as well."""
        claims = match(similarity(self._enrolled, groups), CLAIM).items()
        here = similarity(self._enrolled, [group.here for group in groups])
        return {group: ~row for row, group in claims if group not in present or here[row, group] >= CLAIM}

    def _only(self, reading: Reading, people: dict[int, Speaker]) -> list[Turn]:
        """Turns of a chunk before which nobody was heard: there is nothing to learn but whose voice is whose."""
        order = list(people)
        turns = [turn.later(-reading.start)._replace(speaker=order.index(turn.speaker)) for turn in reading.turns]
        told = attribute(turns, reading.audio, list(people.values()), self.writer.token_duration)
        return [turn._replace(speaker=order[turn.speaker]) for turn in told]

    def _again(self, audio: AudioTokens, people: dict[int, Speaker]) -> list[Turn]:
        """Turns of a chunk behind prompts of people who may be in it; none if it can be nobody."""
        if not people:
            return []
        everybody, numbers = list(people.values()), list(people)
        chosen = likeliest(everybody, audio, self.writer.capacity, self.writer.token_duration)
        writer = self.writer.at_most(**AGAIN)
        (turns,) = writer.write([audio], [[everybody[i] for i in chosen]], most=len(chosen))
        return [turn._replace(speaker=numbers[chosen[turn.speaker]]) for turn in turns]

    def _read_once(self, audio: AudioTokens, chunk: Chunk, needed: int) -> list[Turn]:
        """Turns of a chunk where it is believed: by whom, known by prompts; `needed` speak for the first time."""
        capacity, token_duration = self.writer.capacity, self.writer.token_duration
        allowed = self.limits.allowed(self.num_heard)
        candidates = [number for number in self.speakers if allowed != 0 or number in self.heard]
        room = 0 if allowed == 0 and len(candidates) <= capacity else max(needed, 1)
        known = [self.speakers[number] for number in candidates]
        prompted = [candidates[i] for i in likeliest(known, audio, capacity - room, token_duration)]
        most = capacity if allowed is None else min(len(prompted) + max(allowed, room), capacity)
        written = self.writer.write([audio], [[self.speakers[n] for n in prompted]], len(prompted) + needed, most)
        turns = [turn.later(chunk.start) for turn in written[0]]
        return self._remember(turns, hear(audio, turns, chunk.start, token_duration), prompted, needed, chunk)

    def _forget(self, now: float) -> None:
        """Let go of strangers of whom there are too many."""

        def silence(number: int) -> float:
            speaker = self.speakers[number]
            return max(now - speaker.last_heard, 0.0) / max(speaker.alone, SHORTEST_TURN)

        strangers = [number for number, speaker in self.speakers.items() if speaker.name is None]
        for number in sorted(strangers, key=silence)[REMEMBERED:]:
            del self.speakers[number]
            self.heard.remove(number)
            self.recollection.forget(number)

    def _remember(
        self, turns: list[Turn], voices: dict[int, Speaker], prompted: list[int], needed: int, chunk: Chunk
    ) -> list[Turn]:
        """Find out who the speakers of a chunk are, and learn from them."""
        said = believed(turns, chunk.believed)
        first = {turn.speaker: turn.start for turn in sorted(said, reverse=True)}
        names = {
            local: number
            for local, number in enumerate(prompted)
            if local in voices and _may_be(voices[local], self.speakers[number])
        }
        arrivals = self._arrivals(voices, names, first, needed)
        for local, number in names.items():
            if number in self.heard or local in arrivals:
                self.speakers[number].learn(voices[local])
        for local in arrivals:
            if local not in names:
                names[local] = next(self._new)
                self.speakers[names[local]] = voices[local]
            if local not in first:
                said.append(_surest(turns, local, chunk))
            self._arrive(names[local])
        names |= {local: self._most_similar(voices[local]) for local in first if names.get(local) not in self.heard}
        return [turn._replace(speaker=names[turn.speaker]) for turn in said]

    def _arrive(self, number: int) -> None:
        """Somebody is heard for the first time."""
        self.heard.add(number)
        self._present.add(number)
        self.num_heard += 1

    def _arrivals(
        self, voices: dict[int, Speaker], names: dict[int, int], first: dict[int, float], needed: int
    ) -> list[int]:
        """Speakers of a chunk heard for the first time: all who are believed to speak, and `needed` at least."""
        new = [local for local in voices if names.get(local) not in self.heard]
        sure = sorted((local for local in new if local in first), key=lambda local: (local not in names, first[local]))
        spare = [local for local in new if local not in first and local not in names]
        return (sure + spare[: max(needed - len(sure), 0)])[: self.limits.allowed(self.num_heard)]

    def _most_similar(self, voice: Voiced) -> int:
        """Number of the speaker among those heard who sounds most like somebody for whom there is no room."""
        heard = [number for number in self.speakers if number in self.heard]
        return heard[int(similarity([voice], [self.speakers[number] for number in heard]).argmax())]


def _may_be(heard: Speaker, known: Speaker) -> bool:
    """Whether somebody who was named by a prompt sounds like the one who was enrolled."""
    has_voice = known.name is not None and len(known.voice) > 0
    return not has_voice or similarity([heard], [known]).item() >= CLAIM


def _surest(turns: Iterable[Turn], speaker: int, chunk: Chunk) -> Turn:
    """The surest turn of somebody who has to be heard, wherever it is in the chunk."""
    turn = max((turn for turn in turns if turn.speaker == speaker), key=lambda turn: turn.confidence)
    return turn.within(chunk.start, max(chunk.believed.end, chunk.start + SHORTEST_TURN))
