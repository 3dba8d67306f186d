from __future__ import annotations

import pytest
import torch
from pyannote.core import Segment

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.prompts import NUM_SILENT_TOKENS, compact, cut, prompt, solo_segments
from pyannote_pix2seq.vocabulary import Triplet


def numbered(num_tokens: int, first: int = 0, voice_dim: int = 3) -> AudioTokens:
    """Tokens whose content is their number, with two voices of ones."""
    content = torch.arange(first, first + num_tokens, dtype=torch.float)[:, None]
    return AudioTokens(content, torch.ones(num_tokens, 2, voice_dim))


def numbers(audio: AudioTokens) -> list[int]:
    return audio.content[:, 0].int().tolist()


# a part, and several at once


def test_a_part_is_of_content_and_voice() -> None:
    audio = AudioTokens(numbered(5).content, torch.randn(5, 2, 3))
    part = audio.at(slice(1, 4))
    assert numbers(part) == [1, 2, 3] and torch.equal(part.voice, audio.voice[1:4])
    (content, voice) = AudioTokens.padded([numbered(2), audio]).at(1)
    assert torch.equal(content, audio.content) and torch.equal(voice, audio.voice)


def test_what_is_shorter_is_padded_with_zeros() -> None:
    several = [numbered(3, first=1), numbered(5, first=4), numbered(1, first=9)]
    batch = AudioTokens.padded(several)
    assert batch.content[..., 0].tolist() == [[1, 2, 3, 0, 0], [4, 5, 6, 7, 8], [9, 0, 0, 0, 0]]
    assert batch.voice.shape == (3, 5, 2, 3) and batch.voice.sum((2, 3)).gt(0).sum(1).tolist() == [3, 5, 1]
    voiceless = AudioTokens.padded([AudioTokens(torch.ones(n, 4), torch.zeros(n, 0, 0)) for n in (2, 3)])
    assert voiceless.content.shape == (2, 3, 4) and voiceless.voice.shape == (2, 3, 0, 0)


# prompts


def test_prompts_stand_before_the_chunk_with_silence_after_each() -> None:
    # 5 s are 31.25 tokens, 200 ms are 1.25
    clips = [numbered(31, first=1000), numbered(10, first=2000)]
    prompted = prompt(clips, numbered(50, first=1))
    assert NUM_SILENT_TOKENS == 2
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
    prompted = prompt([], chunk)
    assert torch.equal(prompted.audio.content, chunk.content)
    assert (prompted.turns, prompted.offset) == ([], 0.0)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.0, 0.8, [0, 1, 2, 3, 4]),
        (0.16, 0.64, [1, 2, 3]),
        (0.1, 0.7, [1, 2, 3]),
        (0.17, 0.3, [1]),  # less than a token
        (0.01, 0.15, [0]),
        (0.25, 0.4, [2]),  # the middle is in it, at 0.325 s
        (1.44, 1.6, [9]),
        (1.5, 1.6, [9]),
        (1.6, 1.61, [9]),  # the last token is the nearest
        (2.0, 3.0, [9]),
    ],
)
def test_cutting_keeps_whole_tokens(start: float, end: float, expected: list[int]) -> None:
    piece = cut(numbered(10), Segment(start, end))
    assert numbers(piece) == expected and len(piece.voice) == len(expected)


# who speaks alone


def test_solo_segments_are_where_nobody_else_speaks() -> None:
    turns = [Triplet(0.0, 4.0, 0), Triplet(3.0, 5.0, 1), Triplet(6.0, 12.0, 0), Triplet(8.0, 9.0, 2)]
    assert solo_segments(turns, 0) == [Segment(0.0, 3.0), Segment(9.0, 12.0), Segment(6.0, 8.0)]
    assert solo_segments(turns, 1) == [Segment(4.0, 5.0)]
    assert solo_segments(turns, 2) == []
    assert solo_segments(turns[:1], 0) == [Segment(0.0, 4.0)]
    in_two = [Triplet(0.0, 2.0, 0), Triplet(2.0, 4.0, 0), Triplet(3.0, 3.5, 0)]
    assert solo_segments(in_two, 0) == [Segment(0.0, 4.0)]


def test_a_compact_clip_keeps_the_direction_of_its_voices() -> None:
    voice = torch.tensor([[[0.8, 0.0], [0.0, 0.0]], [[0.0, 0.6], [0.0, 0.2]]])
    content, mean = compact(AudioTokens(torch.tensor([[1.0], [4.0]]), voice))
    assert content.tolist() == [[2.5]]
    assert torch.allclose(mean, torch.tensor([[[0.56, 0.42], [0.0, 0.1]]]))  # (0.8, 0.6) times a mean length of 0.7


def test_a_compact_clip_can_have_the_voice_of_all_that_was_said() -> None:
    voice = torch.tensor([[[0.8, 0.0], [0.0, 0.0]], [[0.0, 0.6], [0.0, 0.2]]]).half()
    content, said = compact(AudioTokens(torch.tensor([[1.0], [4.0]]), voice), torch.tensor([-3e5, 4e5]))
    assert content.tolist() == [[2.5]]
    torch.testing.assert_close(said, torch.tensor([[[-0.42, 0.56], [-0.06, 0.08]]]).half())  # lengths of 0.7 and 0.1
