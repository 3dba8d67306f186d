"""How recordings are taken apart: events, habits, stretches, characteristics."""

from __future__ import annotations

import pytest

from pyannote_pix2seq.simulation.turn_statistics import TurnStatistics, characteristics, dissect, habits
from pyannote_pix2seq.vocabulary import Triplet


def test_events_of_a_recording() -> None:
    turns = [
        Triplet(0, 10, 0),
        Triplet(2, 2.5, 1),  # backchannel
        Triplet(9, 12, 2),  # interruption
        Triplet(12, 13, 1),  # turns that touch: a gap of nothing
        Triplet(14.5, 16, 1),  # pause
        Triplet(14.7, 15.2, 0),
    ]
    events = dissect(turns)
    assert [event.name for event in events] == ["first", "backchannel", "interruption", "gap", "pause", "backchannel"]
    assert [event.offset for event in events[1:]] == [-8, -1, 0, 1.5, -1.3]
    assert [event.held for event in events[1:]] == pytest.approx([10, 10, 3, 1, 1.5])


def test_habits_are_shares_of_events() -> None:
    one = [Triplet(0, 10, 0), Triplet(2, 4, 1), Triplet(3, 3.5, 2), Triplet(5, 6, 1), Triplet(9, 12, 2)]
    other = [Triplet(0, 1, 0), Triplet(1, 2, 1), Triplet(3, 4, 1)]
    expected = {"pause": 1 / 6, "gap": 1 / 6, "interruption": 1 / 6, "backchannel": 3 / 6, "chorus": 2 / 3}
    assert habits([one, [], other]) == pytest.approx(expected)
    assert set(habits([]).values()) == {0}


def test_a_long_backchannel_can_overlap_several_short_ones() -> None:
    long, short, later = Triplet(2, 6, 1), Triplet(3, 3.5, 2), Triplet(5, 5.5, 2)
    assert habits([[Triplet(0, 10, 0), long, short, later]])["chorus"] == 1


def test_turns_that_touch_do_not_overlap_by_a_rounding_error() -> None:
    assert 0.1 + 0.2 > 0.3
    assert dissect([Triplet(0, 0.1 + 0.2, 0), Triplet(0.3, 1, 1)])[1].name == "gap"


def test_a_turn_that_ends_with_the_one_that_has_the_floor_does_not_take_it() -> None:
    events = dissect([Triplet(0, 3, 0), Triplet(2, 3, 1), Triplet(4, 5, 0)])
    assert [event.name for event in events] == ["first", "backchannel", "pause"]


def test_fullness_of_a_stretch() -> None:
    measure = TurnStatistics(
        [Triplet(0, 10, 0), Triplet(4, 6, 1), Triplet(5, 7, 2), Triplet(20, 30, 1), Triplet(39.95, 50, 0)]
    )
    assert measure.stretch(0, 20) == pytest.approx((0.5, 0.15, 3, 3))
    assert measure.stretch(20, 40) == pytest.approx((0.5, 0, 1, 1))
    assert [stretch.num_speakers for stretch in measure.stretches(20)] == [3, 1]


def test_characteristics_of_recordings() -> None:
    values = characteristics([[Triplet(10, 40, 0), Triplet(38, 70, 1), Triplet(71, 72, 0)], []])
    assert values["length"].tolist() == [30, 32, 1]
    assert values["gap"].tolist() == [-2, 1]
    assert values["overlap"].tolist() == pytest.approx([2 / 30, 0], abs=1e-5)
    assert values["speech"].tolist() == [1, 1]
    assert values["speakers"].tolist() == [2, 1]


def test_turns_of_one_speaker_that_overlap_are_one() -> None:
    once = characteristics([[Triplet(0, 20, 0), Triplet(20, 40, 1)]])
    twice = characteristics([[Triplet(0, 15, 0), Triplet(5, 20, 0), Triplet(20, 40, 1), Triplet(30, 35, 1)]])
    assert {name: values.tolist() for name, values in twice.items()} == {
        name: values.tolist() for name, values in once.items()
    }
