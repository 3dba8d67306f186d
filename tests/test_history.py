"""What a chain remembers of voices, and how it tells them apart again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
import torch

from pyannote_pix2seq.output import Turn
from pyannote_pix2seq.strategies import history
from pyannote_pix2seq.strategies.history import Group, PartHistory, same_people
from pyannote_pix2seq.strategies.reading import Part

ANN, BOB, EVE = torch.eye(3).tolist()
BETWEEN = [0.8, 0.6, 0.0]
"""Between Ann and Bob."""


def part(voice: Sequence[float], speaker: int = 0, start: float = 0.0, seconds: float = 3.0) -> Part:
    """A part that somebody says alone; his voice is not of unit length."""
    return Part(Turn(start, start + 3.0, speaker, 0.9), 5 * torch.tensor(voice), seconds, (start, speaker))


def numbers(parts_so_far: PartHistory, parts: Sequence[Part], max_speakers: int | None = None) -> list[int | None]:
    assigned, groups = parts_so_far.assign(parts, 60.0, max_speakers)
    return [same_people(groups, {}).get(group) for group in assigned]


def seconds_of(parts_so_far: PartHistory) -> dict[int, float]:
    """Seconds of all parts of each speaker that are remembered."""
    _, groups = parts_so_far.assign([part(EVE)], 60.0, None)
    return dict(sum((Counter(group.seconds) for group in groups), Counter()))


def test_people_are_those_whose_voices_they_have() -> None:
    parts_so_far = PartHistory()
    parts_so_far.add([part(ANN, 4), part(ANN, 4), part(BOB, 1), part(BOB, 1)])
    assert numbers(parts_so_far, [part(BOB), part(ANN), part(EVE), part(EVE), part(ANN)]) == [1, 4, None, None, 4]
    assigned, groups = parts_so_far.assign([part(EVE), part(ANN, seconds=1.0)], 60.0, None)
    torch.testing.assert_close(groups[assigned[1]].voice, 7.0 * torch.tensor(ANN))  # 3 + 3 + 1 s
    torch.testing.assert_close(groups[assigned[1]].here, 1.0 * torch.tensor(ANN))
    torch.testing.assert_close(groups[assigned[0]].voice, 3.0 * torch.tensor(EVE))
    assert len(parts_so_far) == 4  # only what is added is remembered


def test_who_was_taken_for_two_becomes_one_and_keeps_the_number_he_had_for_longer() -> None:
    parts_so_far = PartHistory()
    parts_so_far.add([part(ANN, 0), part(BOB, 1), part(ANN, 2), part(ANN, 2), part(BOB, 1)])
    assert numbers(parts_so_far, [part(ANN), part(BOB)]) == [2, 1]
    parts_so_far.add([part(ANN, 0), part(ANN, 0)])
    assert numbers(parts_so_far, [part(ANN), part(BOB)]) == [0, 1]


def test_who_was_taken_for_somebody_else_becomes_somebody_new() -> None:
    parts_so_far = PartHistory()
    parts_so_far.add([part(ANN, 0), part(ANN, 0), part(EVE, 0)])
    assert numbers(parts_so_far, [part(EVE), part(ANN)]) == [None, 0]


def test_numbers_that_are_given_are_nobody_elses() -> None:
    assigned: list[dict[int, float]] = [{2: 9.0, 3: 8.0}, {2: 5.0}, {}, {3: 7.0, 4: 2.0, -1: 99.0}]
    groups = [Group(torch.tensor(ANN), torch.tensor(ANN), seconds) for seconds in assigned]
    assert same_people(groups, {}) == {0: 2, 3: 3}  # 16 s stay whose they were; names are for others to give
    assert same_people(groups, {2: -1}) == {0: 2, 2: -1, 3: 3}
    assert same_people(groups, {0: -1}) == {0: -1, 1: 2, 3: 3}
    assert same_people([], {}) == {}


def test_there_are_no_more_people_than_allowed() -> None:
    parts_so_far = PartHistory()
    parts_so_far.add([part(ANN, 0), part(ANN, 0), part(EVE, 1), part(EVE, 1)])
    assert numbers(parts_so_far, [part(BETWEEN)], max_speakers=2) == [0]
    assert numbers(parts_so_far, [part(BOB)], max_speakers=None) == [None]


def test_what_is_not_clear_is_remembered_only_of_people_of_whom_nothing_is() -> None:
    parts_so_far = PartHistory()
    parts_so_far.add([part(ANN, 0), part(ANN, 0, seconds=1.9), part(BOB, 1, seconds=0.5)])
    parts_so_far.add([part(BOB, 1, seconds=0.7), part(BOB, 1, seconds=2.0)])
    assert len(parts_so_far) == 4  # not the one of 0.7 s
    assert seconds_of(parts_so_far) == pytest.approx({0: 3.0 + 1.9, 1: 0.5 + 2.0})


def test_who_said_the_most_loses_his_oldest_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_PARTS", 5)
    parts_so_far = PartHistory()
    lengths = [2.0 + 0.5**number for number in range(9)]  # all are clear, and no other four have the sum of the last
    parts_so_far.add([part(ANN, 0, seconds=lengths[0]), part(BOB, 1, seconds=3.0)])
    for seconds in lengths[1:]:
        parts_so_far.add([part(ANN, 0, seconds=seconds)])
    assert len(parts_so_far) == 5
    assert seconds_of(parts_so_far) == pytest.approx({0: sum(lengths[-4:]), 1: 3.0})


def test_what_is_least_clear_is_lost_before_what_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_PARTS", 3)
    parts_so_far = PartHistory()
    lengths = (2.5, 1.0, 3.0, 1.5, 2.0, 0.8)
    parts_so_far.add([part(ANN, 0, start=3.0 * index, seconds=seconds) for index, seconds in enumerate(lengths)])
    assert len(parts_so_far) == 3 and seconds_of(parts_so_far) == pytest.approx({0: 2.5 + 3.0 + 2.0})
    parts_so_far.add([part(ANN, 0, start=18.0, seconds=2.1)])
    assert len(parts_so_far) == 3 and seconds_of(parts_so_far) == pytest.approx({0: 3.0 + 2.0 + 2.1})


def test_who_is_forgotten_is_somebody_new() -> None:
    parts_so_far = PartHistory()
    parts_so_far.add([part(ANN, 0), part(ANN, 0), part(BOB, 1), part(BOB, 1)])
    parts_so_far.forget(1)
    assert numbers(parts_so_far, [part(BOB), part(ANN), part(ANN)]) == [None, 0, 0]
    parts_so_far.forget(0)
    assert len(parts_so_far) == 0
