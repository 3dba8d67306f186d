"""Turns are given to those whose voices they have."""

from __future__ import annotations

import pytest
import torch

from pyannote_pix2seq.frontends import TOKEN_DURATION, AudioTokens
from pyannote_pix2seq.output import Turn
from pyannote_pix2seq.strategies.attribution import attribute
from pyannote_pix2seq.strategies.speakers import Speaker

ANN, BOB, EVE = torch.eye(3)


def audio_of(*voices: tuple[float, torch.Tensor]) -> AudioTokens:
    """(seconds, voice) one after the other; the second voice of a token must not matter."""
    voice = torch.cat([voice.expand(round(seconds / TOKEN_DURATION), -1) for seconds, voice in voices])
    return AudioTokens(voice, torch.stack([voice, voice.flip(1)], dim=1))


def speakers(*voices: torch.Tensor) -> list[Speaker]:
    clip = audio_of((1.0, ANN))
    return [Speaker(clip, 1.0, 7 * voice, 1.0) for voice in voices]


def test_a_turn_in_the_voice_of_another_is_his() -> None:
    audio = audio_of((3.0, ANN), (3.0, BOB))
    turns = [Turn(0.0, 3.0, 0, 0.9), Turn(3.5, 6.0, 0, 0.8)]
    assert attribute(turns, audio, speakers(ANN, BOB)) == [turns[0], turns[1]._replace(speaker=1)]
    assert attribute(turns, audio, speakers(ANN)) == turns
    assert attribute(turns, audio, []) == turns


def test_only_a_clear_difference_counts() -> None:
    for share, speaker in ((0.52, 0), (0.6, 1)):  # cosines 0.48 / r and 0.52 / r; 0.4 / r and 0.6 / r
        audio = audio_of((3.0, (1 - share) * ANN + share * BOB))
        assert [turn.speaker for turn in attribute([Turn(0.0, 3.0, 0, 0.9)], audio, speakers(ANN, BOB))] == [speaker]


def test_a_long_turn_is_parted_where_another_goes_on() -> None:
    audio = audio_of((8.0, ANN), (4.0, BOB), (8.0, ANN))
    found = attribute([Turn(0.0, 20.0, 0, 0.9)], audio, speakers(ANN, BOB))
    assert [(turn.start, turn.end, turn.speaker) for turn in found] == [(0, 8, 0), (8, 12, 1), (12, 20, 0)]
    assert [turn.confidence for turn in found] == pytest.approx([0.9] * 3)
    turns = attribute([Turn(0.0, 20.0, 0, 0.9)], audio_of((20.0, ANN)), speakers(ANN, BOB))
    assert [(turn.start, turn.end, turn.speaker) for turn in turns] == [(0, 20, 0)]


@pytest.mark.parametrize("change", [3.36, 4.0, 4.64])
def test_turns_are_parted_where_the_voice_changes(change: float) -> None:
    audio = audio_of((change, ANN), (10 - change, BOB))
    found = attribute([Turn(0.0, 10.0, 0, 0.9)], audio, speakers(ANN, BOB))
    assert [(turn.start, turn.end, turn.speaker) for turn in found] == [
        (0, pytest.approx(change), 0),
        (pytest.approx(change), 10, 1),
    ]


def test_a_border_does_not_move_into_what_others_talk_over() -> None:
    turns = [Turn(0.0, 2.08, 1, 0.9), Turn(0.0, 4.16, 0, 0.9)]
    found = attribute(turns, audio_of((4.16, BOB)), speakers(ANN, BOB))
    assert [(turn.start, turn.end, turn.speaker) for turn in found] == [(0, 2.08, 0), (0, 4.16, 1)]


@pytest.mark.parametrize(("overlap", "border"), [((4.32, 4.48), 4.32), ((3.9, 4.1), 4.0)])
def test_a_border_does_not_move_across_what_others_talk_over(overlap: tuple[float, float], border: float) -> None:
    audio = audio_of((4.64, ANN), (3.36, BOB))
    turns = [Turn(0.0, 8.0, 0, 0.9), Turn(*overlap, 2, 0.9)]
    found = [turn for turn in attribute(turns, audio, speakers(ANN, BOB)) if turn.speaker < 2]
    assert [turn[:3] for turn in found] == [(0.0, pytest.approx(border), 0), (pytest.approx(border), 8.0, 1)]


def test_some_of_each_part_stays_where_it_is() -> None:
    audio = audio_of((3.04, ANN), (0.96, EVE), (1.6, BOB), (2.4, ANN))  # EVE sounds as little like ANN as like BOB
    found = attribute([Turn(0.0, 8.0, 0, 0.9)], audio, speakers(ANN, BOB))
    assert [turn.speaker for turn in found] == [0, 1, 0]
    assert (found[1].start, found[1].end) == (pytest.approx(3.2), pytest.approx(5.6))


def test_what_others_talk_over_stays_as_it_was_written() -> None:
    audio = audio_of((4.0, BOB))
    turns = [Turn(0.0, 4.0, 1, 0.9), Turn(1.0, 3.0, 0, 0.9)]
    assert attribute(turns, audio, speakers(ANN, BOB)) == turns
    # 0.4 s alone are too little, 0.6 s are enough; then both turns are one
    assert attribute([turns[0], Turn(3.0, 4.4, 0, 0.9)], audio_of((4.4, BOB)), speakers(ANN, BOB))[1].speaker == 0
    joined = attribute([turns[0], Turn(3.0, 4.6, 0, 0.9)], audio_of((4.6, BOB)), speakers(ANN, BOB))
    assert [(turn.start, turn.end, turn.speaker) for turn in joined] == [(0.0, 4.6, 1)]


def test_who_was_not_prompted_neither_gives_nor_gets() -> None:
    turns = [Turn(0.0, 2.0, 2, 0.9), Turn(2.0, 4.0, 0, 0.9)]
    assert attribute(turns, audio_of((2.08, ANN), (1.92, EVE)), speakers(ANN, BOB)) == turns


def test_without_voices_nothing_is_said() -> None:
    audio = AudioTokens(torch.randn(20, 4), torch.zeros(20, 0, 0))
    silent = [Speaker(audio, 1.0, torch.zeros(0), 1.0)] * 2
    turns = [Turn(0.0, 2.0, 0, 0.9)]
    assert attribute(turns, audio, silent) == turns
