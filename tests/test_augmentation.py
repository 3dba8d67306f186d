"""What training changes of what a speaker frontend hears."""

import pytest
import torch
import torch.nn.functional as F
from pyannote.audio.utils.powerset import Powerset

from pyannote_pix2seq.frontends import AudioTokens, SpeakerFrontend
from pyannote_pix2seq.frontends.augmentation import blur, confused, contaminate, rename, soften, tilt


def random_tokens(batch_size: int) -> AudioTokens:
    generator = torch.Generator().manual_seed(1)
    posteriors = torch.randn(batch_size, 6, 4, 7, generator=generator).mul(3).softmax(-1)
    return AudioTokens(posteriors.flatten(2), torch.randn(batch_size, 6, 3, 192, generator=generator))


ORDERS = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])


def renamed(is_confused: torch.Tensor) -> torch.Tensor:
    """By which of the orders the local speakers of each token were renamed: (num_orders, batch, num_tokens) bool."""
    frontend, tokens = SpeakerFrontend(), random_tokens(batch_size=64)
    before = tokens.content.reshape(64, 6, 4, 7)
    after = rename(before, frontend.relabellings, is_confused, torch.Generator().manual_seed(2))
    mapping = Powerset(3, 2).mapping
    sets_before, sets_after = (mapping[content.argmax(-1)] for content in (before, after))
    return torch.stack([(sets_before[..., order] == sets_after).all(-1).all(-1) for order in ORDERS])


def test_augment_renames_local_speakers() -> None:
    matches = renamed(torch.zeros(64, 6, dtype=torch.bool)).all(-1)
    # the likeliest set of speakers stays the likeliest under one renaming per example
    assert (matches.sum(0) == 1).all()
    assert matches.any(1).all()


@pytest.mark.parametrize("where", [slice(4, 6), slice(0, 4)])
def test_augment_renames_local_speakers_otherwise_where_they_are_confused(where: slice) -> None:
    is_confused = torch.zeros(64, 6, dtype=torch.bool)
    is_confused[:, where] = True
    matches = renamed(is_confused)
    assert matches[..., ~is_confused[0]].all(-1).any(0).all() and matches[..., where].any(0).all()
    # one block of four tokens, or a part of it, has one renaming; by chance, one in six is that of all others
    assert 0.02 < matches.all(-1).any(0).float().mean() < 0.45


def test_augment_confuses_up_to_half_of_the_blocks_of_an_example() -> None:
    shares = confused(torch.ones(400, 801) > 0, torch.Generator().manual_seed(6)).float().mean(-1)
    assert shares.min() < 0.02 and 0.45 < shares.max() < 0.62 and 0.22 < shares.mean() < 0.28
    blocks = confused(torch.ones(9, 22) > 0, torch.Generator().manual_seed(6))
    assert torch.equal(blocks[:, ::4].repeat_interleave(4, dim=1)[:, :22], blocks)
    is_chunk = torch.arange(22).expand(9, 22) >= 7
    assert torch.equal(confused(is_chunk, torch.Generator().manual_seed(6)), blocks & is_chunk)


def test_augment_mixes_voices_where_they_are_confused() -> None:
    generator = torch.Generator().manual_seed(7)
    directions = F.normalize(torch.randn(50, 40, 3, 192, generator=generator), dim=-1)
    voice = directions * torch.tensor([1.0, 0.5, 0.2])[:, None]
    is_confused = torch.arange(40).expand(50, 40) % 8 >= 4
    mixed = contaminate(voice, is_confused, generator)
    torch.testing.assert_close(mixed.norm(dim=-1), voice.norm(dim=-1))
    torch.testing.assert_close(mixed[~is_confused], voice[~is_confused])
    first, second, third = F.cosine_similarity(mixed, voice, dim=-1)[is_confused].unbind(-1)
    assert 0.75 < first.mean() < 0.9 and 0.4 < second.mean() < 0.65 and 0.4 < third.mean() < 0.65
    # what is mixed in is the first voice of another moment, the same distance away in all of the example
    nearest = F.cosine_similarity(mixed[:, 4:8, None, 1], directions[:, None, :, 0], dim=-1).argmax(-1)
    assert ((nearest - torch.arange(4, 8)) % 40 == (nearest[0, 0] - 4) % 40).float().mean() > 0.9
    silent = voice * torch.tensor([0.1, 1.0, 1.0])[:, None]  # nobody is heard at any moment
    torch.testing.assert_close(contaminate(silent, is_confused, generator), silent)


def test_augment_softens_seven_examples_in_ten_between_one_and_three() -> None:
    before = random_tokens(batch_size=500).content.reshape(500, 24, 7)
    after = soften(before, torch.Generator().manual_seed(3))
    torch.testing.assert_close(after.sum(-1), torch.ones(500, 24))
    # log(p_i / p_j) is divided by the temperature: so is its range over the classes
    smallest, largest = zip(*(content.log().aminmax(dim=-1) for content in (before, after)), strict=True)
    temperatures = ((largest[0] - smallest[0]) / (largest[1] - smallest[1])).mean(-1)
    assert 0.63 < (temperatures > 1.001).float().mean() < 0.77
    assert temperatures.min() > 0.999 and 2.8 < temperatures.max() < 3.001


def test_augment_tilts_towards_silence_and_away_from_overlap() -> None:
    before = random_tokens(batch_size=500).content.reshape(500, 24, 7)
    after = tilt(before, Powerset(3, 2).mapping.sum(1), torch.Generator().manual_seed(3))
    torch.testing.assert_close(after.sum(-1), torch.ones(500, 24))
    added = after.log() - before.log()
    added = added - added[..., 1:2]
    # (500, 24, 7) compared to one speaker: the same throughout an example
    torch.testing.assert_close(added, added[:, :1].expand_as(added), atol=1e-4, rtol=0)
    silence, alone, overlap = added[:, 0].split([1, 3, 3], dim=-1)
    assert alone.abs().max() < 1e-4
    assert -0.5 < silence.min() < -0.45 and 1.45 < silence.max() < 1.5
    assert -2.0 < overlap.min() < -1.9 and 0.4 < overlap.max() < 0.5
    torch.testing.assert_close(overlap, overlap[:, :1].expand_as(overlap), atol=1e-4, rtol=0)


def test_augment_blurs_voices_by_other_voices() -> None:
    people = F.normalize(torch.randn(400, 192, generator=torch.Generator().manual_seed(0)), dim=-1)
    voice = people.view(200, 2, 192)[:, torch.arange(96) % 2, None] * torch.tensor([1.0, 0.5, 0.0])[:, None]
    is_chunk = torch.arange(96).expand(200, 96) >= 0
    blurred = blur(voice, is_chunk, torch.Generator().manual_seed(5))
    torch.testing.assert_close(blurred.norm(dim=-1), voice.norm(dim=-1))
    first = blurred[:, :, 0]
    same, other = (torch.einsum("bd,bd->b", first[:, 0], first[:, token]) for token in (80, 81))
    assert 0.5 < same.mean() < 0.85 and same.min() > 0 and same.max() > 0.99
    assert 0.02 < other.mean() < 0.15  # before, 0 in the mean
    torch.testing.assert_close(first[:, 0], first[:, 6])  # the same within a block of 8 tokens
    # how certain the other voices are does not matter, once they are clear
    unsure = blur(0.6 * voice, is_chunk, torch.Generator().manual_seed(5))
    torch.testing.assert_close(unsure, 0.6 * blurred)
    # with one person in the whole batch there is nothing that could be added but his voice
    alone = voice[:1, ::2].repeat(4, 1, 1, 1)
    torch.testing.assert_close(blur(alone, is_chunk[:4, :48], torch.Generator().manual_seed(5)), alone)
    # prompts have a room, too, but voices in them stay
    prompted = blur(voice, is_chunk & (torch.arange(96) >= 40), torch.Generator().manual_seed(5))
    torch.testing.assert_close(prompted[:, 40:], blurred[:, 40:])
    torch.testing.assert_close(prompted[:, 0], prompted[:, 38])
    assert F.cosine_similarity(prompted[:, 0, 0], voice[:, 0, 0], dim=-1).min() < 0.95


def test_augment_has_nothing_to_blur_voices_with_where_none_is_clear() -> None:
    voice = 0.4 * F.normalize(torch.randn(2, 9, 3, 192, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert torch.equal(blur(voice, torch.ones(2, 9) > 0, torch.Generator()), voice)


def test_augment_confuses_speakers_and_changes_voices_in_chunks_only() -> None:
    frontend, generator = SpeakerFrontend(), torch.Generator().manual_seed(8)
    content = (20 * F.one_hot(torch.full((64, 96, 4), 1), 7).float()).softmax(-1).flatten(2)
    voice = F.normalize(torch.randn(64, 1, 3, 192, generator=generator), dim=-1).expand(-1, 96, -1, -1)
    starts = torch.full((64,), 40)
    posteriors, voices = frontend.augment(AudioTokens(content, voice), starts, generator)
    # one local speaker throughout has one number in prompts, and at times others behind them
    likeliest = posteriors.unflatten(-1, (4, 7)).argmax(-1).flatten(2)[..., 0]
    assert (likeliest[:, :40] == likeliest[:, :1]).all() and (likeliest[:, 40:] != likeliest[:, :1]).any(1).sum() > 30
    assert (likeliest[:, 40] != likeliest[:, 0]).any()  # from the first token of the chunk on
    torch.testing.assert_close(voices[:, :40], voices[:, :1].expand(-1, 40, -1, -1))
    assert F.cosine_similarity(voices[:, 40:, 1], voices[:, :1, 1], dim=-1).amin(1).median() < 0.8


def test_augment_is_reproducible_and_keeps_padding():
    frontend, (content, voice), starts = SpeakerFrontend(), random_tokens(batch_size=4), torch.tensor([0, 1, 2, 0])
    content[:, 4:] = 0
    first, second = (
        frontend.augment(AudioTokens(content.half(), voice), starts, torch.Generator().manual_seed(4)).content
        for _ in range(2)
    )
    assert first.dtype == torch.float16 and torch.equal(first, second)
    assert (first[:, 4:] == 0).all()
