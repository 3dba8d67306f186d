import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_pix2seq import vocabulary as module
from pyannote_pix2seq.vocabulary import (
    EOS,
    FIRST_TIME,
    PAD,
    TOKENS_PER_TRIPLET,
    Triplet,
    Vocabulary,
    VocabularyError,
    quantization_report,
    speaker_name,
)

HALF = Vocabulary(window=10.0, resolution=0.5, num_speakers=3)
A, B, C = range(HALF.first_speaker, HALF.size)


def bins(*tokens: int) -> list[int]:
    """Tokens of time bins."""
    return [FIRST_TIME + time_bin for time_bin in tokens]


vocabularies = st.builds(
    Vocabulary,
    window=st.floats(2.0, 60.0),
    resolution=st.floats(0.02, 1.0),
    num_speakers=st.integers(1, 8),
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Vocabulary, list[Triplet]]:
    """Turns in any order; nobody overlaps himself, and each turn is one bin long or longer."""
    vocabulary = draw(vocabularies)
    turns = []
    for speaker in range(draw(st.integers(1, vocabulary.num_speakers))):
        position = draw(st.floats(0, vocabulary.window))
        for _ in range(draw(st.integers(1, 4))):
            end = position + vocabulary.resolution * draw(st.floats(1.0, 20.0))
            if end > vocabulary.window:
                break
            turns.append(Triplet(position, end, 7 * speaker))
            position = end + draw(st.floats(0, 3.0))
    return vocabulary, draw(st.permutations(turns))


# sizes


def test_512_tokens_over_30_seconds() -> None:
    vocabulary = Vocabulary.of_size(512, window=30.0, num_speakers=8)
    assert (vocabulary.size, vocabulary.num_bins, vocabulary.first_speaker) == (512, 502, 504)
    assert vocabulary.resolution == pytest.approx(0.05976, abs=5e-6)
    assert vocabulary.max_error == pytest.approx(0.02988, abs=5e-6)


def test_the_smallest_vocabulary_for_an_error() -> None:
    vocabulary = Vocabulary.for_error(0.02, window=30.0, num_speakers=8)
    assert (vocabulary.num_bins, vocabulary.size) == (750, 760)
    assert vocabulary.max_error == pytest.approx(0.02)
    assert Vocabulary.for_error(0.0201, window=30.0, num_speakers=8).num_bins == 747
    assert Vocabulary.for_error(20.0, window=30.0, num_speakers=8).num_bins == 2
    assert [line.split()[0] for line in quantization_report(30.0, 600, [20.0]).splitlines()] == [
        "tokens",
        "604",
        "1024",
    ]


@given(vocabularies)
def test_classes_name_every_token(vocabulary: Vocabulary) -> None:
    classes = vocabulary.classes
    assert len(classes) == vocabulary.size == 2 + vocabulary.num_bins + vocabulary.num_speakers
    assert classes[PAD] == "<pad>" and classes[EOS] == "<eos>"
    assert float(classes[FIRST_TIME]) == pytest.approx(vocabulary.resolution / 2, abs=1e-3)
    assert classes[vocabulary.first_speaker :] == list("ABCDEFGH")[: vocabulary.num_speakers]


def test_a_window_that_is_no_multiple_of_the_resolution_has_a_last_bin_that_is_cut() -> None:
    vocabulary = Vocabulary(window=1.05, resolution=0.2, num_speakers=1)
    assert vocabulary.num_bins == 6
    assert vocabulary.dequantize(5) == 1.05


def test_letters() -> None:
    assert [speaker_name(k) for k in (0, 1, 25, 26, 27, 701, 702)] == ["A", "B", "Z", "AA", "AB", "ZZ", "AAA"]


@pytest.mark.parametrize(
    ("window", "resolution", "num_speakers", "message"),
    [
        (0.9, 0.5, 2, "0.5 s does not fit a window of 0.9 s"),
        (10.0, 6.0, 2, "longer window or a finer resolution"),
        (10.0, 0.0, 2, "resolution is 0.0; it has to be a number of seconds from 1e-06 to 86400"),
        (-1.0, -1.0, 2, "window is -1.0; it has to be a number of seconds"),
        (float("inf"), 1.0, 2, "window is inf"),
        ("10", 1.0, 2, "window is '10'"),
        (10.0, 0.5, 0, "num_speakers is 0; a vocabulary names a whole number"),
        (10.0, 0.5, 2.5, "num_speakers is 2.5; a vocabulary names a whole number"),
        (10.0, 0.5, True, "num_speakers is True; a vocabulary names a whole number"),
    ],
)
def test_sizes_that_make_no_vocabulary(window: float, resolution: float, num_speakers: int, message: str) -> None:
    with pytest.raises(VocabularyError, match=message):
        Vocabulary(window, resolution, num_speakers)


def test_sizes_and_numbers_of_speakers_are_whole() -> None:
    for size in (512.5, "512", None, True, 0):
        with pytest.raises(VocabularyError, match=f"^size is {size!r}; a vocabulary has a whole number"):
            Vocabulary.of_size(size, window=30.0, num_speakers=8)  # type: ignore[arg-type]
    for make, needed in ((Vocabulary.of_size, 512), (Vocabulary.for_error, 0.01)):
        for number in ("8", 2.5, -600):
            with pytest.raises(VocabularyError, match=f"^num_speakers is {number!r}; a vocabulary names"):
                make(needed, 30.0, number)  # type: ignore[operator]


@pytest.mark.parametrize(("error", "window"), [(-1.0, 10.0), (0.0, 10.0), (0.02, float("inf")), (0.02, 1e308)])
def test_errors_and_windows_that_make_no_vocabulary(error: float, window: float) -> None:
    with pytest.raises(VocabularyError, match=r"(error|window) is .*; it has to be a number of seconds from"):
        Vocabulary.for_error(error, window, num_speakers=4)


def test_too_few_tokens() -> None:
    with pytest.raises(VocabularyError, match="11 tokens with 8 speakers leave 1 time bins.*Use 12 tokens"):
        Vocabulary.of_size(11, window=30.0, num_speakers=8)
    assert Vocabulary.of_size(12, window=30.0, num_speakers=8).num_bins == 2


# times


@given(vocabularies, st.floats(0, 1))
def test_a_time_is_off_by_half_a_bin_at_most(vocabulary: Vocabulary, fraction: float) -> None:
    seconds = fraction * vocabulary.window
    found = vocabulary.dequantize(vocabulary.quantize(seconds))
    assert abs(found - seconds) <= vocabulary.max_error + 1e-6


@given(vocabularies)
def test_the_centre_of_a_bin_lies_in_it(vocabulary: Vocabulary) -> None:
    centres = [vocabulary.dequantize(time_bin) for time_bin in range(vocabulary.num_bins)]
    assert [vocabulary.quantize(centre) for centre in centres] == list(range(vocabulary.num_bins))


def test_a_time_between_two_bins_is_in_the_later_one_and_the_end_of_the_window_in_the_last() -> None:
    vocabulary = Vocabulary(window=6.0, resolution=0.1, num_speakers=1)
    assert 0.3 / 0.1 < 3
    assert [vocabulary.quantize(tenth / 10) for tenth in range(61)] == [*range(60), 59]


@pytest.mark.parametrize("seconds", [-0.01, 10.01, float("nan"), float("inf")])
def test_a_time_outside_the_window(seconds: float) -> None:
    with pytest.raises(VocabularyError, match=r"outside the window \[0, 10.0\] s. Crop the turns"):
        HALF.quantize(seconds)
    with pytest.raises(VocabularyError, match="outside the window"):
        HALF.encode([Triplet(0.0, 1.0, 0), Triplet(min(seconds, 5.0), max(seconds, 5.0), 1)])


# turns


@given(conversations())
@settings(max_examples=200, deadline=None)
def test_decoding_inverts_encoding_up_to_half_a_bin(case: tuple[Vocabulary, list[Triplet]]) -> None:
    vocabulary, turns = case
    found = vocabulary.decode(vocabulary.encode(turns))
    expected = sorted(turns, key=lambda turn: turn.start)
    letters = {speaker: letter for letter, speaker in enumerate(dict.fromkeys(t.speaker for t in expected))}
    assert [turn.speaker for turn in found] == [letters[turn.speaker] for turn in expected]
    for found_turn, turn in zip(found, expected, strict=True):
        assert abs(found_turn.start - turn.start) <= vocabulary.max_error + 1e-6
        assert abs(found_turn.end - turn.end) <= vocabulary.max_error + 1e-6


@given(conversations())
@settings(max_examples=100, deadline=None)
def test_what_was_read_is_written_the_same_again(case: tuple[Vocabulary, list[Triplet]]) -> None:
    vocabulary, turns = case
    tokens = vocabulary.encode(turns)
    assert vocabulary.encode(vocabulary.decode(tokens)) == tokens


def test_turns_are_sorted_and_speakers_named_in_order_of_appearance() -> None:
    turns = [Triplet(6.0, 8.0, 2), Triplet(3.0, 7.0, 5), Triplet(0.0, 1.0, 2), Triplet(3.5, 4.0, 0)]
    assert HALF.encode(turns) == [
        *bins(0, 2), A, *bins(6, 14), B, *bins(7, 8), C, *bins(12, 16), A, EOS,
    ]  # fmt: skip


def test_of_turns_that_start_together_the_first_given_is_named_first() -> None:
    assert HALF.encode([Triplet(1.0, 2.0, 9), Triplet(1.0, 4.0, 3)]) == [
        *bins(2, 4), A, *bins(2, 8), B, EOS,
    ]  # fmt: skip


def test_overlapping_turns_of_one_speaker_are_joined() -> None:
    inner = [Triplet(1.0, 6.0, 0), Triplet(2.0, 3.0, 0), Triplet(5.0, 8.0, 0)]
    assert HALF.encode(inner) == [*bins(2, 16), A, EOS]
    # others who speak in between do not matter
    assert HALF.encode([*inner, Triplet(1.5, 2.0, 1)]) == [*bins(2, 16), A, *bins(3, 4), B, EOS]
    # turns that only meet are kept apart
    assert HALF.encode([Triplet(1.0, 2.0, 0), Triplet(2.0, 3.0, 0)]) == [*bins(2, 4), A, *bins(4, 6), A, EOS]


def test_a_short_turn_becomes_one_bin_long() -> None:
    assert HALF.encode([Triplet(1.1, 1.2, 0)]) == [*bins(2, 3), A, EOS]
    assert HALF.encode([Triplet(1.1, 1.1, 0)]) == [*bins(2, 3), A, EOS]
    # at the end of the window there is room for it
    assert HALF.encode([Triplet(9.9, 10.0, 0)]) == [*bins(18, 19), A, EOS]


def test_times_stay_within_the_bins_of_a_shorter_recording() -> None:
    assert HALF.encode([Triplet(1.0, 4.0, 0), Triplet(3.9, 4.0, 1)], num_bins=8) == [
        *bins(2, 7), A, *bins(6, 7), B, EOS,
    ]  # fmt: skip


@pytest.mark.parametrize("num_bins", [0, 1])
def test_audio_that_holds_no_turn(num_bins: int) -> None:
    with pytest.raises(VocabularyError, match=f"Audio of {num_bins} time bins holds no turn; .* 2 or more"):
        HALF.encode([Triplet(0.0, 1.0, 0)], num_bins=num_bins)


def test_nobody_speaks() -> None:
    assert HALF.encode([]) == [EOS]
    assert HALF.decode([EOS]) == []


def test_as_many_speakers_as_there_are_names() -> None:
    turns = [Triplet(k, k + 1.0, k) for k in range(4)]
    assert len(HALF.encode(turns[:3])) == 3 * TOKENS_PER_TRIPLET + 1
    with pytest.raises(VocabularyError, match="4 speakers in one window, 3 names.*shorter window"):
        HALF.encode(turns)


def test_a_turn_that_ends_before_it_starts() -> None:
    with pytest.raises(VocabularyError, match="start=3.0, end=2.0, speaker=0.* ends before it starts"):
        HALF.encode([Triplet(3.0, 2.0, 0)])


@pytest.mark.parametrize("rest", [[], [EOS], [PAD], [FIRST_TIME + 9], [*bins(9, 10)], [EOS, A, A, A]])
def test_reading_stops_at_the_end_of_the_last_triplet(rest: list[int]) -> None:
    assert HALF.decode([*bins(2, 4), A, *rest]) == [Triplet(1.25, 2.25, 0)]


@pytest.mark.parametrize("tokens", [[A, *bins(2, 4)], [*bins(2, 4, 5)], [*bins(2), A, A], [2, 3, 99]])
def test_tokens_out_of_place_are_not_read(tokens: list[int]) -> None:
    with pytest.raises(VocabularyError, match="times are tokens 2 to 21, speakers 22 to 24"):
        HALF.decode(tokens)


# what is documented


def test_report_of_errors_and_sizes() -> None:
    header, *rows = quantization_report(30.0, 8, errors=(0.02, 0.05)).splitlines()
    assert header.split("  ")[0].strip() == "tokens"
    numbers = [[float(number) for number in row.split()] for row in rows]
    # tokens, bins, bin, largest error and mean error in ms
    assert numbers == [
        [310, 300, 100.0, 50.0, 25.0],
        [512, 502, 59.8, 29.9, 14.9],
        [760, 750, 40.0, 20.0, 10.0],
        [1024, 1014, 29.6, 14.8, 7.4],
    ]


def test_examples_of_the_documentation() -> None:
    result = doctest.testmod(module)
    assert result.attempted >= 4 and result.failed == 0
