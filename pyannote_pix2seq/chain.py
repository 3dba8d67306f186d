"""Chunk after chunk, each prompted with the speakers known so far: what a stream needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from pyannote_pix2seq.chunks import Chunk, Stitcher, believed
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.output import SHORTEST_TURN, Turn
from pyannote_pix2seq.speakers import Speaker, hear, likeliest, match, new_numbers, numbered, similarity
from pyannote_pix2seq.writer import Writer

SAME = 0.5
"""Somebody whom the model names anew is somebody known if the cosine of their voices is this or more."""
CLAIM = 0.45
"""Nobody is called by the name of an enrolled speaker unless the cosine of their voices is this or more."""
REMEMBERED = 64
"""Strangers who are remembered from chunk to chunk, however many there are in a recording."""

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
        capacity, token_duration = self.writer.capacity, self.writer.token_duration
        needed = self.limits.needed(self.num_heard, later * capacity)
        allowed = self.limits.allowed(self.num_heard)
        audio = self.writer.listen(chunk.waveform)
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

    def _remember(
        self, turns: list[Turn], voices: dict[int, Speaker], prompted: list[int], needed: int, chunk: Chunk
    ) -> list[Turn]:
        """Find out who the speakers of a chunk are, and learn from them."""
        said = believed(turns, chunk.believed)
        first = {turn.speaker: turn.start for turn in sorted(said, reverse=True)}
        names = self._names(voices, prompted, is_matched=not needed)
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
            self.heard.add(names[local])
        self.num_heard += len(arrivals)
        names |= {local: self._most_similar(voices[local]) for local in first if names.get(local) not in self.heard}
        return [turn._replace(speaker=names[turn.speaker]) for turn in said]

    def _names(self, voices: dict[int, Speaker], prompted: list[int], is_matched: bool) -> dict[int, int]:
        """Numbers of the speakers of a chunk who are known: by their prompts or, if `is_matched`, by their voices."""
        names = {
            local: number
            for local, number in enumerate(prompted)
            if local in voices and _may_be(voices[local], self.speakers[number])
        }
        if is_matched:
            others = [number for number in self.speakers if number not in names.values()]
            unnamed = [local for local in voices if local not in names]
            cosines = similarity([voices[i] for i in unnamed], [self.speakers[i] for i in others])
            names |= {unnamed[row]: others[column] for row, column in match(cosines, SAME).items()}
        return names

    def _arrivals(
        self, voices: dict[int, Speaker], names: dict[int, int], first: dict[int, float], needed: int
    ) -> list[int]:
        """Speakers of a chunk heard for the first time: all who are believed to speak, and `needed` at least."""
        new = [local for local in voices if names.get(local) not in self.heard]
        sure = sorted((local for local in new if local in first), key=lambda local: (local not in names, first[local]))
        spare = [local for local in new if local not in first and local not in names]
        return (sure + spare[: max(needed - len(sure), 0)])[: self.limits.allowed(self.num_heard)]

    def _most_similar(self, voice: Speaker) -> int:
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
