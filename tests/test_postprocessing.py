"""How loose turns are made."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from language import follows_grammar, spelled

from pyannote_pix2seq.decoding.options import TIGHT, DecodingOptions
from pyannote_pix2seq.decoding.postprocessing import postprocess
from pyannote_pix2seq.vocabulary import EOS, Triplet, Vocabulary

VOCABULARY = Vocabulary(window=4.0, resolution=0.04, num_speakers=4)
NUM_BINS = 100
written = partial(spelled, VOCABULARY)
SECONDS = st.floats(0, 0.6)


def loose(tokens: list[int], num_given: int = 0, **style: float) -> list[int]:
    confidence = [0.5] * (len(tokens) // 3)
    return postprocess(VOCABULARY, tokens, confidence, num_given, NUM_BINS, DecodingOptions(**style))[0]  # type: ignore[arg-type]


def test_short_pauses_of_one_speaker_are_bridged() -> None:
    tokens = written((0, 9, 0), (15, 40, 1), (20, 29, 0), (42, 50, 1))  # pauses of 0.44 s and 0.08 s
    assert loose(tokens) == loose(tokens, min_duration_off=0.08) == tokens
    for seconds in (0.09, 0.44):
        assert loose(tokens, min_duration_off=seconds) == written((0, 9, 0), (15, 50, 1), (20, 29, 0))
    assert loose(tokens, min_duration_off=0.45) == written((0, 29, 0), (15, 50, 1))


def test_turns_are_given_room_within_the_audio() -> None:
    tokens = written((1, 9, 0), (11, 40, 0), (30, 50, 1), (60, 98, 1))
    assert loose(tokens, pad_offset=0.04) == written((1, 10, 0), (11, 41, 0), (30, 51, 1), (60, 99, 1))
    room = {"pad_onset": 0.08, "pad_offset": 0.12}
    assert (
        loose(tokens, **room)
        == loose(tokens, **room, min_duration_off=0.2)
        == written((0, 43, 0), (28, 53, 1), (58, 99, 1))
    )
    assert loose(tokens, **room, min_duration_off=0.24) == written((0, 43, 0), (28, 99, 1))


def test_turns_that_touch_once_they_are_longer_are_one() -> None:
    tokens = written((1, 9, 0), (12, 40, 0))
    assert loose(tokens, pad_offset=0.08) == written((1, 11, 0), (12, 42, 0))
    assert loose(tokens, pad_offset=0.12) == written((1, 43, 0))


def test_a_turn_that_begins_within_a_prompt_stays_where_it_begins() -> None:
    tokens = written((0, 12, 0), (14, 26, 1), (20, 24, 2))
    assert loose(tokens, num_given=2, pad_onset=0.2, pad_offset=0.08) == written((0, 12, 0), (14, 26, 1), (20, 26, 2))


def test_prompts_stay_and_nobody_is_moved_into_them() -> None:
    tokens = written((0, 12, 0), (14, 26, 1), (30, 60, 1), (31, 40, 2))
    expected = written((0, 12, 0), (14, 26, 1), (27, 42, 2), (27, 62, 1))
    assert loose(tokens, num_given=2, pad_onset=0.5, pad_offset=0.08, min_duration_off=0.9) == expected


def test_confidence_is_that_of_what_was_written() -> None:
    tokens = written((0, 9, 0), (15, 44, 0), (50, 60, 1))
    _, confidence = postprocess(
        VOCABULARY, tokens, [1.0, 0.6, 0.3], 0, NUM_BINS, DecodingOptions(min_duration_off=1.0, pad_offset=0.2)
    )
    assert confidence == [pytest.approx((10 * 1.0 + 30 * 0.6) / 40), pytest.approx(0.3)]


@st.composite
def sequences(draw: st.DrawFn) -> tuple[list[int], int]:
    """Whole triplets of the grammar, and how many of them are given by prompts."""
    num_given = draw(st.integers(0, 3))
    prompts = [Triplet(0.4 * number, 0.4 * number + 0.2, number) for number in range(num_given)]
    chunk = st.builds(
        lambda start, seconds, speaker: Triplet(start, min(start + seconds, 3.99), speaker),
        st.floats(0.4 * num_given, 3.8),
        st.floats(0.08, 2.0),
        st.integers(0, 3),
    )
    return VOCABULARY.encode([*prompts, *draw(st.lists(chunk, max_size=8))], NUM_BINS)[:-1], num_given


@settings(deadline=None, max_examples=200)
@given(sequences(), SECONDS, SECONDS, SECONDS)
def test_the_same_speakers_stay_within_the_grammar(
    sequence: tuple[list[int], int], onset: float, offset: float, pause: float
) -> None:
    tokens, num_given = sequence
    found = loose(tokens, num_given, pad_onset=onset, pad_offset=offset, min_duration_off=pause)
    assert follows_grammar(VOCABULARY, torch.tensor([[*found, EOS]]), num_bins=torch.tensor([NUM_BINS])).all()
    assert found[: 3 * num_given] == tokens[: 3 * num_given]
    assert set(found[2::3]) == set(tokens[2::3]) and len(found) <= len(tokens)
    assert loose(tokens, num_given, **TIGHT) == tokens
