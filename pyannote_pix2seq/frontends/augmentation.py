"""Random augmentation of audio tokens of simulated rooms, to make them more like those of real ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SOFT_PROBABILITY = 0.7
MAX_TEMPERATURE = 3.0
SILENCE_TILT = (-0.5, 1.5)
OVERLAP_TILT = (-2.0, 0.5)
"""Ranges of what is added to the log-posteriors of silence and of overlap."""
MAX_CONFUSED = 0.5
CONFUSED_TOKENS = 4
MAX_CONTAMINATION = (1.2, 4.0, 4.0)
"""Largest weight of another voice that is added to each voice of a token."""
MAX_COMMON_BLUR = 0.5
MAX_BLUR = 1.3
BLUR_TOKENS = 8
CLEAR = 0.5
"""Only voices with a norm above this are added to others: those of speakers who are likely to be active."""


def soften(posteriors: Tensor, generator: torch.Generator) -> Tensor:
    """Make posteriors less confident.

    On clean simulated speech the segmentation network is always confident; in a real room it is not. So the posteriors
    of 7 examples in 10 are raised to the power 1 / T, with T between 1 and 3, and normalised.

    Parameters
    ----------
    posteriors : (batch, ..., num_classes)
        Padding is 0 and stays 0.
    generator : torch.Generator
    """
    temperatures = 1 + (MAX_TEMPERATURE - 1) * _uniform(posteriors, 1, generator)
    is_soft = _uniform(posteriors, 1, generator) < SOFT_PROBABILITY
    power = torch.where(is_soft, 1 / temperatures, 1.0)
    return _normalised(posteriors ** _spread(power, posteriors))


def tilt(posteriors: Tensor, num_active: Tensor, generator: torch.Generator) -> Tensor:
    """Shift posteriors towards silence and away from overlap, or a little the other way.

    In a real room the segmentation network misses more quiet speech and more overlap than in a simulated one.

    Parameters
    ----------
    posteriors : (batch, ..., num_classes)
    num_active : (num_classes,)
        Number of active speakers of each class.
    generator : torch.Generator
    """
    low, high = posteriors.new_tensor([SILENCE_TILT, OVERLAP_TILT]).unbind(1)
    silence, overlap = (low + (high - low) * _uniform(posteriors, 2, generator)).split(1, dim=1)
    num_active = num_active.to(posteriors.device)
    added = silence * (num_active == 0) + overlap * (num_active > 1)
    # (batch, num_classes)
    return _normalised(posteriors * _spread(added.exp(), posteriors))


def confused(is_chunk: Tensor, generator: torch.Generator) -> Tensor:
    """Draw where the segmentation network is to confuse local speakers.

    In a real room it does so in a fifth of the time, in a simulated one in a twentieth. Here, it is to do so in each
    0.64 s block of a chunk with a probability of up to a half; some of these blocks stay correct by chance.

    Parameters
    ----------
    is_chunk : (batch, num_tokens) bool
        False for tokens of prompts.
    generator : torch.Generator

    Returns
    -------
    is_confused : (batch, num_tokens) bool
    """
    batch_size, num_tokens = is_chunk.shape
    shares = MAX_CONFUSED * torch.rand(batch_size, 1, generator=generator, device=generator.device)
    num_blocks = _num_blocks(num_tokens, CONFUSED_TOKENS)
    drawn = torch.rand(batch_size, num_blocks, generator=generator, device=generator.device) < shares
    return is_chunk & _by_token(drawn, CONFUSED_TOKENS, num_tokens).to(is_chunk.device)


def rename(posteriors: Tensor, relabellings: Tensor, is_confused: Tensor, generator: torch.Generator) -> Tensor:
    """Permute the local speakers at random, and differently in each block in which they are to be confused.

    Parameters
    ----------
    posteriors : (batch, num_tokens, bins_per_token, num_classes)
    relabellings : (num_relabellings, num_classes) int64
        Source of each class, for each permutation of the local speakers.
    is_confused : (batch, num_tokens) bool
        See `confused`.
    generator : torch.Generator
    """
    batch_size, num_tokens = is_confused.shape
    shape = batch_size, 1 + _num_blocks(num_tokens, CONFUSED_TOKENS)
    drawn = torch.randint(len(relabellings), shape, generator=generator, device=generator.device)
    drawn = drawn.to(is_confused.device)
    chosen = torch.where(is_confused, _by_token(drawn[:, 1:], CONFUSED_TOKENS, num_tokens), drawn[:, :1])
    sources = relabellings.to(posteriors.device)[chosen]
    return posteriors.gather(-1, sources.unsqueeze(2).expand_as(posteriors))


def contaminate(voice: Tensor, is_confused: Tensor, generator: torch.Generator) -> Tensor:
    """Mix the voices of an example with that of another moment of it, wherever its local speakers are confused.

    Voices are pooled over everything that a local speaker says around a token, so if two local speakers are confused,
    their voices are mixtures of both; the first voice, which is pooled over all speech nearby, is affected less.
    Moments without speech have no voice to mix in.

    Parameters
    ----------
    voice : (batch, num_tokens, num_voices, voice_dim)
        Their norms are preserved.
    is_confused : (batch, num_tokens) bool
    generator : torch.Generator
    """
    num_tokens = voice.shape[1]
    moment = int(torch.randint(num_tokens, (1,), generator=generator, device=generator.device))
    other = voice[:, :, :1].roll(moment, dims=1)
    other = F.normalize(other, dim=-1) * (other.norm(dim=-1, keepdim=True) > CLEAR)
    blocks = _uniform(voice, _num_blocks(num_tokens, CONFUSED_TOKENS), generator)
    share = _by_token(blocks, CONFUSED_TOKENS, num_tokens) * is_confused
    return _turned(voice, share[..., None, None] * voice.new_tensor(MAX_CONTAMINATION)[:, None] * other)


def blur(voice: Tensor, is_chunk: Tensor, generator: torch.Generator) -> Tensor:
    """Make the voices of an example more similar to each other, and each of them less consistent over time.

    In a real room all voices share the acoustics of the room, and each varies with what is said and how. They vary in
    the same directions in which speakers differ, so that two moments of one speaker are often less similar than moments
    of two speakers. So other voices of the batch are added to the directions of the voices: one that is constant and,
    in chunks, one that changes every 1.3 s.

    Parameters
    ----------
    voice : (batch, num_tokens, num_voices, voice_dim)
        Their norms are preserved.
    is_chunk : (batch, num_tokens) bool
        False for tokens of prompts.
    generator : torch.Generator
    """
    clear = voice[:, :, 0].flatten(0, 1)
    clear = clear[clear.norm(dim=-1) > CLEAR]
    if not len(clear):
        return voice
    batch_size, num_tokens = voice.shape[:2]
    shape = batch_size, 1 + _num_blocks(num_tokens, BLUR_TOKENS)
    chosen = torch.randint(len(clear), shape, generator=generator, device=generator.device).to(voice.device)
    drawn = F.normalize(clear[chosen], dim=-1)
    # (batch, 1 + num_blocks, voice_dim)
    common, changing = (voice.new_tensor([MAX_COMMON_BLUR, MAX_BLUR]) * _uniform(voice, 2, generator)).unbind(1)
    added = _by_token(changing[:, None, None] * drawn[:, 1:], BLUR_TOKENS, num_tokens)
    added = added * is_chunk[..., None] + common[:, None, None] * drawn[:, :1]
    # (batch, num_tokens, voice_dim)
    return _turned(voice, added[:, :, None])


def _num_blocks(num_tokens: int, size: int) -> int:
    """Number of blocks of `size` tokens; the last one may be shorter."""
    return -(-num_tokens // size)


def _by_token(blocks: Tensor, size: int, num_tokens: int) -> Tensor:
    """Repeat the values of each block for its tokens: (batch, num_blocks, ...) -> (batch, num_tokens, ...)."""
    return blocks.repeat_interleave(size, dim=1)[:, :num_tokens]


def _turned(voice: Tensor, added: Tensor) -> Tensor:
    """Add to the directions of voices, and preserve their norms."""
    return F.normalize(F.normalize(voice, dim=-1) + added, dim=-1) * voice.norm(dim=-1, keepdim=True)


def _uniform(examples: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Random numbers between 0 and 1, (batch, count)."""
    return torch.rand(len(examples), count, generator=generator, device=generator.device).to(examples)


def _spread(values: Tensor, examples: Tensor) -> Tensor:
    """Reshape to broadcast over examples: (batch, n) -> (batch, 1, ..., 1, n), with as many dimensions as these."""
    return values.view(len(values), *[1] * (examples.dim() - 2), -1)


def _normalised(posteriors: Tensor) -> Tensor:
    return posteriors / posteriors.sum(dim=-1, keepdim=True).clamp(min=1e-8)
