"""Reading a chunk once, with speakers identified by prompts alone."""

from __future__ import annotations

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.joining import shifted
from pyannote_pix2seq.output import Turn, surest
from pyannote_pix2seq.strategies.chunks import Chunk, cropped
from pyannote_pix2seq.strategies.inventory import SpeakerInventory
from pyannote_pix2seq.strategies.matching import likeliest, match_enrolled
from pyannote_pix2seq.strategies.speakers import Speaker, speakers_in
from pyannote_pix2seq.strategies.writer import Writer


class ByPrompts:
    """Reads chunks of a chain behind prompts of the speakers who may be in them; all others are new speakers.

    Parameters
    ----------
    writer : Writer
    inventory : SpeakerInventory
        Updated with the speakers of each chunk.
    """

    def __init__(self, writer: Writer, inventory: SpeakerInventory):
        self.writer = writer
        self.inventory = inventory

    def read(self, audio: AudioTokens, chunk: Chunk, needed: int) -> list[Turn]:
        """Turns in the core of a chunk, in which at least `needed` speakers speak for the first time."""
        inventory, capacity, most = self.inventory, self.writer.capacity, self.writer.most_prompts(audio)
        allowed = inventory.allowed
        candidates = {
            number: speaker
            for number, speaker in inventory.speakers.items()
            if (number in inventory.present if number in inventory.heard else allowed != 0)
        }
        room = 0 if allowed == 0 and len(candidates) <= most else max(needed, 1)
        prompted = likeliest(candidates, audio, min(capacity - room, most))
        max_speakers = capacity if allowed is None else min(len(prompted) + max(allowed, room), capacity)
        people = [candidates[number] for number in prompted]
        (written,) = self.writer.write([audio], [people], len(prompted) + needed, max_speakers)
        turns = shifted(written, chunk.start)
        return self._remember(turns, speakers_in(audio, turns, chunk.start), prompted, needed, chunk)

    def _remember(
        self, turns: list[Turn], voices: dict[int, Speaker], prompted: list[int], needed: int, chunk: Chunk
    ) -> list[Turn]:
        """Identify the speakers of a chunk, update the inventory, and return the turns with their numbers."""
        inventory, said = self.inventory, cropped(turns, chunk.core)
        first = {turn.speaker: turn.start for turn in sorted(said, reverse=True)}
        numbers = {
            local: number
            for local, number in enumerate(prompted)
            if local in voices and self._may_be(voices[local], inventory.speakers[number])
        }
        arrivals = self._arrivals(voices, numbers, first, needed)
        for local, number in numbers.items():
            if number in inventory.heard or local in arrivals:
                inventory.speakers[number].update(voices[local])
        numbers |= {local: self._admitted(voices[local], numbers.get(local)) for local in arrivals}
        said += [surest(turns, local).within(chunk.start, chunk.core.end) for local in arrivals if local not in first]
        numbers |= {
            local: inventory.most_similar(voices[local].voice)
            for local in first
            if numbers.get(local) not in inventory.heard
        }
        return [turn._replace(speaker=numbers[turn.speaker]) for turn in said]

    def _arrivals(
        self, voices: dict[int, Speaker], numbers: dict[int, int], first: dict[int, float], needed: int
    ) -> list[int]:
        """New speakers: those who first speak in the core of this chunk, and others if `needed` are not reached."""
        new = [local for local in voices if numbers.get(local) not in self.inventory.heard]
        said = (local for local in new if local in first)
        sure = sorted(said, key=lambda local: (local not in numbers, first[local]))
        spare = [local for local in new if local not in first and local not in numbers]
        return (sure + spare[: max(needed - len(sure), 0)])[: self.inventory.allowed]

    def _admitted(self, speaker: Speaker, number: int | None) -> int:
        """Number of somebody who speaks for the first time: that of an enrolled speaker, or else a new one."""
        if number is None:
            number = self.inventory.new_number()
            self.inventory.speakers[number] = speaker
        self.inventory.add(number)
        return number

    def _may_be(self, heard: Speaker, known: Speaker) -> bool:
        """Whether a voice that was written for a prompt may be that speaker's: only enrolled speakers are checked."""
        has_voice = known.name is not None and len(known.voice) > 0
        return not has_voice or bool(match_enrolled([known], [heard.voice], self.writer.compensation))
