from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.audio.pipelines.speaker_diarization import DiarizeOutput
from pyannote.core import Segment, Timeline

from pyannote_pix2seq.joining import shifted
from pyannote_pix2seq.output import Pix2SeqOutput, Turn, exclusive, join, label_of, surest, to_annotation, to_output

many_turns = st.lists(
    st.builds(
        lambda start, duration, speaker, sure: Turn(start / 100, (start + duration) / 100, speaker, sure),
        st.integers(0, 600),  # hundredths of a second: times that are equal are so to the bit
        st.integers(1, 300),
        st.integers(0, 3),
        st.sampled_from([0.1, 0.5, 0.9]),
    ),
    max_size=12,
)


def support(turns: list[Turn]) -> Timeline:
    return Timeline(turn.segment for turn in turns).support()


def duration(turns: list[Turn]) -> float:
    return sum(turn.segment.duration for turn in turns)


# joining


def test_turns_with_a_short_pause_are_joined() -> None:
    turns = [Turn(0.0, 1.0, 0, 0.9), Turn(1.1, 1.6, 0, 0.3)]
    (joined,) = join(turns, pause=0.1001)
    assert joined[:3] == (0.0, 1.6, 0)
    # 1 s of 0.9 and 0.5 s of 0.3
    assert joined.confidence == pytest.approx((1.0 * 0.9 + 0.5 * 0.3) / 1.5)
    assert join(turns, pause=0.05) == turns


def test_only_turns_of_the_same_speaker_are_joined() -> None:
    turns = [Turn(0.0, 1.0, 0, 0.5), Turn(0.5, 2.0, 1, 0.5), Turn(1.0, 3.0, 0, 0.5), Turn(5.0, 6.0, 1, 0.5)]
    assert join(reversed(turns), pause=0.0) == [
        Turn(0.0, 3.0, 0, 0.5), Turn(0.5, 2.0, 1, 0.5), Turn(5.0, 6.0, 1, 0.5),
    ]  # fmt: skip


def test_a_turn_within_another_does_not_shorten_it() -> None:
    assert join([Turn(0.0, 5.0, 0, 0.5), Turn(1.0, 2.0, 0, 0.5), Turn(4.9, 5.5, 0, 0.5)], pause=0.0) == [
        Turn(0.0, 5.5, 0, pytest.approx(0.5))
    ]


def test_parts_shorter_than_the_precision_of_segments_are_joined() -> None:
    turns = [Turn(1.0, 1.004, 0, 0.9), Turn(1.004, 1.008, 0, 0.5)]
    Segment.set_precision(2)  # which makes both parts empty segments
    try:
        (turn,) = join(turns, pause=0.1)
    finally:
        Segment.set_precision()
    assert turn == Turn(1.0, 1.008, 0, pytest.approx(0.7))


def test_nothing_to_join() -> None:
    assert join([], pause=0.1) == [] == exclusive([])


@given(many_turns)
def test_joined_turns_of_a_speaker_lie_apart_and_cover_the_same_time(turns: list[Turn]) -> None:
    joined = join(turns, pause=0.0)
    assert [turn.start for turn in joined] == sorted(turn.start for turn in joined)
    for speaker in range(4):
        own = [turn for turn in joined if turn.speaker == speaker]
        assert all(first.end < second.start for first, second in zip(own[:-1], own[1:], strict=True))
        assert support(own) == support([turn for turn in turns if turn.speaker == speaker])
    assert all(0.1 - 1e-9 <= turn.confidence <= 0.9 + 1e-9 for turn in joined)


# one speaker at a time


def test_the_surest_turn_wins() -> None:
    turns = [Turn(0.0, 4.0, 0, 0.5), Turn(3.0, 6.0, 1, 0.9), Turn(5.0, 8.0, 2, 0.1)]
    assert exclusive(turns) == [Turn(0.0, 3.0, 0, 0.5), Turn(3.0, 6.0, 1, 0.9), Turn(6.0, 8.0, 2, 0.1)]


def test_of_a_speakers_surest_turns_the_first_counts() -> None:
    turns = [Turn(0.0, 1.0, 0, 0.2), Turn(6.0, 7.0, 0, 0.6), Turn(3.0, 9.0, 0, 0.6), Turn(0.0, 9.0, 1, 0.9)]
    assert surest(turns, 0) == turns[2] and surest(turns, 1) == turns[3]


def test_a_surer_turn_splits_a_longer_one() -> None:
    assert exclusive([Turn(0.0, 9.0, 0, 0.5), Turn(3.0, 4.0, 1, 0.9)]) == [
        Turn(0.0, 3.0, 0, 0.5), Turn(3.0, 4.0, 1, 0.9), Turn(4.0, 9.0, 0, 0.5),
    ]  # fmt: skip
    assert exclusive([Turn(0.0, 9.0, 0, 0.9), Turn(3.0, 4.0, 1, 0.5)]) == [Turn(0.0, 9.0, 0, 0.9)]


@given(many_turns)
@settings(deadline=None)
def test_no_moment_is_claimed_twice_and_none_is_lost(turns: list[Turn]) -> None:
    parts = exclusive(turns)
    assert parts == sorted(parts)
    assert all(first.end <= second.start for first, second in zip(parts[:-1], parts[1:], strict=True))
    assert support(parts) == support(turns)
    for part in parts:
        claims = [turn for turn in turns if (turn.segment & part.segment).duration > 1e-6]
        assert part.confidence == max(turn.confidence for turn in claims)
        assert any(turn.speaker == part.speaker and part.segment in turn.segment for turn in claims)


# moving and cutting


def test_turns_are_cut_but_never_to_nothing() -> None:
    turn = Turn(2.0, 9.5, 1, 0.5)
    assert turn.within(1.0, 8.0) == Turn(2.0, 8.0, 1, 0.5) and turn.within(3.0, 20.0) == Turn(3.0, 9.5, 1, 0.5)
    assert turn.within(0.0, 1.0) == (0.99, 1.0, 1, 0.5)
    assert turn.within(12.0, 20.0) == (12.0, 12.01, 1, 0.5)
    assert shifted([turn], 1.5) == [Turn(3.5, 11.0, 1, 0.5)]


# what users get


def test_annotations_have_the_labels_of_speakers() -> None:
    turns = [Turn(2.0, 3.0, 11, 0.5), Turn(0.0, 1.0, 0, 0.5)]
    annotation = to_annotation(turns, "talk", {0: "SPEAKER_00", 11: "ann"})
    assert annotation.uri == "talk"
    assert [(*segment, label) for segment, _, label in annotation.itertracks(yield_label=True)] == [
        (0.0, 1.0, "SPEAKER_00"),
        (2.0, 3.0, "ann"),
    ]


def test_strangers_are_called_after_their_numbers() -> None:
    assert [label_of(number, {-2: "ann", 5: "bob"}) for number in (-2, 5, 7, 99, 100)] == [
        "ann", "bob", "SPEAKER_07", "SPEAKER_99", "SPEAKER_100",
    ]  # fmt: skip


def test_speakers_who_say_the_same_time_are_both_kept() -> None:
    annotation = to_annotation(
        [Turn(0.0, 1.0, 0, 0.5), Turn(0.0, 1.0, 1, 0.5)], "talk", {0: "SPEAKER_00", 1: "SPEAKER_01"}
    )
    assert annotation.get_labels(Segment(0.0, 1.0)) == {"SPEAKER_00", "SPEAKER_01"}


def test_an_output_is_what_pyannote_audio_expects() -> None:
    turns = [Turn(3.0, 6.0, 1, 0.98765), Turn(0.0, 4.0, 0, 0.5)]
    output = to_output(turns, "talk", dict(enumerate(np.eye(2))), 2, {})
    assert isinstance(output, Pix2SeqOutput) and isinstance(output, DiarizeOutput)
    assert output.speaker_diarization.uri == output.exclusive_speaker_diarization.uri == "talk"
    assert output.confidence == [0.5, 0.98765]
    assert output.speaker_embeddings.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert output.serialize() == {
        "diarization": [
            {"start": 0.0, "end": 4.0, "speaker": "SPEAKER_00", "confidence": 0.5},
            {"start": 3.0, "end": 6.0, "speaker": "SPEAKER_01", "confidence": 0.988},
        ],
        "exclusive_diarization": [
            {"start": 0.0, "end": 3.0, "speaker": "SPEAKER_00"},
            {"start": 3.0, "end": 6.0, "speaker": "SPEAKER_01"},
        ],
    }


def test_embeddings_are_in_the_order_of_labels() -> None:
    turns = [Turn(float(k), k + 0.5, k, 0.5) for k in range(102)]
    voices = {k: np.array([k]) for k in range(200)}
    output = to_output(turns, "talk", voices, 1, {0: "zoe", 2: "Ann"})
    labels = output.speaker_diarization.labels()
    first = [output.speaker_diarization.label_timeline(label)[0].start for label in labels]
    assert labels[0] == "Ann" and labels[-1] == "zoe" and len(labels) == 102
    assert output.speaker_embeddings[:, 0].tolist() == first


def test_many_turns_are_resolved_in_the_time_that_it_takes_to_sort_them() -> None:
    turns = [Turn(0.1 * k, 0.1 * k + 0.3, k % 7, 0.5 + 0.4 * (k % 3 == 0)) for k in range(20_000)]
    assert sum(turn.segment.duration for turn in exclusive(turns)) == pytest.approx(2000.2)


def test_nobody_speaks() -> None:
    output = to_output([], "talk", {}, 0, {})
    assert not output.speaker_diarization and not output.exclusive_speaker_diarization
    assert output.speaker_embeddings is None and list(output.confidence) == []
    assert to_output([], "talk", {}, 192, {}).speaker_embeddings.shape == (0, 192)  # as pyannote.audio's own


def test_each_turn_has_its_own_confidence_even_where_turns_are_equal() -> None:
    # turns 9 and 10 are the same time said by two: tracks are sorted by their names
    turns = [Turn(k / 10, k / 10 + 0.05, 0, 0.5) for k in range(9)]
    turns += [Turn(5.0, 6.0, 2, 0.2), Turn(5.0, 6.0, 3, 0.3)]
    output = to_output(turns, "talk", {k: np.zeros(0) for k in (0, 2, 3)}, 0, {2: "bob", 3: "ann"})
    labels = [label for _, _, label in output.speaker_diarization.itertracks(yield_label=True)]
    assert dict(zip(labels, output.confidence, strict=True)) == {
        "SPEAKER_00": 0.5, "bob": 0.2, "ann": 0.3,
    }  # fmt: skip
