"""Who is in a recording."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pyannote.core import Segment

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.output import Turn
from pyannote_pix2seq.strategies import assignment
from pyannote_pix2seq.strategies.assignment import MAX_CLUSTERED, assign_speakers
from pyannote_pix2seq.strategies.reading import Part, Reading

FREE = SpeakerLimits(0, None)
NOISE = torch.Generator().manual_seed(0)


def part(person: int, seconds: float = 3.0, noise: float = 0.5) -> Part:
    """A part of somebody's turn; its voice is longer the longer it is."""
    voice = torch.eye(64)[person] + noise * torch.randn(64, generator=NOISE) / 8
    return said(seconds * voice, seconds)


def said(voice: torch.Tensor, seconds: float = 3.0, written: tuple[float, int] = (0.0, 0)) -> Part:
    return Part(Turn(0.0, seconds, 0, 1.0), voice, seconds, written)


def test_what_a_chunk_says_of_two_voices_counts_where_there_are_few() -> None:
    """Two ways to sound, 0.4 apart, in two chunks: half of the pairs are of one chunk."""
    ways = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    assigned = {
        other: assign_speakers(
            [said(ways[way], written=(chunk, other * way)) for chunk in (0.0, 24.0) for way in (0, 1)], 54.0, FREE
        )
        for other in (0, 1)
    }
    assert assigned[0].tolist() == [0, 0, 0, 0] and assigned[1].tolist() == [0, 1, 0, 1]
    swapped = [said(ways[way], written=(chunk, way ^ (chunk > 0))) for chunk in (0.0, 24.0) for way in (0, 1)]
    assert assign_speakers(swapped, 54.0, FREE).tolist() == [0, 1, 0, 1]  # numbers of two chunks are not compared
    elsewhere = [said(ways[way], written=(30.0 * index, index)) for index, way in enumerate((0, 1, 0, 1))]
    assert assign_speakers(elsewhere, 120.0, FREE).tolist() == [0, 0, 0, 0]
    assert elsewhere[3].assigned_to(7).written == (90.0, 3) and elsewhere[3].assigned_to(7).turn.speaker == 7


def test_parts_of_one_turn_may_be_two_people() -> None:
    whose = [0, 0, 1, 1] * 20
    assigned = assign_speakers([part(person) for person in whose], 600.0, FREE)
    np.testing.assert_array_equal(assigned, whose)


def test_what_is_not_clear_follows_the_voices() -> None:
    whose = [0, 1] * 20
    short = [part(1, seconds=0.6), part(0, seconds=0.0001), part(1, seconds=0.7)]
    assigned = assign_speakers([part(person) for person in whose] + short, 600.0, FREE)
    np.testing.assert_array_equal(assigned, [*whose, 1, 0, 1])


@pytest.mark.parametrize(("number", "people"), [(240, 3), (250, 2)])
def test_less_clear_parts_count_where_clear_ones_are_few(number: int, people: int) -> None:
    """Of 40 parts of 1 s of a third person, the longest count until there are 500: 20 of them, or none."""
    parts = [*map(part, [0, 1] * number), *(part(2, seconds=1.0 + i / 100) for i in range(40))]
    assert len(set(assign_speakers(parts, 2000.0, FREE).tolist())) == people


def test_who_hardly_says_anything_is_told_to_somebody() -> None:
    whose = [0, 1] * 20
    assigned = assign_speakers([*map(part, whose), part(2)], 600.0, FREE)  # 3 s: a mistake
    assert set(assigned.tolist()) == {0, 1}
    assert set(assign_speakers([*map(part, whose), part(2)], 600.0, SpeakerLimits(3, 3)).tolist()) == {0, 1, 2}


@pytest.mark.parametrize(("number", "people"), [(9, 2), (10, 3)])
def test_half_a_minute_in_hours_is_enough_to_be_somebody(number: int, people: int) -> None:
    parts = [*map(part, [0, 1] * 40), *(part(2) for _ in range(number))]  # of 3 s each
    assert len(set(assign_speakers(parts, 14400.0, FREE).tolist())) == people


@pytest.mark.parametrize("number", range(1, 45))
def test_any_number_of_people_is_obeyed(number: int) -> None:
    parts = [part(index % 3, seconds=3.0 if index < 40 else 0.1) for index in range(44)]
    assert set(assign_speakers(parts, 600.0, SpeakerLimits(number, number)).tolist()) == set(range(number))


@pytest.mark.parametrize(("limits", "expected"), [(FREE, [0, 0, 0]), (SpeakerLimits(2, None), [0, 1, 0])])
def test_whoever_speaks_in_hours_of_silence_is_somebody(limits: SpeakerLimits, expected: list[int]) -> None:
    parts = [part(0), part(1), part(0)]  # 9 s are too little for anybody
    assert assign_speakers(parts, 14400.0, limits).tolist() == expected


def test_people_who_always_speak_at_once_are_told_apart() -> None:
    parts = [said(torch.eye(2)[person], seconds=0.0) for person in (0, 1, 0, 1)]
    assert assign_speakers(parts, 60.0, SpeakerLimits(2, 2)).tolist() == [0, 1, 0, 1]


def test_what_is_not_clear_follows_the_voices_of_those_who_said_more() -> None:
    """It is nearer to the short one of two parts of a person than to another person, but not to both by duration."""
    long, short = said(torch.tensor([1.0, 0.0, 0.0]), 20.0), said(torch.tensor([0.6, 0.8, 0.0]), 2.0)
    other, unclear = said(torch.tensor([0.0, 0.0, 1.0])), said(torch.tensor([0.0, 0.93, 0.37]), 0.5)
    assert assign_speakers([long, short, other, other, unclear], 60.0, SpeakerLimits(2, 2)).tolist() == [0, 0, 1, 1, 1]


def test_nobody_has_to_have_a_clear_part() -> None:
    whose = [0, 1, 2] * 10
    np.testing.assert_array_equal(assign_speakers([part(person, seconds=0.7) for person in whose], 600.0, FREE), whose)
    parts = [part(0), *(part(person, seconds=0.7) for person in whose)]
    assert len(set(assign_speakers(parts, 600.0, SpeakerLimits(2, None)).tolist())) == 3


def test_of_very_many_parts_some_are_grouped_and_the_others_follow() -> None:
    whose = np.arange(2 * MAX_CLUSTERED + 100) % 3
    assigned = assign_speakers([part(person) for person in whose], 14400.0, FREE)
    np.testing.assert_array_equal(assigned, np.array([assigned[0], assigned[1], assigned[2]])[whose])
    assert sorted(assigned[:3]) == [0, 1, 2]


def test_of_many_parts_each_that_is_grouped_stands_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "MAX_CLUSTERED", 20)
    whose = [0, 0, 1, 1] * 10  # 60 s each, of which 30 s are grouped
    for shortest, people in ((59.0, 2), (61.0, 1)):
        monkeypatch.setattr(assignment, "MIN_DURATION", shortest)
        assert len(set(assign_speakers([part(person) for person in whose], 14400.0, FREE).tolist())) == people
    assert len(set(assign_speakers([part(person) for person in whose], 600.0, SpeakerLimits(25, None)).tolist())) == 25


def test_nobody() -> None:
    assert len(assign_speakers([], 60.0, FREE)) == 0


def test_a_reading_in_parts() -> None:
    voice = torch.zeros(100, 1, 2)  # 16 s
    voice[:50, 0, 0] = voice[50:, 0, 1] = 1.0
    reading = Reading(AudioTokens(torch.zeros(100, 1), voice), 100.0, Segment(100, 116))
    reading.set_turns([Turn(100.0, 109.6, 0, 0.5), Turn(108.0, 114.4, 1, 0.9), Turn(109.6, 109.92, 0, 0.5)])
    parts = list(reading.parts(4.8))
    np.testing.assert_allclose([p.turn[:3] for p in parts], [(100, 104.96, 0), (104.96, 109.92, 0), (108, 114.4, 1)])
    assert [p.written for p in parts] == [(100.0, 0), (100.0, 0), (100.0, 1)]
    assert [p.seconds for p in parts] == pytest.approx([4.96, 3.04, 4.48])
    np.testing.assert_allclose(torch.stack([p.voice for p in parts]), [[31, 0], [19, 0], [0, 28]], atol=1.01)


def test_speakers_are_told_apart_by_the_first_two_voices_of_each_token() -> None:
    voice = torch.eye(3).expand(100, 3, 3)
    reading = Reading(AudioTokens(torch.zeros(100, 1), voice), 0.0, Segment(0, 16))
    reading.set_turns([Turn(0.0, 4.8, 0, 0.5)])
    torch.testing.assert_close(reading.speakers[0].voice, torch.tensor([30.0, 0.0, 0.0]))
    torch.testing.assert_close(sum(part.voice for part in reading.parts(4.8)), torch.tensor([30.0, 30.0, 0.0]))


def test_a_part_that_is_all_overlap_has_the_voice_of_its_speaker() -> None:
    voice = torch.zeros(100, 1, 2)
    voice[:50, 0, 0] = voice[50:, 0, 1] = 1.0
    reading = Reading(AudioTokens(torch.zeros(100, 1), voice), 0.0, Segment(0, 16))
    reading.set_turns([Turn(0.0, 6.4, 0, 0.5), Turn(9.6, 14.4, 1, 0.9), Turn(11.2, 12.8, 0, 0.5)])
    overlap = list(reading.parts(4.8))[-1]
    assert overlap.seconds == 0
    np.testing.assert_allclose(overlap.voice, reading.speakers[0].voice)
