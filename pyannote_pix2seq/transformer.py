"""A decoder-only transformer whose attention hears voices.

The audio tokens are a prefix: they see each other in both directions. The written tokens are causal: they see all audio
and what was written before. Because no audio token ever sees a written one, the prefix is read once and its keys and
values are kept; training and decoding then share the same code, and a cached step equals the uncached pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn as nn
from torch import Tensor

VOICE_GAIN = 16.0
"""Learned scales are that much larger than their parameters: cosines of voices differ by tenths, logits by tens."""


@dataclass(frozen=True)
class Stream:
    """What a run of positions brings to the transformer.

    Attributes
    ----------
    state : (batch, num_positions, width)
        Content.
    time : (batch, num_positions)
        Where each position lies in time, in audio tokens; positions are rotated by it.
    voice : (batch, num_positions, num_voices, voice_dim)
        Whose speech each position carries, at most unit length.
    """

    state: Tensor
    time: Tensor
    voice: Tensor


@dataclass(frozen=True)
class Cache:
    """Keys and values of all positions read so far.

    Attributes
    ----------
    keys, values : tuple of (batch, num_heads, num_positions, head_dim), one for each layer
    voice : (batch, num_positions, num_voices, voice_dim)
    is_real : (batch, num_positions) bool
        False for padding.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    voice: Tensor
    is_real: Tensor

    def select(self, index: Tensor) -> Cache:
        """Keep, repeat or reorder the examples of the batch."""
        return Cache(
            tuple(key[index] for key in self.keys),
            tuple(value[index] for value in self.values),
            self.voice[index],
            self.is_real[index],
        )


class Rotary(nn.Module):
    """How much vectors are rotated at which time, so that scalar products depend on the time between them.

    Su et al., "RoFormer" (arXiv 2104.09864), but for time instead of rank, with periods from 2 to 1000 audio tokens.

    Parameters
    ----------
    dim : int
        Size of the vectors.
    """

    frequencies: Tensor

    def __init__(self, dim: int):
        super().__init__()
        frequencies = torch.logspace(math.log10(math.pi), math.log10(math.tau / 1000), dim // 2)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        """Cosines and sines, (2, ..., dim / 2), of times (...) in audio tokens."""
        angle = time[..., None] * self.frequencies
        return torch.stack([angle.cos(), angle.sin()])


class Attention(nn.Module):
    """Multi-head attention with rotary positions and a bias from voices.

    To the logit of two positions each head adds the cosines of their voices, times a learned scale for every pair of
    voices. Voices enter the network nowhere else, so it cannot memorise speakers: it learns to compare them.

    Parameters
    ----------
    width : int
    num_heads : int
    num_voices : int
        Voices of a position; 0 for plain attention.
    """

    def __init__(self, width: int, num_heads: int, num_voices: int):
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.voice_scale = nn.Parameter(torch.zeros(num_heads, num_voices * num_voices))
        with torch.no_grad():
            same = torch.eye(num_voices).flatten()
            self.voice_scale.add_(same * torch.linspace(0, 1, num_heads)[:, None])

    def project(self, state: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (batch, num_heads, num_positions, head_dim) each."""
        batch, num_positions, _ = state.shape
        heads = self.query_key_value(state).view(batch, num_positions, 3, self.num_heads, -1)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        return rotate(query, rotation), rotate(key, rotation), value

    def forward(self, query: Tensor, key: Tensor, value: Tensor, cosines: Tensor, blocked: Tensor) -> Tensor:
        """Attend.

        Parameters
        ----------
        query : (batch, num_heads, num_queries, head_dim)
        key, value : (batch, num_heads, num_keys, head_dim)
        cosines : (batch, num_voices ** 2, num_queries * num_keys)
        blocked : (batch, 1, num_queries, num_keys) bool
            Where a query may not look.

        Returns
        -------
        state : (batch, num_queries, width)
        """
        logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        # (B, H, Q, D) x (B, H, D, K) -> (B, H, Q, K)
        logits = logits + (VOICE_GAIN * self.voice_scale.to(cosines.dtype) @ cosines).view_as(logits)
        # (H, V * V) x (B, V * V, Q * K) -> (B, H, Q * K)
        weights = logits.masked_fill(blocked, -torch.inf).softmax(-1)
        return self.output((weights @ value).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a perceptron, each behind a norm and beside a residual."""

    def __init__(self, width: int, num_heads: int, num_voices: int, dropout: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, num_heads, num_voices)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        state: Tensor,
        rotation: Tensor,
        cosines: Tensor,
        blocked: Tensor,
        past: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read positions.

        Parameters
        ----------
        state : (batch, num_positions, width)
        rotation, cosines, blocked
            See `Attention`.
        past : pair of (batch, num_heads, num_past, head_dim), optional
            Keys and values of earlier positions.

        Returns
        -------
        state : (batch, num_positions, width)
        keys, values : (batch, num_heads, num_past + num_positions, head_dim)
        """
        query, key, value = self.attention.project(self.attention_norm(state), rotation)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        state = state + self.dropout(self.attention(query, key, value, cosines, blocked))
        state = state + self.dropout(self.perceptron(state))
        return state, key, value


class Transformer(nn.Module):
    """Reads streams of positions, remembering what it read.

    Parameters
    ----------
    width : int
        Size of the states.
    num_layers, num_heads : int
    num_voices : int
        Voices that each position carries.
    dropout : float
        On what each sub-layer adds.
    """

    def __init__(self, width: int, num_layers: int, num_heads: int, num_voices: int, dropout: float):
        super().__init__()
        if width % (2 * num_heads):
            raise ValueError(
                f"width={width} cannot be shared by {num_heads} heads: it must be a multiple of {2 * num_heads}."
            )
        self.num_heads = num_heads
        self.blocks = nn.ModuleList(Block(width, num_heads, num_voices, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.rotary = Rotary(width // num_heads)

    def forward(self, stream: Stream, is_real: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]:
        """Read more positions.

        Parameters
        ----------
        stream : Stream
        is_real : (batch, num_positions) bool
            False for padding.
        past : Cache, optional
            What was read before. Without it the positions are a prefix and see each other in both directions; with it
            they see the past and, causally, each other.

        Returns
        -------
        state : (batch, num_positions, width)
            Normalised output of the last layer.
        cache : Cache
            The past and these positions.
        """
        cache = self._grow(stream, is_real, past)
        blocked = ~cache.is_real[:, None, None, :]
        if past is not None:
            blocked = blocked | _future(stream.time.shape[1], cache.is_real.shape[1], blocked.device)
        similarity = cosines(stream.voice, cache.voice)
        rotation = self.rotary(stream.time)[:, :, None].to(stream.state.dtype)
        # (2, batch, 1, num_positions, head_dim / 2)
        state, keys, values = stream.state, [], []
        for layer, block in enumerate(self.blocks):
            remembered = (past.keys[layer], past.values[layer]) if past else None
            state, key, value = block(state, rotation, similarity, blocked, remembered)
            keys.append(key)
            values.append(value)
        return self.norm(state), replace(cache, keys=tuple(keys), values=tuple(values))

    @staticmethod
    def _grow(stream: Stream, is_real: Tensor, past: Cache | None) -> Cache:
        if past is None:
            return Cache((), (), stream.voice, is_real)
        voice = torch.cat([past.voice, stream.voice], dim=1)
        return Cache((), (), voice, torch.cat([past.is_real, is_real], dim=1))


def rotate(vectors: Tensor, rotation: Tensor) -> Tensor:
    """Rotate pairs of coordinates of `vectors` (..., head_dim) by `rotation` (2, ..., head_dim / 2): cosines, sines."""
    cos, sin = rotation
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def cosines(voice: Tensor, others: Tensor) -> Tensor:
    """Scalar products of all pairs of voices, (batch, num_voices ** 2, num_queries * num_keys)."""
    batch, num_queries, num_voices, _ = voice.shape
    products = torch.einsum("bqvd,bkwd->bvwqk", voice, others)
    return products.reshape(batch, num_voices * num_voices, num_queries * others.shape[1])


def _future(num_queries: int, num_keys: int, device: torch.device) -> Tensor:
    """Keys that come after each query, when the queries are the last keys: (num_queries, num_keys) bool."""
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).triu(num_keys - num_queries + 1)
