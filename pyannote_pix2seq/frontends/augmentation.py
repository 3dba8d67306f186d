"""How audio tokens of real rooms differ from those of simulated ones, drawn at random for each training example."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SOFT_PROBABILITY = 0.7
MAX_TEMPERATURE = 3.0
SILENCE_TILT = (-0.5, 1.5)
OVERLAP_TILT = (-2.0, 0.5)
"""What is added to the logarithm of posteriors."""
MAX_COMMON_BLUR = 0.5
MAX_BLUR = 0.6
BLUR_TOKENS = 8


def soften(posteriors: Tensor, generator: torch.Generator) -> Tensor:
    """Make posteriors less sure.

    On clean simulated speech the segmentation network is always sure; in a real room it is not. So the posteriors of 7
    examples in 10 are raised to the power 1 / T, with T between 1 and 3.

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
    """Make posteriors lean towards silence and away from overlap, or a little the other way.

    In a real room the segmentation network misses more of quiet speech and of overlap than in a simulated one.

    Parameters
    ----------
    posteriors : (batch, ..., num_classes)
    num_active : (num_classes,)
        Speakers of each class.
    generator : torch.Generator
    """
    low, high = posteriors.new_tensor([SILENCE_TILT, OVERLAP_TILT]).unbind(1)
    silence, overlap = (low + (high - low) * _uniform(posteriors, 2, generator)).split(1, dim=1)
    num_active = num_active.to(posteriors.device)
    added = silence * (num_active == 0) + overlap * (num_active > 1)
    # (batch, num_classes)
    return _normalised(posteriors * _spread(added.exp(), posteriors))


def rename(posteriors: Tensor, relabellings: Tensor, generator: torch.Generator) -> Tensor:
    """Give the local speakers other numbers.

    Parameters
    ----------
    posteriors : (batch, ..., num_classes)
    relabellings : (num_relabellings, num_classes) int64
        Where each class comes from.
    generator : torch.Generator
    """
    drawn = torch.randint(len(relabellings), (len(posteriors),), generator=generator, device=generator.device)
    sources = relabellings[drawn.to(relabellings.device)].to(posteriors.device)
    return posteriors.gather(-1, _spread(sources, posteriors).expand_as(posteriors))


def blur(voice: Tensor, generator: torch.Generator) -> Tensor:
    """Turn voices a little.

    In a real room all voices have the room in common, and each varies with what is said and how: so a vector that stays
    and one that changes every 1.3 s are added to the directions of the voices.

    Parameters
    ----------
    voice : (batch, num_tokens, num_voices, voice_dim)
        Their lengths stay as they are.
    generator : torch.Generator
    """
    batch_size, num_tokens, _, voice_dim = voice.shape
    num_blocks = -(-num_tokens // BLUR_TOKENS)
    drawn = torch.randn(batch_size, 1 + num_blocks, voice_dim, generator=generator, device=generator.device).to(voice)
    most = voice.new_tensor([MAX_COMMON_BLUR, MAX_BLUR])
    common, changing = (most * _uniform(voice, 2, generator)).unbind(1)
    drawn = F.normalize(drawn, dim=-1)
    added = common[:, None, None] * drawn[:, :1] + changing[:, None, None] * drawn[:, 1:]
    added = added.repeat_interleave(BLUR_TOKENS, dim=1)[:, :num_tokens]
    # (batch, num_tokens, voice_dim)
    length = voice.norm(dim=-1, keepdim=True)
    return F.normalize(F.normalize(voice, dim=-1) + added[:, :, None], dim=-1) * length


def _uniform(examples: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Numbers between 0 and 1, (batch, count)."""
    return torch.rand(len(examples), count, generator=generator, device=generator.device).to(examples)


def _spread(values: Tensor, examples: Tensor) -> Tensor:
    """(batch, n) -> (batch, 1, ..., 1, n) with as many dimensions as the examples."""
    return values.view(len(values), *[1] * (examples.dim() - 2), -1)


def _normalised(posteriors: Tensor) -> Tensor:
    return posteriors / posteriors.sum(dim=-1, keepdim=True).clamp(min=1e-8)
