"""Whose voice turns and speakers have, apart from the turns that overlap them."""

import math

import pytest
import torch
from language import spelled
from torch import Tensor

from pyannote_pix2seq.network.claims import SHARED, Claims, coverage
from pyannote_pix2seq.network.written import Written
from pyannote_pix2seq.vocabulary import DIARIZE, FIRST_TIME, Vocabulary

BINS_PER_TOKEN = 4
VOCABULARY = Vocabulary(window=1.6, resolution=0.04, num_speakers=3)
ALICE, BOB = torch.eye(2)


def written(*triplets: tuple[int, int, int]) -> Written:
    """Turns of (first bin, last bin, speaker)."""
    tokens = torch.tensor([[DIARIZE, *spelled(VOCABULARY, *triplets)]])
    return Written.read(tokens, VOCABULARY, BINS_PER_TOKEN)


def voice_of(*parts: tuple[Tensor, int]) -> Tensor:
    """(1, num_audio_tokens, 1, 2) voices, each for a number of audio tokens."""
    return torch.cat([voice.expand(number, -1) for voice, number in parts])[None, :, None]


def at(tokens: Written, *positions: int) -> Written:
    index = list(positions)
    fields = (field[:, index] for field in (tokens.regions, tokens.starts, tokens.speakers))
    return Written(tokens.role[index], tokens.rank[index], *fields)


def test_reading_gives_role_rank_region_and_speaker() -> None:
    tokens = written((2, 9, 0), (8, 21, 1))
    assert tokens.role.tolist() == [0, 1, 2, 3, 1, 2, 3]
    assert tokens.rank.tolist() == [0, 0, 0, 0, 1, 1, 1]
    # an end and a speaker stand for the turn from the middle of the first bin to that of the last, a start for 4 tokens
    assert tokens.regions[0, 1:4].tolist() == [[0.625, 4.625], [0.625, 2.375], [0.625, 2.375]]
    assert tokens.starts.tolist() == [[0, 2, 2, 2, 8, 8, 8]]
    assert tokens.turns[0].tolist() == [[0.625, 2.375], [2.125, 5.375]]
    assert tokens.turn_speakers.tolist() == [[0, 1]]
    assert tokens.at(slice(-2, None)).role.tolist() == [2, 3]


def test_a_turn_that_is_being_written_is_not_complete() -> None:
    tokens = Written.read(torch.tensor([[DIARIZE, FIRST_TIME, FIRST_TIME + 3]]), VOCABULARY, BINS_PER_TOKEN)
    assert tokens.turns.shape == (1, 0, 2) and tokens.turn_speakers.shape == (1, 0)


def test_coverage_is_the_share_of_each_token() -> None:
    regions = torch.tensor([[[0.5, 2.25], [1.0, 1.5], [9.0, 12.0]]])
    expected = [[0.5, 1, 0.25, 0], [0, 0.5, 0, 0], [0, 0, 0, 0]]
    assert coverage(regions, torch.zeros(1, 4, 1, 2)).tolist() == [expected]


def test_a_voice_is_heard_where_no_earlier_turn_lies() -> None:
    # Alice from token 0 to 6, Bob from 4 to 10: where both talk, the voice is Alice's
    tokens = written((0, 23, 0), (16, 39, 1))
    voice = voice_of((ALICE, 6), (BOB, 4))
    claims = Claims.of(tokens, voice, 3)
    voices = claims.voices(at(tokens, 3, 5), voice)[0, :, 0]
    assert voices.norm(dim=-1).tolist() == pytest.approx([1, 1])
    assert voices[0] @ ALICE > 0.999 and voices[1] @ BOB > 0.995
    plain = (coverage(tokens.regions[:, 5:6], voice)[0] @ voice[0, :, 0])[0]
    assert torch.nn.functional.normalize(plain, dim=0) @ BOB < 0.93


def test_a_turn_within_another_has_a_voice_nevertheless() -> None:
    tokens = written((0, 39, 0), (16, 23, 1))
    voice = voice_of((ALICE, 4), (BOB, 2), (ALICE, 4))
    claims = Claims.of(tokens, voice, 3)
    torch.testing.assert_close(claims.voices(at(tokens, 5), voice)[0, 0, 0], BOB)


def test_a_turn_within_two_others_is_heard_in_all_of_it() -> None:
    # one turn over everything, one from the middle of token 3 on; the third begins before the second
    tokens = written((0, 39, 0), (14, 39, 1), (8, 31, 2))
    voice = voice_of((ALICE, 4), (BOB, 6))
    found = Claims.of(tokens, voice, 3).voices(at(tokens, 8), voice)[0, 0, 0]
    plain = torch.nn.functional.normalize(coverage(tokens.regions[:, 8:9], voice)[0] @ voice[0, :, 0], dim=-1)[0]
    torch.testing.assert_close(found, plain, atol=0.05, rtol=0)


def test_a_speaker_sounds_as_where_he_speaks_alone() -> None:
    # Alice, Bob over her end, then a turn that may be anybody's
    tokens = written((0, 15, 0), (8, 23, 1), (24, 39, 1))
    voice = voice_of((ALICE, 4), (BOB, 6))
    claims = Claims.of(tokens, voice, 3)
    third = at(tokens, 8)
    similarities = claims.similarities(third, claims.voices(third, voice), voice)[0, 0]
    # (num_speakers, num_voices + 1)
    assert similarities[:, 1].tolist() == [1, 1, 0]
    assert similarities[0, 0] < 0.1 and similarities[1, 0] > 0.99 and similarities[2, 0] == 0


def test_the_turn_itself_says_nothing_about_the_others() -> None:
    # Bob talks over the end of Alice's turn: what he says there is not hers, if she said something before
    tokens = written((0, 39, 0), (8, 39, 1))
    voice = voice_of((ALICE, 2), (BOB, 8))
    claims = Claims.of(tokens, voice, 3)
    second = at(tokens, 5)
    similarity = claims.similarities(second, claims.voices(second, voice), voice)[0, 0, 0, 0]
    assert similarity < 0.2
    blurred = torch.nn.functional.normalize(coverage(tokens.regions[:, 3:4], voice)[0] @ voice[0, :, 0], dim=-1)[0]
    assert blurred @ BOB > 0.9


def test_a_speaker_within_this_turn_is_heard_in_all_of_his_own_a_little() -> None:
    # both start in token 2, an eighth of which is free of this turn: where he has another voice
    tokens = written((8, 31, 0), (8, 39, 1))
    voice = voice_of((ALICE, 3), (BOB, 7))
    similarity = Claims.of(tokens, voice, 3).similarities(at(tokens, 5), BOB.view(1, 1, 1, 2), voice)[0, 0, 0, 0]
    apart, beneath = 0.875 * (0.125 + SHARED), 4.875 * SHARED
    assert similarity.item() == pytest.approx(beneath / math.hypot(apart, beneath), abs=1e-3)


def test_speakers_are_known_by_their_first_voice_and_turns_by_all() -> None:
    # of each speaker one turn before the last, or two of the second
    tokens = written((0, 7, 0), (8, 15, 1), (16, 23, 1), (24, 39, 1))
    voice = torch.stack([voice_of((ALICE, 2), (BOB, 8)), voice_of((BOB, 2), (ALICE, 8))], dim=2)[:, :, :, 0]
    claims = Claims.of(tokens, voice, 3)
    last = at(tokens, 11)
    similarities = claims.similarities(last, claims.voices(last, voice), voice)[0, 0]
    expected = torch.tensor([[0.0, 1, 1], [1, 0, 1], [0, 0, 0]])  # its first voice is Bob's, its second is Alice's
    torch.testing.assert_close(similarities, expected, atol=0.1, rtol=0)
    assert similarities[:, 2].tolist() == [1, 1, 0]


def test_without_voices_only_names_are_known() -> None:
    tokens = written((0, 15, 0), (16, 23, 1))
    voice = torch.zeros(1, 10, 0, 0)
    claims = Claims.of(tokens, voice, 3)
    second = at(tokens, 5)
    assert claims.similarities(second, claims.voices(second, voice), voice).tolist() == [[[[1.0], [0.0], [0.0]]]]
