"""Chunks that overlap, and one diarization of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyannote.core import Segment

from pyannote_pix2seq.audio.reader import Reader
from pyannote_pix2seq.frontends.mel import MelFrontend
from pyannote_pix2seq.output import Turn, join
from pyannote_pix2seq.strategies.chunks import BORDER, Chunk, Chunker, Grid, Stitcher, cropped

RATE = 100  # Hz: an audio token of 0.16 s has 16 samples
GRID = Grid(chunk=60, hop=45, token=16, sample_rate=RATE)
grids = st.tuples(st.integers(5, 60), st.floats(0.2, 1.0)).map(
    lambda drawn: Grid(drawn[0], max(round(drawn[0] * drawn[1]), 1), 16, RATE)
)


def cut(num_samples: int, grid: Grid, sizes: Sequence[int] = (10**6,)) -> list[Chunk]:
    """Chunks of numbered samples that come in blocks of these sizes, over and over."""
    audio, chunker, position, chunks = torch.arange(num_samples, dtype=torch.float)[None], Chunker(grid), 0, []
    while position < num_samples:
        for size in sizes:
            chunks += chunker.push(audio[:, position : position + size])
            position += size
    return [*chunks, chunker.close()]


# where chunks are


def test_all_chunks_are_as_long_and_the_last_one_reaches_back() -> None:
    chunks = cut(2000, GRID)
    assert [chunk.start for chunk in chunks] == pytest.approx([0.0, 45 * 0.16, 65 * 0.16])
    assert [chunk.waveform.shape[1] for chunk in chunks] == [960, 960, 960]
    assert chunks[1].waveform[0, 0] == 45 * 16 and chunks[2].waveform[0, -1] == 1999
    assert [chunk.is_last for chunk in chunks] == [False, False, True]
    # the middle of what two chunks would have in common: tokens 45 to 60, 90 to 105
    edges = [0.0, 52.5 * 0.16, 97.5 * 0.16, 20.0]
    cores = [Segment(*edge) for edge in zip(edges[:-1], edges[1:], strict=True)]
    assert [chunk.core for chunk in chunks] == [pytest.approx(segment) for segment in cores]
    assert GRID.latency == pytest.approx(52.5 * 0.16)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_numbers_of_numpy_make_the_chunks_that_those_of_python_do(kind: type[np.floating]) -> None:
    frontend = MelFrontend()
    for seconds in np.arange(1.0, 30.5, 0.5):  # which all of these can hold exactly
        expected = Grid.of(float(seconds), None, frontend, 30.0)
        assert Grid.of(cast(float, kind(seconds)), None, frontend, 30.0) == expected


@given(st.integers(1, 5000), grids, st.lists(st.integers(1, 3000), min_size=1, max_size=4))
@settings(deadline=None)
def test_every_moment_is_believed_once_however_audio_comes(num_samples: int, grid: Grid, sizes: list[int]) -> None:
    chunks = cut(num_samples, grid)
    assert len(chunks) == grid.num_chunks(num_samples / RATE)
    assert chunks[0].core.start == 0 and chunks[-1].core.end == pytest.approx(num_samples / RATE)
    for first, second in zip(chunks[:-1], chunks[1:], strict=True):
        assert first.core.end == second.core.start
    for chunk in chunks:
        heard = Segment(chunk.start, chunk.start + chunk.waveform.shape[1] / RATE)
        assert heard.start <= chunk.core.start + 1e-9 and chunk.core.end <= heard.end + 1e-9
        longest = grid.latency if chunk.core.start else grid.seconds(grid.chunk)
        assert heard.end - chunk.core.start <= longest + 1e-9
    streamed = cut(num_samples, grid, sizes)
    assert [chunk[1:] for chunk in streamed] == [chunk[1:] for chunk in chunks]
    assert all(torch.equal(a.waveform, b.waveform) for a, b in zip(streamed, chunks, strict=True))


@pytest.mark.parametrize("more", range(4))
def test_chunks_of_what_is_resampled_are_counted_before_it_is(more: int) -> None:
    grid, num_samples = Grid(10, 8, 2560, 16000), 3 * 26 * 2560 + more  # as long as three chunks, at 48 kHz
    reader = Reader({"waveform": torch.zeros(1, num_samples), "sample_rate": 48000})
    chunks = list(Chunker(grid).chunks(reader))
    assert len(chunks) == grid.num_chunks(reader.duration) == (3 if more < 2 else 4)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_chunks_are_single_precision_whatever_other_tensors_are(rate: int) -> None:
    file = {"waveform": torch.rand(1, 2 * rate) - 0.5, "sample_rate": rate}
    grid = Grid(10, 8, 2560, 16000)
    expected = [chunk.waveform for chunk in Chunker(grid).chunks(Reader(file))]
    torch.set_default_dtype(torch.float64)
    try:
        chunks = list(Chunker(grid).chunks(Reader(file)))
    finally:
        torch.set_default_dtype(torch.float32)
    assert [chunk.waveform.dtype for chunk in chunks] == [torch.float32] * len(expected)
    assert all(chunk.waveform.equal(waveform) for chunk, waveform in zip(chunks, expected, strict=True))


def test_little_audio_is_kept_however_much_comes() -> None:
    chunker = Chunker(GRID)
    for _ in range(500):
        list(chunker.push(torch.zeros(1, 100)))
        kept = sum(block.untyped_storage().nbytes() for block in chunker._blocks)
        assert kept <= 4 * ((GRID.chunk + GRID.hop) * GRID.token + 100)
    assert chunker.duration == 500.0


def test_a_long_block_is_not_copied_with_each_of_its_chunks() -> None:
    chunker, copied = Chunker(GRID), 0
    for _ in chunker.push(torch.zeros(1, 100000)):
        copied += sum(block.shape[1] for block in chunker._blocks)
    assert chunker.number > 100 and copied < 3 * 100000
    assert sum(block.untyped_storage().nbytes() for block in chunker._blocks) <= 4 * GRID.chunk * GRID.token * 2


# turns at borders


def talks(shortest_pause: float) -> st.SearchStrategy[list[Turn]]:
    """Turns of three people, each with pauses of his own."""
    gaps = st.lists(st.tuples(st.floats(shortest_pause, 3.0), st.floats(0.05, 6.0)), max_size=8)
    return st.lists(gaps, min_size=1, max_size=3).map(
        lambda people: [
            Turn(start, start + length, speaker, 0.5)
            for speaker, gaps in enumerate(people)
            for start, length in _places(gaps)
        ]
    )


def _places(gaps: list[tuple[float, float]]) -> list[tuple[float, float]]:
    places, position = [], 0.0
    for gap, length in gaps:
        places.append((position + gap, length))
        position += gap + length
    return places


def read(turns: list[Turn], chunk: Chunk, error: float = 0.0) -> list[Turn]:
    """What a perfect model writes about a chunk, its times wrong by as much as an error, but within the chunk."""
    heard = [turn._replace(start=turn.start + error, end=turn.end + error) for turn in turns]
    return cropped(heard, Segment(chunk.start, chunk.start + chunk.waveform.shape[1] / RATE))


chunks_of = lru_cache(partial(cut, 4000))


def stitched(turns: list[Turn], grid: Grid, errors: Sequence[float] = (0.0,)) -> list[Turn]:
    stitcher, found = Stitcher(), []
    for number, chunk in enumerate(chunks_of(grid)):
        written = cropped(read(turns, chunk, errors[number % len(errors)]), chunk.core)
        over = stitcher.push(written, chunk.core.end)
        assert all(turn.end <= chunk.core.end for turn in over)
        found += over
    return by_speaker(found + stitcher.close())


def by_speaker(turns: list[Turn]) -> list[Turn]:
    return sorted(turns, key=lambda turn: (turn.speaker, turn.start))


@given(talks(BORDER + 0.05), grids)
@settings(deadline=None)
def test_no_turn_is_cut_or_doubled_wherever_the_borders_are(turns: list[Turn], grid: Grid) -> None:
    expected = by_speaker(join(cropped(turns, Segment(0, 40.0)), BORDER))
    assert_found(expected, stitched(turns, grid))


@given(talks(BORDER + 0.11), grids, st.lists(st.floats(-0.04, 0.04), min_size=2, max_size=5))
@example([Turn(18.84375, 19.84375, 0, 0.5)], Grid(59, 59, 16, RATE), [0.03125, 0.03125])
@settings(deadline=None)
def test_chunks_that_disagree_by_a_time_bin_neither_cut_nor_double_turns(
    turns: list[Turn], grid: Grid, errors: list[float]
) -> None:
    turns = [turn for turn in cropped(turns, Segment(0.1, 39.9)) if turn.segment.duration > 0.2]
    found = stitched(turns, grid, errors)  # which may bridge pauses of up to BORDER and two errors: there are none
    assert len(found) == len(turns)
    for turn, wanted in zip(found, by_speaker(turns), strict=True):
        assert turn.speaker == wanted.speaker and turn[:2] == pytest.approx(wanted[:2], abs=0.0501)


BORDERS = [cut(4000, GRID)[number].core.end for number in (0, -2)]  # 8.4 s, and 37.2 s, which is near the end
NEAR = [0.04 * number for number in range(-12, 13)]  # every bin up to half a second away


@pytest.mark.parametrize("border", BORDERS)
def test_turns_that_begin_or_end_in_any_bin_near_a_border_are_neither_cut_nor_doubled(border: float) -> None:
    for shift in NEAR:
        for other in NEAR:
            ends = [Turn(border - 2.0, border + shift, 0, 0.5), Turn(border - 1.0, border + other, 1, 0.5)]
            begins = [Turn(border + shift, border + 2.0, 0, 0.5), Turn(border + other, border + 1.0, 1, 0.5)]
            hands_over = [ends[0], Turn(border + other, border + 2.0, 1, 0.5)]
            for turns in (ends, begins, hands_over):
                assert_found(turns, stitched(turns, GRID))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("speakers", [(0,), (0, 1)])
def test_a_pause_near_a_border_is_bridged_only_if_it_is_short(border: float, speakers: tuple[int, ...]) -> None:
    for start in np.arange(-0.5, 0.5, 0.01):
        for pause, number in ((BORDER - 0.02, 1), (BORDER + 0.01, 2), (BORDER + 0.03, 2)):
            first = [Turn(border - 2.0, border + start, speaker, 0.5) for speaker in speakers]
            second = [Turn(border + start + pause, border + 2.0, speaker, 0.5) for speaker in speakers]
            found = stitched([*first, *second], GRID)
            assert len(found) == number * len(speakers)
            assert_found(join([*first, *second], BORDER), found)


@pytest.mark.parametrize("border", BORDERS)
def test_a_short_turn_near_a_border_is_found_once(border: float) -> None:
    for start in NEAR:
        for length in (0.04, 0.08, 0.3):
            talk = [Turn(border + start, border + start + length, 0, 0.5), Turn(border - 2.0, border + 2.0, 1, 0.5)]
            assert_found(talk, stitched(talk, GRID))


def assert_found(turns: Sequence[Turn], found: Sequence[Turn]) -> None:
    """What a border leaves of a turn may be too short to keep: 10 ms."""
    assert [turn.speaker for turn in found] == [turn.speaker for turn in by_speaker(list(turns))]
    for turn, wanted in zip(found, by_speaker(list(turns)), strict=True):
        assert turn[:2] == pytest.approx(wanted[:2], abs=0.0101) and turn.confidence == pytest.approx(0.5)


def test_turns_that_may_go_on_are_held_back() -> None:
    stitcher = Stitcher()
    assert stitcher.push([Turn(0.0, 4.0, 0, 0.5), Turn(1.0, 9.95, 1, 0.5)], until=10.0) == [Turn(0.0, 4.0, 0, 0.5)]
    assert stitcher.open == [Turn(1.0, 9.95, 1, 0.5)]
    assert stitcher.push([Turn(10.04, 11.0, 1, 0.5), Turn(19.0, 20.0, 0, 0.5)], until=20.0) == [
        Turn(1.0, 11.0, 1, pytest.approx(0.5))
    ]
    assert stitcher.close() == [Turn(19.0, 20.0, 0, 0.5)] and stitcher.close() == []
