"""Windows that are drawn from examples: chunks, and prompts before them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from draws import EXAMPLES, PROMPTED, UNPROMPTED, conversation, draw, pieces
from loudness import FILES, TOKEN, LoudnessFrontend, cache_of
from pyannote.core import Segment
from torch import Tensor

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.frontends.mel import MelFrontend
from pyannote_pix2seq.prompts import solo_segments
from pyannote_pix2seq.training.examples import CacheError, Example
from pyannote_pix2seq.training.window_options import WindowOptions
from pyannote_pix2seq.training.windows import Window, WindowSampler, crop
from pyannote_pix2seq.vocabulary import Triplet


def test_cropping_keeps_times_right() -> None:
    example = Example(
        "x",
        AudioTokens(torch.arange(100.0)[:, None], torch.zeros(100, 0, 0)),
        [Triplet(0.0, 5.0, 3), Triplet(4.0, 9.0, 1), Triplet(1.0, 1.61, 2), Triplet(8.0, 9.0, 2)],
        ("ann", "bob", "cleo", "dan"),
    )
    part = crop(example, Segment(1.6, 8.0))
    assert part.audio.content[:, 0].tolist() == list(range(10, 50))
    # of speaker 2, 10 ms are left: not worth writing
    assert part.turns == [
        pytest.approx((0.0, 3.4, 3)), pytest.approx((2.4, 6.4, 1)),
    ]  # fmt: skip


def test_turns_of_less_than_two_bins_are_dropped_cut_or_not() -> None:
    turns = [Triplet(1.0, 1.07, 0), Triplet(2.0, 2.09, 1), Triplet(3.13, 5.0, 2), Triplet(3.1, 5.0, 3)]
    part = crop(Example("x", EXAMPLES[0].audio, turns, ("ann", "bob", "cleo", "dan")), Segment(0, 3.2))
    assert part.turns == [pytest.approx((2.0, 2.09, 1)), pytest.approx((3.1, 3.2, 3))]


def test_chunks_without_prompts_lie_anywhere() -> None:
    firsts = set()
    for seed in range(60):
        window = draw(seed, chunk=16.0, shorter_probability=0.0, **UNPROMPTED)
        (chunk,) = pieces(window)
        assert window.num_prompts == 0 and len(chunk) == 100
        assert chunk == list(range(chunk[0], chunk[0] + 100))
        firsts.add(chunk[0] % 1000)
        place = Segment((chunk[0] - 1) % 1000 * TOKEN, ((chunk[0] - 1) % 1000 + 100) * TOKEN)
        assert window.turns == [
            Triplet(t.start, t.end, t.speaker) for t in _named(crop(EXAMPLES[chunk[0] // 1000], place).turns)
        ]
    assert min(firsts) < 40 and max(firsts) > 160 and len(firsts) > 40


def test_chunks_may_begin_and_end_with_the_example() -> None:
    sampler = WindowSampler(LoudnessFrontend(), WindowOptions(chunk=299 * TOKEN, shorter_probability=0.0))
    places = {sampler._place(EXAMPLES[0], np.random.default_rng(seed)) for seed in range(20)}
    assert places == {Segment(0, 299 * TOKEN), Segment(TOKEN, 300 * TOKEN)}


def test_overlap_is_counted_once_for_each_turn_that_starts_before_another_ends() -> None:
    turns = [Triplet(0.0, 5.0, 0), Triplet(4.0, 7.0, 1), Triplet(4.5, 6.0, 2), Triplet(8.0, 9.0, 0)]
    assert Window(EXAMPLES[0].audio, turns, 0, 0).overlap == pytest.approx(1.0 + 1.5)
    around = [Triplet(0.0, 10.0, 0), Triplet(1.0, 2.0, 1), Triplet(4.0, 6.0, 2)]
    assert Window(EXAMPLES[0].audio, around, 0, 0).overlap == pytest.approx(1.0 + 2.0)
    assert Window(EXAMPLES[0].audio, [], 0, 0).overlap == 0


def test_a_speaker_who_is_annotated_twice_at_once_is_no_overlap() -> None:
    twice = [Triplet(0.0, 3.0, 0), Triplet(1.0, 2.0, 0), Triplet(2.5, 4.0, 0)]
    assert Window(EXAMPLES[0].audio, twice, 0, 0).overlap == 0
    assert Window(EXAMPLES[0].audio, [*twice, Triplet(3.5, 5.0, 1)], 0, 0).overlap == pytest.approx(0.5)


def test_dense_windows_have_more_overlap() -> None:
    def overlap(dense: float) -> float:
        return float(np.mean([draw(seed, dense_probability=dense, **UNPROMPTED).overlap for seed in range(100)]))

    random, mixed, dense = overlap(0.0), overlap(0.5), overlap(1.0)
    assert 1.1 * random < mixed < dense and dense > 1.3 * random


def _named(turns: list[Triplet]) -> list[Triplet]:
    names: dict[int, int] = {}
    return [Triplet(t.start, t.end, names.setdefault(t.speaker, len(names))) for t in turns]


def test_some_chunks_are_shorter() -> None:
    windows = [draw(seed, chunk=16.0, shorter_probability=0.5, **UNPROMPTED) for seed in range(100)]
    lengths = [len(window.audio.content) for window in windows]
    assert 30 <= sum(length < 100 for length in lengths) <= 70
    assert min(lengths) >= 17 and max(lengths) == 100


def test_prompts_come_from_elsewhere_in_the_same_example() -> None:
    num_prompts = []
    for seed in range(60):
        window = draw(seed, chunk=16.0, **PROMPTED)
        *prompts, chunk = pieces(window)
        num_prompts.append(len(prompts))
        assert window.num_prompts == len(prompts)
        assert window.start == len(window.audio.content) - len(chunk)
        example = EXAMPLES[chunk[0] // 1000]
        base = 1000 * (chunk[0] // 1000) + 1
        speakers = []
        for clip in prompts:
            assert 5 <= len(clip) <= 31 and not set(clip) & set(chunk)
            place = Segment((clip[0] - base) * TOKEN + 1e-3, (clip[-1] + 1 - base) * TOKEN - 1e-3)
            owners = [k for k in range(4) if any(place in solo for solo in solo_segments(example.turns, k))]
            assert len(owners) == 1
            speakers += owners
        assert len(set(speakers)) == len(speakers)
        # whoever is prompted keeps his letter in the chunk; newcomers come after
        start = (chunk[0] - base) * TOKEN
        names = {speaker: letter for letter, speaker in enumerate(speakers)}
        spoken = crop(example, Segment(start, start + len(chunk) * TOKEN)).turns
        letters = [names.setdefault(turn.speaker, len(names)) for turn in spoken]
        assert [turn.speaker for turn in window.turns] == [*range(len(prompts)), *letters]
        offset = len(window.audio.content) - len(chunk)
        for turn, original in zip(window.turns[len(prompts) :], spoken, strict=True):
            assert (turn.start, turn.end) == pytest.approx(
                (original.start + offset * TOKEN, original.end + offset * TOKEN)
            )
    assert max(num_prompts) == 4 and np.mean(num_prompts) > 1.5


def test_strangers_are_prompts_of_other_examples() -> None:
    foreign = 0
    for seed in range(60):
        window = draw(seed, chunk=16.0, prompted_probability=0.5, stranger_probability=1.0)
        *prompts, chunk = pieces(window)
        others = [k for k, clip in enumerate(prompts) if clip[0] // 1000 != chunk[0] // 1000]
        assert len(others) <= 1
        foreign += len(others)
        for k in others:  # he never speaks in the chunk
            assert [turn.speaker for turn in window.turns].count(k) == 1
    assert foreign >= 30


def test_nobody_is_a_stranger_where_he_speaks() -> None:
    sampler = WindowSampler(
        LoudnessFrontend(), WindowOptions(prompted_probability=0.0, stranger_probability=1.0, compact_probability=0.0)
    )
    names = EXAMPLES[0].names
    same = [EXAMPLES[0], replace(EXAMPLES[1], names=names)]
    some = [EXAMPLES[0], replace(EXAMPLES[1], names=(*names[:3], "somebody else"))]
    windows = [[sampler.draw(those, np.random.default_rng(k)) for k in range(40)] for those in (same, some)]  # type: ignore[arg-type]
    assert not any(window.num_prompts for window in windows[0])
    assert any(window.num_prompts for window in windows[1])


def test_compact_prompts_are_the_mean_of_the_clips_that_they_stand_for() -> None:
    options: dict[str, Any] = {"chunk": 16.0, "prompted_probability": 1.0, "stranger_probability": 0.5}
    for seed in range(20):
        plain, compacted = draw(seed, **options), draw(seed, compact_probability=1.0, **options)
        *clips, chunk = pieces(plain)
        num_prompts = compacted.num_prompts
        assert num_prompts == len(clips)
        assert len(compacted.audio.content) == 3 * num_prompts + len(chunk)  # one token and 0.32 s of silence each
        assert compacted.start == 3 * num_prompts
        found = compacted.audio.content[: 3 * num_prompts : 3, 0].tolist()
        assert found == pytest.approx([float(np.mean(clip)) for clip in clips])
        for turn, number in zip(compacted.turns[:num_prompts], range(num_prompts), strict=True):
            assert turn == Triplet(3 * number * TOKEN, (3 * number + 1) * TOKEN, number)


def test_prompts_of_a_frontend_that_is_learned_are_never_compact(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, MelFrontend())
    cache.fill(FILES)
    sampler = WindowSampler(
        cache.frontend,
        WindowOptions(chunk=3.2, prompted_probability=1.0, stranger_probability=1.0, compact_probability=1.0),
    )
    windows = [sampler.draw(cache, np.random.default_rng(seed)) for seed in range(20)]
    prompts = [turn for window in windows for turn in window.turns[: window.num_prompts]]
    assert len(prompts) >= 20
    assert min(prompt.end - prompt.start for prompt in prompts) >= 0.8


def test_shifted_clips_may_be_of_others_but_are_not_of_the_chunk() -> None:
    mixed = 0
    for seed in range(60):
        *prompts, chunk = pieces(draw(seed, chunk=16.0, shifted_probability=1.0, **PROMPTED))
        example, base = EXAMPLES[chunk[0] // 1000], 1000 * (chunk[0] // 1000) + 1
        for clip in prompts:
            assert not set(clip) & set(chunk)
            place = Segment((clip[0] - base) * TOKEN + 1e-3, (clip[-1] + 1 - base) * TOKEN - 1e-3)
            mixed += not any(place in solo for k in range(4) for solo in solo_segments(example.turns, k))
    assert mixed >= 20


def test_clips_are_not_shifted_before_the_example() -> None:
    sampler = WindowSampler(LoudnessFrontend(), WindowOptions(shifted_probability=1.0))
    rngs = [np.random.default_rng(seed) for seed in range(20)]
    clips = [sampler._shifted(Segment(0.2, 3.2), Segment(), rng) for rng in rngs]
    assert min(clip.start for clip in clips) == 0 < max(clip.start for clip in clips) < 1.1
    assert min(clip.end for clip in clips) < 3.0 and max(clip.end for clip in clips) < 4.1


def test_windows_with_too_many_speakers_are_drawn_again() -> None:
    counts = [
        len({turn.speaker for turn in draw(seed, chunk=16.0, stranger_probability=0.3, max_speakers=2).turns})
        for seed in range(40)
    ]
    assert max(counts) == 2


def test_examples_with_too_many_speakers_only_are_an_error() -> None:
    crowd = [replace(EXAMPLES[0], turns=[Triplet(0.0, 48.0, k) for k in range(3)])]
    with pytest.raises(CacheError, match="1000 windows all had more than 2 speakers"):
        WindowSampler(LoudnessFrontend(), WindowOptions(max_speakers=2)).draw(crowd, np.random.default_rng(0))  # type: ignore[arg-type]


def test_turns_that_cannot_be_heard_are_not_to_be_written() -> None:
    class DeafFrontend(LoudnessFrontend):
        def speech(self, content: Tensor) -> Tensor:
            return (content[..., 0] > 100).float()  # deaf for the first hundred tokens, 16 s

    # the last turn lies within one token, all of which counts
    turns = [Triplet(1, 15, 0), Triplet(14, 20, 1), Triplet(15, 16.4, 2), Triplet(21.0, 21.09, 3)]
    example = replace(EXAMPLES[0], turns=turns)
    sampler = WindowSampler(
        DeafFrontend(), WindowOptions(chunk=48.0, shorter_probability=0.0, min_audibility=0.5, **UNPROMPTED)
    )
    window = sampler.draw([example], np.random.default_rng(0))  # type: ignore[arg-type]
    assert [(turn.start, turn.end) for turn in window.turns] == [(14, 20), (21.0, 21.09)]
    assert len(sampler.beginning(example).turns) == 4  # what is scored is not filtered


def test_strangers_that_cannot_be_heard_are_no_prompts() -> None:
    class DeafFrontend(LoudnessFrontend):
        def speech(self, content: Tensor) -> Tensor:
            return (content[..., 0] < 2000).float()  # deaf for all of the third example

    sampler = WindowSampler(DeafFrontend(), WindowOptions(prompted_probability=0.0, stranger_probability=1.0))
    examples = [replace(EXAMPLES[1], turns=[]), EXAMPLES[2]]  # only the third has anybody
    assert not any(sampler.draw(examples, np.random.default_rng(k)).num_prompts for k in range(20))  # type: ignore[arg-type]


def test_prompts_that_do_not_fit_are_left_out() -> None:
    windows = [draw(seed, chunk=10.0, prompt_duration=6.0, **PROMPTED) for seed in range(40)]
    silence = 2
    for window in windows:
        *prompts, chunk = pieces(window)
        assert sum(len(prompt) + silence for prompt in prompts) * TOKEN <= 6.0
    assert max(window.num_prompts for window in windows) >= 2


def test_prompts_that_fit_exactly_are_taken() -> None:
    sampler = WindowSampler(LoudnessFrontend(), WindowOptions(prompt_duration=5.6))  # 35 tokens, 2 of them silent
    for num_tokens, number in ((33, 1), (34, 0)):
        clip = AudioTokens(torch.ones(num_tokens, 1), torch.ones(num_tokens, 1, 2))
        assert len(sampler._that_fit({0: clip, 1: clip})) == number


def test_the_beginning_is_always_the_same_window() -> None:
    sampler = WindowSampler(LoudnessFrontend(), WindowOptions(chunk=16.0))
    window = sampler.beginning(EXAMPLES[1])
    assert pieces(window) == [list(range(1001, 1101))] and window.num_prompts == 0
    assert window.turns == sampler.beginning(EXAMPLES[1]).turns
    short = sampler.beginning(conversation(0, seconds=8.0, first=1))
    assert len(short.audio.content) == 50


def test_prompts_are_in_any_order() -> None:
    firsts = set()
    for seed in range(40):
        *prompts, chunk = pieces(draw(seed, chunk=16.0, **PROMPTED))
        place = Segment(*((prompts[0][0] - 1) % 1000 * TOKEN + shift for shift in (0.01, 0.15))) if prompts else None
        example = EXAMPLES[chunk[0] // 1000]
        if len(prompts) > 2:
            firsts |= {k for k in range(4) if any(place in solo for solo in solo_segments(example.turns, k))}
    assert firsts == {0, 1, 2, 3}


def test_the_same_generator_gives_the_same_window() -> None:
    first, second = draw(7), draw(7)
    assert first.turns == second.turns and torch.equal(first.audio.content, second.audio.content)
