"""Speakers as they are remembered."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pyannote_pix2seq.frontends import TOKEN_DURATION, AudioTokens
from pyannote_pix2seq.output import Turn
from pyannote_pix2seq.prompts import NUM_SILENT_TOKENS, prompt
from pyannote_pix2seq.strategies.matching import likeliest, match, similarity
from pyannote_pix2seq.strategies.speakers import Speaker, clips, directions, speakers_in, voices_of


def numbered(num_tokens: int, first: int = 0) -> AudioTokens:
    """Tokens whose content is their number, with two voices of ones."""
    content = torch.arange(first, first + num_tokens, dtype=torch.float)[:, None]
    return AudioTokens(content, torch.ones(num_tokens, 2, 3))


def chunk_of(*voices: tuple[int, list[float]]) -> AudioTokens:
    """(number of tokens, voice) one after the other; the second voice of a token is noise that must not matter."""
    voice = torch.cat([torch.tensor(voice).expand(count, -1) for count, voice in voices])
    return AudioTokens(numbered(len(voice)).content, torch.stack([voice, 100 + 0 * voice], dim=1))


def numbers(audio: AudioTokens) -> list[int]:
    return audio.content[:, 0].int().tolist()


def speaker(voice: list[float], last_heard: float = 0.0) -> Speaker:
    return Speaker(numbered(40), 1.0, torch.tensor(voice), 1.0, last_heard)


# what a chunk tells


def test_the_clip_is_the_longest_and_surest_that_somebody_says_alone() -> None:
    turns = [Turn(100.0, 101.0, 0, 0.9), Turn(102.0, 109.0, 0, 0.5), Turn(108.0, 110.0, 1, 0.8)]
    heard = speakers_in(numbered(70), turns, 100.0)
    assert numbers(heard[0].clip) == list(range(13, 43))  # 2.08 s to 6.88 s: 5 s of the 6 s alone
    assert numbers(heard[1].clip) == list(range(57, 62))  # 9.12 s to 9.92 s
    assert (heard[0].quality, heard[1].quality) == (pytest.approx(5.0 * 0.5), pytest.approx(1.0 * 0.8))
    assert (heard[0].solo_duration, heard[1].solo_duration) == (pytest.approx(7.0), pytest.approx(1.0))
    assert [heard[number].last_heard for number in (0, 1)] == [109.0, 110.0]
    turns[0] = Turn(99.0, 101.0, 0, 0.9)  # 1 s of this chunk, but sure
    turns[1] = turns[1]._replace(confidence=0.1)
    assert numbers(speakers_in(numbered(70), turns, 98.0)[0].clip) == list(range(7, 18))


def test_what_others_talk_over_is_a_clip_only_until_there_is_a_better_one() -> None:
    (_, covered) = speakers_in(numbered(70), [Turn(0.0, 8.0, 0, 0.9), Turn(2.0, 4.0, 1, 0.9)], 0.0).values()
    assert numbers(covered.clip) == list(range(13, 25)) and covered.quality == covered.solo_duration == 0.0
    covered.update(speakers_in(numbered(70, first=100), [Turn(50.0, 50.5, 1, 0.1)], 50.0)[1])
    assert numbers(covered.clip) == [100, 101, 102] and covered.last_heard == 50.5


def test_a_better_clip_replaces_the_one_before() -> None:
    known = speakers_in(numbered(70), [Turn(0.0, 3.2, 0, 0.5)], 0.0)[0]
    known.update(speakers_in(numbered(70, first=100), [Turn(0.0, 1.6, 0, 0.9)], 0.0)[0])
    assert numbers(known.clip) == list(range(20))  # 3.2 s * 0.5 > 1.6 s * 0.9
    known.update(speakers_in(numbered(70, first=200), [Turn(20.0, 21.92, 0, 0.9)], 20.0)[0])
    assert numbers(known.clip) == list(range(200, 212))  # 1.92 s * 0.9 is more
    known.update(speakers_in(numbered(70), [Turn(20.0, 20.16, 0, 0.1)], 20.0)[0])
    assert known.last_heard == pytest.approx(21.92) and known.solo_duration == pytest.approx(3.2 + 1.6 + 1.92 + 0.16)


def test_voices_are_means_over_what_is_said_alone() -> None:
    # 10 tokens of one, 10 of both, 10 of the other
    chunk = chunk_of((10, [1.0, 0.0, 0.0]), (10, [9.0, 9.0, 9.0]), (10, [0.0, 0.6, 0.0]))
    heard = speakers_in(chunk, [Turn(0.0, 3.2, 0, 0.5), Turn(1.6, 4.8, 1, 0.5)], 0.0)
    torch.testing.assert_close(directions(voices_of(heard.values())), torch.eye(3)[:2])
    # 10 tokens of another voice later: half way between
    heard[0].update(speakers_in(chunk_of((10, [0.0, 0.0, 1.0])), [Turn(0.0, 1.6, 0, 0.5)], 0.0)[0])
    np.testing.assert_allclose(directions([heard[0].voice])[0], [0.5**0.5, 0.0, 0.5**0.5], atol=1e-6)


def test_speakers_without_voices_are_not_alike() -> None:
    silent = AudioTokens(torch.randn(20, 4), torch.zeros(20, 0, 0))
    heard = list(speakers_in(silent, [Turn(0.0, 1.0, 0, 0.5), Turn(1.0, 2.0, 1, 0.5)], 0.0).values())
    assert similarity(voices_of(heard), voices_of(heard)).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert similarity([], voices_of(heard)).shape == (0, 2)


def test_what_a_gpu_hears_is_remembered_on_the_cpu_and_prompts_go_back() -> None:
    with FakeTensorMode():  # there need be no GPU
        audio = AudioTokens(torch.zeros(70, 4, device="cuda"), torch.ones(70, 2, 3, device="cuda"))
        (known,) = speakers_in(audio, [Turn(0.0, 3.2, 0, 0.5)], 0.0).values()
        assert {field.device.type for field in (*known.clip, known.voice)} == {"cpu"}
        assert {field.device.type for field in prompt([known.clip], audio).audio} == {"cuda"}


# who is prompted with what


def test_those_who_sound_like_the_chunk_are_the_likeliest() -> None:
    speakers = {-1: speaker([1.0, 0.0, 0.0]), 7: speaker([0.0, 1.0, 0.0]), 3: speaker([0.0, 0.0, 1.0])}
    audio = chunk_of((10, [0.0, 0.0, 1.0]), (6, [1.0, 0.0, 0.0]), (50, [0.0, 0.1, 0.0]))
    audio = AudioTokens(audio.content, audio.voice[:, :1])
    assert likeliest(speakers, audio, 2) == [-1, 3]
    assert likeliest(speakers, audio, 1) == [3] and likeliest(speakers, audio, 0) == []
    assert likeliest(speakers, audio, 9) == [-1, 7, 3]


def test_of_those_who_were_not_found_only_who_sounds_like_the_chunk_is_likely() -> None:
    speakers = {-1: speaker([1.0, 0.0, 0.0]), 7: speaker([0.0, 1.0, 0.0]), 3: speaker([0.0, 0.0, 1.0])}
    for heard, expected in ((0.32, [-1, 7, 3]), (0.28, [-1, 7])):  # around `MIN_PRESENCE`
        audio = chunk_of((10, [1.0, 0.0, 0.0]), (50, [0.0, 0.1, 0.0]), (8, [0.0, 0.0, heard]))
        audio = AudioTokens(audio.content, audio.voice[:, :1])
        assert likeliest(speakers, audio, 9, {7}) == expected
        assert likeliest(speakers, audio, 2, {7}) == [-1, 7]
        assert likeliest(speakers, audio, 1, {7}) == [7] and likeliest(speakers, audio, 1) == [-1]
    silent = AudioTokens(audio.content, 0 * audio.voice)
    assert likeliest(speakers, silent, 9, set()) == [] and likeliest(speakers, silent, 9, {3}) == [3]


def test_who_sounds_like_any_of_the_voices_of_a_token_is_likely() -> None:
    speakers = {number: speaker(torch.eye(3)[number].tolist()) for number in range(3)}
    voice = torch.tensor([[0.4, 0.0, 0.0], [0.0, 0.4, 0.0]]).expand(20, -1, -1)
    assert likeliest(speakers, AudioTokens(torch.zeros(20, 4), voice), 9, set()) == [0, 1]


def test_without_voices_those_who_spoke_last_are_the_likeliest() -> None:
    speakers = {number: speaker([], time) for number, time in ((0, 9.0), (5, 2.0), (2, 8.0), (-1, -math.inf))}
    silent = AudioTokens(torch.randn(20, 4), torch.zeros(20, 0, 0))
    assert likeliest(speakers, silent, 2) == [0, 2]
    assert likeliest(speakers, silent, 2, {5, -1}) == [5, -1]


@pytest.mark.parametrize(("count", "seconds", "expected"), [(1, 30.0, 31), (2, 30.0, 31), (4, 10.0, 13), (4, 1.0, 1)])
def test_clips_share_the_time_for_prompts(count: int, seconds: float, expected: int) -> None:
    found = clips([speaker([1.0])] * count, seconds)
    assert [len(clip.content) for clip in found] == [len(clip.voice) for clip in found] == [expected] * count
    total = sum(len(clip.content) + NUM_SILENT_TOKENS for clip in found) * TOKEN_DURATION
    assert total <= seconds or expected == 1


# matching


def test_the_most_similar_are_matched_together_if_they_are_similar_enough() -> None:
    cosines = np.array([[0.9, 0.8], [0.85, 0.1], [0.3, 0.2]])
    assert match(cosines, 0.5) == {0: 1, 1: 0}  # 0.8 + 0.85 > 0.9 + 0.1
    assert match(cosines, 0.82) == {0: 0}  # 0.08 above the threshold, not 0.03
    assert match(cosines, 0.95) == {} == match(np.zeros((0, 3)), 0.5)
