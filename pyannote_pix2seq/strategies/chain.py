"""Strategy "chain": chunk after chunk, each with the speakers known so far, as a stream needs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyannote_pix2seq.limits import SpeakerCountError, SpeakerLimits
from pyannote_pix2seq.output import Turn
from pyannote_pix2seq.strategies.by_prompts import ByPrompts
from pyannote_pix2seq.strategies.by_voices import ByVoices
from pyannote_pix2seq.strategies.chunks import Chunk, Stitcher
from pyannote_pix2seq.strategies.inventory import SpeakerInventory
from pyannote_pix2seq.strategies.speakers import Speaker
from pyannote_pix2seq.strategies.strategy import Diarization, ProgressCallback, reported
from pyannote_pix2seq.strategies.writer import Writer


class Chain:
    """Reads chunks in order, and keeps an inventory of their speakers.

    Speakers are identified by their voices (`by_voices.py`). They are identified by prompts alone (`by_prompts.py`)
    only where the frontend has no voices, and where new speakers have to appear for the recording to have its minimum
    number.

    Parameters
    ----------
    writer : Writer
    limits : SpeakerLimits
        On the number of speakers in the recording.
    known : sequence of Speaker, optional
        Enrolled speakers.

    Attributes
    ----------
    inventory : SpeakerInventory
        Speakers so far.
    """

    def __init__(self, writer: Writer, limits: SpeakerLimits, known: Sequence[Speaker] = ()):
        self.writer = writer
        self.inventory = SpeakerInventory(limits, known)
        self._by_voices = ByVoices(writer, self.inventory, known)
        self._by_prompts = ByPrompts(writer, self.inventory)

    def diarize(self, chunks: Iterable[Chunk], num_chunks: int, report: ProgressCallback) -> Diarization:
        """Diarize a recording; progress is reported as (step, completed, total)."""
        stitcher, turns, everybody = Stitcher(), [], dict(self.inventory.speakers)
        for done, chunk in enumerate(reported(chunks, num_chunks, "chunks", report), 1):
            later = 0 if chunk.is_last else max(num_chunks - done, 1)
            turns += stitcher.push(self.read(chunk, later), chunk.core.end)
            everybody |= self.inventory.speakers
        return Diarization(turns + stitcher.close(), everybody)

    def read(self, chunk: Chunk, later: int) -> list[Turn]:
        """Turns in the core of the next chunk; at least `later` chunks come after it."""
        for number in self.inventory.forget(chunk.core.start):
            self._by_voices.forget(number)
        needed = self.inventory.needed(later * self.writer.capacity)
        if needed > self.writer.capacity:  # not so many by the duration that the head of the file promised
            raise SpeakerCountError(
                f"The recording ends at {chunk.core.end:.1f} s, earlier than its head says: {needed} of the speakers "
                f"that were asked for are still to be found in its last chunk, where the model can name "
                f"{self.writer.capacity}. Ask for fewer, or convert the file."
            )
        audio = self.writer.listen(chunk.waveform)
        if needed or not audio.voice.shape[1]:
            return self._by_prompts.read(audio, chunk, needed)
        return self._by_voices.read(audio, chunk)
