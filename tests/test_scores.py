"""What is measured of a diarization, on cases small enough to work out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate
from toy import annotation

from pyannote_pix2seq.der import Scoring
from pyannote_pix2seq.evaluation.measures import difference, intervals, levels, measure, resampled
from pyannote_pix2seq.evaluation.scores import Score, score

SCORED = Timeline([Segment(0, 20)])


REFERENCE = annotation((0, 8, "ann"), (8, 12, "bob"), (11, 20, "ann"))
HYPOTHESIS = annotation((0.5, 8.2, "x"), (8.3, 11.0, "y"), (11.1, 19.0, "x"), (19, 19.5, "z"))


def test_a_perfect_diarization() -> None:
    found = measure([score("talk", REFERENCE, REFERENCE, SCORED, [1.0] * 3, elapsed=2.0)])
    zeros = ("der", "false_alarm", "missed_detection", "confusion", "jer", "speaker_count_error", "boundary_error")
    assert [found[name] for name in (*zeros, "calibration_error")] == [0.0] * 8
    assert found["speaker_count_right"] == 100 and found["speed"] == 10


def test_the_der_and_its_parts_are_those_of_pyannote() -> None:
    found = measure([score("talk", REFERENCE, HYPOTHESIS, SCORED)])
    # 21 s of speech; missed: 0 to 0.5, 8.2 to 8.3, 11 to 11.1 (both speak: one more), 11 to 12 (bob), 19.5 to 20
    assert found["missed_detection"] == pytest.approx(100 * (0.5 + 0.1 + 0.1 + 1 + 0.5) / 21)
    assert found["false_alarm"] == pytest.approx(0.0)
    assert found["confusion"] == pytest.approx(100 * (0.2 + 0.5) / 21)  # 8 to 8.2, 19 to 19.5
    assert found["der"] == pytest.approx(sum(found[part] for part in ("missed_detection", "confusion")))


def test_a_collar_and_overlap_may_be_left_out() -> None:
    found = measure([score("talk", REFERENCE, HYPOTHESIS, SCORED, scoring=Scoring(collar=1.0))])
    # left: 0.5 to 7.5, 8.5 to 10.5, 11.5 to 11.5, 12.5 to 19.5, of which 19 to 19.5 is confused
    assert found["confusion"] == pytest.approx(100 * 0.5 / 16) == pytest.approx(found["der"])
    found = measure([score("talk", REFERENCE, HYPOTHESIS, SCORED, scoring=Scoring(skip_overlap=True))])
    assert found["missed_detection"] == pytest.approx(100 * (0.5 + 0.1 + 0.5) / 19)  # 11 to 12 is left out
    assert found["jer"] == pytest.approx(100 * ((0.5 + 0.2 + 1.0) / 16.2 + 0.3 / 3) / 2)
    assert found["boundary_error"] == pytest.approx(250)  # is that of everything
    assert str(Scoring(0.5, True)) == "collar 0.5 s, overlap not scored"


def test_where_the_scored_part_begins_or_ends_is_no_boundary_with_a_collar() -> None:
    whole, parts = annotation((0, 100, "ann")), Timeline([Segment(10, 20), Segment(30, 40)])
    assert score("talk", whole, whole, parts, scoring=Scoring(collar=0.5)).errors["total"] == 20


TURNS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 12), st.sampled_from("abc")).map(
        lambda turn: (turn[0], turn[0] + turn[1], turn[2])
    ),
    max_size=8,
)
PARTS = st.lists(st.tuples(st.integers(0, 35), st.integers(1, 15)), min_size=1, max_size=3)


@given(TURNS, TURNS, PARTS, st.sampled_from([0.0, 0.5]), st.booleans())
@settings(deadline=None, max_examples=100)
def test_errors_are_those_of_pyannote_of_what_was_not_cut(
    true: list[Any], found: list[Any], parts: list[tuple[int, int]], collar: float, skip_overlap: bool
) -> None:
    reference, hypothesis = annotation(*true), annotation(*found)
    scored = Timeline([Segment(start, start + length) for start, length in parts]).support()
    ours = score("talk", reference, hypothesis, scored, scoring=Scoring(collar, skip_overlap))
    der, jer = (metric(collar=collar, skip_overlap=skip_overlap) for metric in (DiarizationErrorRate, JaccardErrorRate))
    assert ours.errors == der(reference, hypothesis, uem=scored, detailed=True)
    expected = jer(reference, hypothesis, uem=scored, detailed=True)
    assert ours.jaccard == (expected["speaker error"], expected["speaker count"])
    if not collar:  # then it does not matter whether what is not scored was cut away
        cut = [each.crop(scored, mode="intersection") for each in (reference, hypothesis)]
        assert ours.errors == pytest.approx(der(*cut, uem=scored, detailed=True))


def test_the_jaccard_error_rate_is_that_of_the_speakers() -> None:
    ann = (0.5 + 0.2 + 0.1 + 1.0) / 17.2
    bob = 1.3 / 4
    assert measure([score("talk", REFERENCE, HYPOTHESIS, SCORED)])["jer"] == pytest.approx(100 * (ann + bob) / 2)


def test_speakers_are_counted_in_the_scored_part() -> None:
    whole = score("talk", REFERENCE, HYPOTHESIS, SCORED)
    assert whole.num_speakers == (3, 2)
    part = score("talk", REFERENCE, HYPOTHESIS, Timeline([Segment(0, 18)]))
    assert part.num_speakers == (2, 2)
    found = measure([whole, part])
    assert found["speaker_count_error"] == 0.5 and found["speaker_count_right"] == 50


def test_boundaries_are_those_of_matched_speakers_but_for_the_edges_of_what_is_scored() -> None:
    # ann: end 8 (8.2), start 11 (11.1); 0 and 20 are edges. bob: start 8 (8.3), end 12 (11)
    found = score("talk", REFERENCE, HYPOTHESIS, SCORED)
    assert sorted(found.boundaries) == pytest.approx([0.1, 0.2, 0.3, 1.0])
    assert measure([found])["boundary_error"] == pytest.approx(250)
    assert np.isnan(measure([score("talk", REFERENCE, annotation(), SCORED)])["boundary_error"])


def test_what_is_cut_at_an_edge_in_either_has_no_boundary_there() -> None:
    inside, beyond = annotation((0.5, 19, "ann")), annotation((-1, 25, "x"))
    assert not len(score("talk", inside, beyond, SCORED).boundaries)
    assert not len(score("talk", beyond, inside, SCORED).boundaries)


def test_turns_that_touch_have_no_boundary_between_them() -> None:
    cut = annotation((0, 4, "ann"), (4, 8, "ann"), (8, 12, "bob"), (11, 20, "ann"))
    assert len(score("talk", cut, HYPOTHESIS, SCORED).boundaries) == 4


def test_only_turns_that_overlap_each_other_the_most_match() -> None:
    # one turn over a pause matches the longer of the two, whose other boundary is right; the short one has no match
    reference = annotation((1, 2, "ann"), (3, 8, "ann"), (15, 16, "ann"))
    found = score("talk", reference, annotation((1.5, 8.25, "x"), (12, 13, "x")), SCORED)
    assert list(found.boundaries) == [1.5, 0.25]
    # turns that only touch do not match
    found = score("talk", annotation((1, 2, "ann"), (3, 8, "ann")), annotation((2, 2.5, "x"), (3, 8, "x")), SCORED)
    assert list(found.boundaries) == [0, 0]


def test_calibration_is_confidence_against_time_that_is_right() -> None:
    hypothesis = annotation((0, 5, "x"), (5, 10, "x"), (8, 12, "y"), (15, 25, "x"), (21, 22, "y"))
    found = score("talk", REFERENCE, hypothesis, SCORED, [0.95, 0.92, 0.45, 0.5, 0.15])
    # 10 s claimed at 0.95 and 0.92, 8 right; y is right for all 4 s; x is right from 15 to 20, the rest is not scored
    assert found.calibration is not None
    assert found.calibration[9] == pytest.approx([10, 9.35, 8])
    assert found.calibration[4] == pytest.approx([4, 1.8, 4])
    assert found.calibration[5] == pytest.approx([5, 2.5, 5]) and not found.calibration[1].any()
    assert measure([found])["calibration_error"] == pytest.approx(100 * (1.35 + 2.2 + 2.5) / 19)
    assert levels([found, found])[4] == pytest.approx([8, 3.6, 8])
    assert np.isnan(measure([score("talk", REFERENCE, hypothesis, SCORED)])["calibration_error"])


def test_there_is_one_confidence_for_each_turn() -> None:
    with pytest.raises(ValueError):
        score("talk", REFERENCE, HYPOTHESIS, SCORED, [0.5])


def test_errors_add_up_before_they_are_divided() -> None:
    short = annotation((0, 1, "ann"))
    talk = score("talk", REFERENCE, HYPOTHESIS, SCORED, elapsed=2.0)
    found = measure([talk, score("short", short, annotation(), SCORED, duration=4.0, elapsed=8.0)])
    assert found["der"] == pytest.approx((2.2 + 0.7 + 1) / 22 * 100)
    assert found["jer"] == pytest.approx((2 * measure([talk])["jer"] + 100) / 3)  # of three speakers
    assert found["speed"] == pytest.approx(24 / 10)


def test_nobody_speaking_is_no_error_unless_somebody_is_heard() -> None:
    assert measure([score("talk", annotation(), annotation(), SCORED)])["der"] == 0
    assert measure([score("talk", annotation(), annotation((0, 1, "x")), SCORED)])["false_alarm"] == 100


def many(shift: float, number: int = 40) -> list[Score]:
    """Recordings whose second turn is missed for 1 to 5 s, and `shift` more."""
    made = []
    for index in range(number):
        end = 13 - 4 * index / (number - 1) - shift
        made.append(
            score(f"{index}", annotation((0, 8, "a"), (8, 14, "b")), annotation((0, 8, "x"), (8, end, "y")), SCORED)
        )
    return made


def test_intervals_hold_the_total_and_shrink_with_more_recordings() -> None:
    few, all_of_them = (intervals(scores, ["der"])["der"] for scores in (many(0)[::8], many(0)))
    total = measure(many(0))["der"]
    assert all_of_them[0] < total < all_of_them[1]
    # standard error of the mean: sd of a uniform distribution over 4 s, of 14 s of speech
    width = 2 * 1.96 * 100 * 4 / 14 / np.sqrt(12 * 40)
    assert all_of_them[1] - all_of_them[0] == pytest.approx(width, rel=0.15)
    assert few[1] - few[0] > 1.8 * width


def test_intervals_are_the_middle_95_percent() -> None:
    said, silence = annotation((0, 2, "ann")), annotation()
    scores = [score(f"{index}", said, said if index else silence, SCORED) for index in range(10)] * 2
    # two of 20 are missed: in a sample, 4 or fewer with a probability of 95.7 %, and 5 or fewer with one of 98.9 %
    assert intervals(scores, ["der"])["der"] == pytest.approx((0, 100 * 5 / 20))


def test_intervals_are_the_same_every_time_and_cover_every_measure() -> None:
    scores = many(0, 5)
    assert intervals(scores, ["der", "jer"]) == intervals(scores, ["der", "jer"])
    assert set(intervals(scores)) == set(measure(scores))
    assert np.isnan(intervals(scores)["calibration_error"]).all()
    assert resampled(5).shape == (1000, 5) and resampled(5).max() == 4


def test_samples_in_which_a_measure_is_not_defined_do_not_count() -> None:
    talk, silence = score("talk", REFERENCE, HYPOTHESIS, SCORED), score("silence", annotation(), annotation(), SCORED)
    rate = measure([talk])["jer"]  # that of silence is not defined
    assert intervals([silence, talk], ["jer"])["jer"] == pytest.approx((rate, rate))


def test_a_difference_is_of_the_same_recordings() -> None:
    value, low, high = difference(many(0), many(0.14))
    assert value == pytest.approx(-1.0) and (low, high) == pytest.approx((-1.0, -1.0))
    with pytest.raises(ValueError, match="same recordings"):
        difference(many(0), many(0)[::-1])
