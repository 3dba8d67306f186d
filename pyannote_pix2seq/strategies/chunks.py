"""Cutting a recording into overlapping chunks, and stitching their turns together.

Where two chunks overlap, the turns of the first count up to the middle of the overlap, and those of the second from
there on, so that each chunk has context on both sides of its core. Turns that cross the middle are written by both
chunks and joined. The last chunk ends where the recording does, so that it begins earlier than others would: its core
does not, and has more context.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple

import torch
from pyannote.core import Segment
from torch import Tensor

from pyannote_pix2seq import joining
from pyannote_pix2seq.audio.reader import Reader
from pyannote_pix2seq.audio.samples import AudioError
from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.frontends import TOKEN_DURATION, Frontend
from pyannote_pix2seq.numeric import ROUNDING, check_ranges, is_number, plain, rounded_up
from pyannote_pix2seq.output import SHORTEST_TURN, Turn, join

CHUNK, HOP = 30.0, 0.8
"""Default length of a chunk, in seconds, and default hop, as a share of that."""
MIN_CHUNK = 1.0
"""Shortest chunk, in seconds."""
MIN_DURATION = 0.1
"""Shortest recording, in seconds."""
BORDER = 0.1
"""Turns of one speaker with at most this many seconds between them are joined."""
MOST_BLOCKS = 1000
"""Most blocks that wait to be concatenated: small ones take much memory besides their samples."""


class Chunk(NamedTuple):
    """A part of a recording.

    Attributes
    ----------
    waveform : (1, num_samples) tensor
    start : float
        Where it begins in the recording, in seconds.
    core : Segment
        Part of the chunk whose turns count, in seconds of the recording.
    is_last : bool
    """

    waveform: Tensor
    start: float
    core: Segment
    is_last: bool


class Grid(NamedTuple):
    """Where chunks begin, in whole audio tokens.

    Attributes
    ----------
    chunk, hop : int
        Length of a chunk and hop between chunks, in audio tokens.
    token : int
        Samples of an audio token.
    sample_rate : int
        In Hz.
    """

    chunk: int
    hop: int
    token: int
    sample_rate: int

    @classmethod
    def of(cls, chunk: float | None, hop: float | None, frontend: Frontend, longest: float) -> Grid:
        """Make the grid for a chunk of `chunk` seconds every `hop` seconds.

        Parameters
        ----------
        chunk, hop : float or None
            Default to `CHUNK` seconds, or `longest` if that is less, and to `HOP` times the chunk.
        frontend : Frontend
        longest : float
            Longest chunk, in seconds.

        Raises
        ------
        ValueError
            If `longest` is less than `MIN_CHUNK`, the chunk is not between the two, or the hop is shorter than a fifth
            of the chunk or longer than all of it.
        """
        if longest < MIN_CHUNK:
            raise ArgumentError(
                f"Pix2SeqDiarization: a model with a window of {2 * longest:g} s was given; it has to be "
                f"{2 * MIN_CHUNK:g} s or more, as half of it is for prompts and a chunk takes {MIN_CHUNK:g} s or more. "
                f"Train a model with a longer window (`model_window`)."
            )
        chunk = min(CHUNK, longest) if chunk is None else plain(chunk)
        fits = is_number(chunk, MIN_CHUNK) and chunk <= longest
        allowed = f"{MIN_CHUNK:g} s to {longest} s, half of the model's window, whose other half is for prompts"
        check_ranges("Pix2SeqDiarization", {"chunk": chunk}, {"chunk": (fits, allowed)})
        hop = HOP * chunk if hop is None else plain(hop)
        fits = is_number(hop) and chunk / 5 - ROUNDING <= hop <= chunk + ROUNDING
        allowed = f"{chunk / 5:g} s to {chunk:g} s, a fifth of the chunk to all of it"
        check_ranges("Pix2SeqDiarization", {"hop": hop}, {"hop": (fits, allowed)})
        length, step = (rounded_up(seconds / TOKEN_DURATION) for seconds in (chunk, hop))
        return cls(length, min(step, length), frontend.samples_per_token, frontend.sample_rate)

    def seconds(self, num_tokens: float) -> float:
        """Duration of a number of audio tokens, in seconds."""
        return num_tokens * self.token / self.sample_rate

    @property
    def latency(self) -> float:
        """Longest time from a sound to the end of the chunk whose core it is in, in seconds.

        In the first chunk it may be longer: up to the length of the chunk.
        """
        return self.seconds((self.chunk + self.hop) / 2)

    def num_chunks(self, duration: float) -> int:
        """Number of chunks of a recording of a duration in seconds."""
        num_samples = int(duration * self.sample_rate + 0.5)  # as many as a `Resampler` gives
        return 1 + max(math.ceil((num_samples - self.chunk * self.token) / (self.hop * self.token)), 0)

    def begins(self, number: int) -> float:
        """Where the core of a chunk begins, in seconds: in the middle of an overlap, unless it is the last chunk's."""
        return self.seconds(number * self.hop + (self.chunk - self.hop) / 2) if number else 0.0


class Chunker:
    """Cuts audio into chunks as it arrives.

    All chunks have the same length: the last one begins earlier instead, and overlaps more with the one before. Only a
    recording shorter than a chunk makes a shorter one.

    Parameters
    ----------
    grid : Grid
    """

    def __init__(self, grid: Grid):
        self.grid = grid
        self.number = 0
        self._waiting: deque[Tensor] = deque()  # parts of a long block, which is not to be copied with each chunk
        nothing = torch.zeros(1, 0, dtype=torch.float, device="cpu")
        self._blocks = [nothing]  # concatenated only when a chunk is complete: there may be thousands
        self._num_samples = 0
        self._first = 0  # token of the recording at which the blocks begin

    @property
    def duration(self) -> float:
        """Seconds of audio so far."""
        return self.grid.seconds(self._first) + self._num_samples / self.grid.sample_rate

    def push(self, block: Tensor) -> Iterator[Chunk]:
        """Chunks that a block (1, num_samples) completes. The last chunk comes from `close`."""
        self._waiting.extend(part.clone() for part in block.split(self.grid.hop * self.grid.token, dim=1))
        while self._waiting:
            self._add(self._waiting.popleft())
            while self._length(self.number * self.grid.hop) > self.grid.chunk * self.grid.token:
                yield self._cut(self.number * self.grid.hop, self.grid.begins(self.number + 1), is_last=False)
                self.number += 1
                self._forget((self.number - 1) * self.grid.hop)

    def chunks(self, blocks: Iterable[Tensor]) -> Iterator[Chunk]:
        """All chunks of a whole recording, which is given in blocks."""
        for block in blocks:
            yield from self.push(block)
        yield self.close()

    def close(self) -> Chunk:
        """The last chunk."""
        num_tokens = self._first + math.ceil(self._num_samples / self.grid.token)
        return self._cut(max(num_tokens - self.grid.chunk, 0), self.duration, is_last=True)

    def _add(self, block: Tensor) -> None:
        self._blocks.append(block)
        self._num_samples += block.shape[1]
        if len(self._blocks) == MOST_BLOCKS:
            self._audio()

    def _cut(self, start: int, end: float, is_last: bool) -> Chunk:
        first = (start - self._first) * self.grid.token
        waveform = self._audio()[:, first : first + self.grid.chunk * self.grid.token]
        core = Segment(self.grid.begins(self.number), end)
        return Chunk(waveform, self.grid.seconds(start), core, is_last)

    def _length(self, start: int) -> int:
        """Number of samples from a token of the recording on."""
        return self._num_samples - (start - self._first) * self.grid.token

    def _forget(self, start: int) -> None:
        """Drop all audio before a token of the recording."""
        left = self._audio()[:, (start - self._first) * self.grid.token :].clone()
        self._blocks, self._num_samples, self._first = [left], left.shape[1], start

    def _audio(self) -> Tensor:
        """All blocks concatenated, (1, num_samples)."""
        if len(self._blocks) > 1:
            self._blocks = [torch.cat(self._blocks, dim=1)]
        return self._blocks[0]


def chunks_of(
    reader: Reader, grid: Grid, check: Callable[[int], object] = lambda _: None
) -> Generator[Chunk, None, None]:
    """Chunks of a recording.

    Parameters
    ----------
    reader : Reader
    grid : Grid
    check : callable, optional
        Called with the number of chunks before the last one: there may be fewer than the file's header implied.

    Raises
    ------
    AudioError
        If the recording is shorter than `MIN_DURATION`.
    """
    chunker = Chunker(grid)
    for number, chunk in enumerate(chunker.chunks(reader), 1):
        if chunker.duration < MIN_DURATION:
            raise AudioError(
                f"{reader.uri} lasts {1e3 * chunker.duration:.3g} ms; {1e3 * MIN_DURATION:.0f} ms or more are needed "
                f"to hear who speaks. Is the file complete?"
            )
        if chunk.is_last:
            check(number)
        yield chunk


def cropped(turns: Iterable[Turn], where: Segment) -> list[Turn]:
    """Parts of turns that lie in a segment; parts shorter than `SHORTEST_TURN` are dropped."""
    return joining.cropped(turns, where.start, where.end, SHORTEST_TURN)


class Stitcher:
    """Joins the turns of consecutive chunks.

    Attributes
    ----------
    open : list of Turn
        Turns that may go on in the next chunk.
    """

    def __init__(self) -> None:
        self.open: list[Turn] = []

    def push(self, turns: Iterable[Turn], until: float) -> list[Turn]:
        """Add turns of the next chunk, whose core ends at `until` seconds; return the turns that are over."""
        joined = join([*self.open, *turns], BORDER)
        self.open = [turn for turn in joined if turn.end + BORDER >= until]
        return [turn for turn in joined if turn.end + BORDER < until]

    def close(self) -> list[Turn]:
        """Return all turns that are still open."""
        rest, self.open = self.open, []
        return rest
