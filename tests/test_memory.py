from __future__ import annotations

import numpy as np
import pytest
import torch
from pyannote.core import Segment

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.memory import SpeakerMemory, cut, num_silent_tokens, prompt, solo_segments
from pyannote_pix2seq.vocabulary import Triplet

TOKEN = 0.16


def numbered(num_tokens: int, first: int = 0, voice_dim: int = 3) -> AudioTokens:
    """Tokens whose content is their number, with two voices of ones."""
    content = torch.arange(first, first + num_tokens, dtype=torch.float)[:, None]
    return AudioTokens(content, torch.ones(num_tokens, 2, voice_dim))


def numbers(audio: AudioTokens) -> list[int]:
    return audio.content[:, 0].int().tolist()


def chunk_of(*voices: tuple[int, list[float]]) -> AudioTokens:
    """(number of tokens, voice) one after the other; the second voice of a token is noise that must not matter."""
    rows = [torch.tensor(voice).expand(count, -1) for count, voice in voices]
    voice = torch.cat(rows)
    return AudioTokens(numbered(len(voice)).content, torch.stack([voice, 100 + 0 * voice], dim=1))


# prompts


def test_prompts_stand_before_the_chunk_with_silence_after_each() -> None:
    # 5 s are 31.25 tokens, 200 ms are 1.25
    clips = [numbered(31, first=1000), numbered(10, first=2000)]
    prompted = prompt(clips, numbered(50, first=1), TOKEN)
    assert num_silent_tokens(TOKEN) == 2 and num_silent_tokens(0.1) == 2 and num_silent_tokens(0.08) == 3
    assert numbers(prompted.audio) == [
        *range(1000, 1031), 0, 0, *range(2000, 2010), 0, 0, *range(1, 51),
    ]  # fmt: skip
    is_silent = prompted.audio.voice.abs().amax((1, 2)) == 0
    assert is_silent.nonzero()[:, 0].tolist() == [31, 32, 43, 44]
    expected = [(0.0, 4.96, 0), (5.28, 6.88, 1)]
    assert prompted.turns == [pytest.approx(turn) for turn in expected]
    assert prompted.offset == pytest.approx(7.2)


def test_nobody_to_prompt_with() -> None:
    chunk = numbered(50)
    prompted = prompt([], chunk, TOKEN)
    assert torch.equal(prompted.audio.content, chunk.content)
    assert (prompted.turns, prompted.offset) == ([], 0.0)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.0, 0.8, [0, 1, 2, 3, 4]),
        (0.16, 0.64, [1, 2, 3]),
        (0.1, 0.7, [1, 2, 3]),
        (0.17, 0.3, [2]),  # less than a token
        (1.44, 1.6, [9]),
        (1.5, 1.6, [9]),  # the last token is all there is
    ],
)
def test_cutting_keeps_whole_tokens(start: float, end: float, expected: list[int]) -> None:
    piece = cut(numbered(10), Segment(start, end), TOKEN)
    assert numbers(piece) == expected and len(piece.voice) == len(expected)


# who speaks alone


def test_solo_segments_are_where_nobody_else_speaks() -> None:
    turns = [Triplet(0.0, 4.0, 0), Triplet(3.0, 5.0, 1), Triplet(6.0, 12.0, 0), Triplet(8.0, 9.0, 2)]
    assert solo_segments(turns, 0) == [Segment(0.0, 3.0), Segment(9.0, 12.0), Segment(6.0, 8.0)]
    assert solo_segments(turns, 1) == [Segment(4.0, 5.0)]
    assert solo_segments(turns, 2) == []
    assert solo_segments(turns[:1], 0) == [Segment(0.0, 4.0)]


# the memory


def test_the_longest_that_somebody_says_alone_is_kept_up_to_5_s() -> None:
    memory = SpeakerMemory(TOKEN)
    turns = [Triplet(0.0, 1.0, 0), Triplet(2.0, 9.0, 0), Triplet(8.0, 10.0, 1)]
    memory.hear(numbered(70), turns, [0.9, 0.5, 0.8], time=100.0)
    assert len(memory) == 2
    assert numbers(memory.speakers[0].clip) == list(range(13, 43))  # 2.08 s to 6.88 s
    assert numbers(memory.speakers[1].clip) == list(range(57, 62))  # 9.12 s to 9.92 s
    assert memory.speakers[0].quality == pytest.approx(30 * TOKEN * 0.5)
    assert [speaker.last_heard for speaker in memory.speakers] == [109.0, 110.0]


def test_who_never_speaks_alone_is_remembered_all_the_same() -> None:
    memory = SpeakerMemory(TOKEN)
    memory.hear(numbered(70), [Triplet(0.0, 8.0, 0), Triplet(2.0, 4.0, 1)], [0.9, 0.5], time=0.0)
    assert numbers(memory.speakers[1].clip) == list(range(13, 25))


def test_a_better_clip_replaces_the_one_before() -> None:
    memory = SpeakerMemory(TOKEN)
    memory.hear(numbered(70), [Triplet(0.0, 3.2, 0)], [0.5], time=0.0)
    memory.hear(numbered(70, first=100), [Triplet(0.0, 1.6, 0)], [0.9], time=10.0)
    assert numbers(memory.speakers[0].clip) == list(range(20))  # 3.2 s * 0.5 > 1.6 s * 0.9
    memory.hear(numbered(70, first=200), [Triplet(0.0, 1.92, 0)], [0.9], time=20.0)
    assert numbers(memory.speakers[0].clip) == list(range(200, 212))  # 1.92 s * 0.9 is more
    assert memory.speakers[0].last_heard == pytest.approx(21.92)


def test_the_speakers_heard_last_are_given_in_order_of_appearance() -> None:
    memory = SpeakerMemory(TOKEN)
    turns = [Triplet(0.0, 9.0, 0), Triplet(1.0, 2.0, 1), Triplet(3.0, 8.0, 2), Triplet(4.0, 5.0, 3)]
    memory.hear(numbered(70), turns, [0.5] * 4, time=0.0)
    assert memory.most_recent(2) == [0, 2]
    assert memory.most_recent(9) == [0, 1, 2, 3]
    memory.hear(numbered(70), [Triplet(0.0, 1.0, 1)], [0.5], time=10.0)
    assert memory.most_recent(2) == [0, 1]
    assert memory.most_recent(0) == []


@pytest.mark.parametrize(("count", "seconds", "expected"), [(1, 30.0, 31), (2, 30.0, 31), (4, 10.0, 13), (4, 1.0, 1)])
def test_clips_share_the_time_for_prompts(count: int, seconds: float, expected: int) -> None:
    memory = SpeakerMemory(TOKEN)
    turns = [Triplet(11.2 * k, 11.2 * k + 8.0, k) for k in range(count)]
    memory.hear(numbered(300), turns, [0.5] * count, time=0.0)
    clips = memory.clips(range(count), seconds)
    assert [len(clip.content) for clip in clips] == [expected] * count
    assert [len(clip.voice) for clip in clips] == [expected] * count
    together = sum(len(clip.content) + num_silent_tokens(TOKEN) for clip in clips) * TOKEN
    assert together <= seconds or expected == 1


def test_embeddings_are_mean_voices_of_unit_length() -> None:
    memory = SpeakerMemory(TOKEN)
    # 10 tokens of one, 10 of both, 10 of the other
    chunk = chunk_of((10, [1.0, 0.0, 0.0]), (10, [9.0, 9.0, 9.0]), (10, [0.0, 0.6, 0.0]))
    memory.hear(chunk, [Triplet(0.0, 3.2, 0), Triplet(1.6, 4.8, 1)], [0.5, 0.5], time=0.0)
    embeddings = memory.embeddings()
    assert embeddings is not None
    np.testing.assert_allclose(embeddings, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], atol=1e-6)
    # 10 tokens of another voice later: half way between
    memory.hear(chunk_of((10, [0.0, 0.0, 1.0])), [Triplet(0.0, 1.6, 0)], [0.5], time=10.0)
    np.testing.assert_allclose(memory.embeddings()[0], [0.5**0.5, 0.0, 0.5**0.5], atol=1e-6)


def test_no_embedding_without_voices_or_speakers() -> None:
    memory = SpeakerMemory(TOKEN)
    assert memory.embeddings() is None
    silent = AudioTokens(torch.randn(20, 4), torch.zeros(20, 0, 0))
    memory.hear(silent, [Triplet(0.0, 1.0, 0)], [0.5], time=0.0)
    assert memory.embeddings() is None


def test_who_never_speaks_alone_has_an_embedding_of_unit_length_too() -> None:
    memory = SpeakerMemory(TOKEN)
    memory.hear(numbered(70), [Triplet(0.0, 8.0, 0), Triplet(2.0, 4.0, 1)], [0.9, 0.5], time=0.0)
    embeddings = memory.embeddings()
    assert embeddings is not None
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), [1.0, 1.0], atol=1e-6)
