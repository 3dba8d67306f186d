"""Attention that hears voices, of sequences that share what was heard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
import torch.nn as nn
from torch import Tensor

from pyannote_pix2seq.network.rotary import rotate

VOICE_GAIN = 16.0
"""Learned scales are that much larger than their parameters: cosines of voices differ by tenths, logits by tens."""


@dataclass(frozen=True)
class Source:
    """Positions that are looked at.

    Attributes
    ----------
    key, value : (num_rows, num_heads, num_keys, head_dim)
        Each row is looked at by one or more rows of queries.
    bias : (num_rows, num_heads, num_queries, num_keys)
        See `voice_bias`; queries of all rows that look at this one, one row after the other.
    blocked : bool, broadcasts to (num_rows, 1, num_queries, num_keys), or None
        Where a query may not look; None if it may look everywhere.
    """

    key: Tensor
    value: Tensor
    bias: Tensor
    blocked: Tensor | None


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
        heads = heads.permute(2, 0, 3, 1, 4)
        # (query, key and value, B, H, P, D)
        query, key = rotate(heads[:2], rotation)
        return query, key, heads[2]

    def forward(self, query: Tensor, sources: Sequence[Source]) -> Tensor:
        """Attend.

        Parameters
        ----------
        query : (batch, num_heads, num_queries, head_dim)
        sources : sequence of Source

        Returns
        -------
        state : (batch, num_queries, width)
        """
        batch, fewest = len(query), min(len(source.key) for source in sources)
        query = query / math.sqrt(query.shape[-1])
        logits = torch.cat([_side_by_side(_logits(query, source), fewest) for source in sources], dim=-1)
        # (R, H, all Q, all K)
        weights = logits.softmax(-1).split([source.key.shape[2] for source in sources], dim=-1)
        parts = [
            _apart(_apart(weight, len(source.value)) @ source.value, batch)
            for weight, source in zip(weights, sources, strict=True)
        ]
        return self.output(reduce(add, parts).transpose(1, 2).flatten(2))


def voice_bias(layers: Sequence[Attention], cosines: Tensor) -> Tensor:
    """What voices add to the logits of each layer.

    Parameters
    ----------
    layers : sequence of Attention
    cosines : (num_rows, num_voices ** 2, num_queries, num_keys)
        What `cosines` returned.

    Returns
    -------
    bias : (num_layers, num_rows, num_heads, num_queries, num_keys)
    """
    scales = VOICE_GAIN * torch.stack([layer.voice_scale for layer in layers]).to(cosines.dtype)
    bias = scales.flatten(0, 1) @ cosines.flatten(2)
    # (L * H, V * V) x (R, V * V, Q * K) -> (R, L * H, Q * K)
    return bias.view(len(cosines), *scales.shape[:2], *cosines.shape[2:]).transpose(0, 1)


def _logits(query: Tensor, source: Source) -> Tensor:
    """Of queries (batch, num_heads, num_queries, head_dim), (num_rows, num_heads, all num_queries, num_keys)."""
    logits = _side_by_side(query, len(source.key)) @ source.key.transpose(-1, -2) + source.bias
    # (R, H, Q, D) x (R, H, D, K) -> (R, H, Q, K)
    return logits if source.blocked is None else logits.masked_fill(source.blocked, -torch.inf)


def by_recording(written: Tensor, heard: Tensor) -> Tensor:
    """Rows of all sequences about one recording as one row, as long as together, so that they share what was heard.

    (num_sequences, num_positions, ...) -> (num_recordings, num_positions of all its sequences, ...)
    """
    num_positions = len(written) // len(heard) * written.shape[1]
    return written.reshape(len(heard), num_positions, *written.shape[2:])


def _side_by_side(heads: Tensor, num_rows: int) -> Tensor:
    """(batch, num_heads, num_queries, ...) -> (num_rows, num_heads, num_queries of all sequences, ...)"""
    if len(heads) == num_rows:
        return heads
    return heads.unflatten(0, (num_rows, -1)).transpose(1, 2).flatten(2, 3)


def _apart(heads: Tensor, batch: int) -> Tensor:
    """The inverse of `_side_by_side`."""
    if len(heads) == batch:
        return heads
    return heads.unflatten(2, (batch // len(heads), -1)).transpose(1, 2).flatten(0, 1)


def cosines(voice: Tensor, others: Tensor) -> Tensor:
    """Scalar products of all pairs of voices, (batch, num_voices ** 2, num_queries, num_keys)."""
    batch, num_queries, num_voices, _ = voice.shape
    num_keys = others.shape[1]
    products = voice.flatten(1, 2) @ others.flatten(1, 2).transpose(1, 2)
    # (B, Q * V, D) x (B, D, K * V) -> (B, Q * V, K * V)
    products = products.view(batch, num_queries, num_voices, num_keys, num_voices).permute(0, 2, 4, 1, 3)
    return products.reshape(batch, num_voices * num_voices, num_queries, num_keys)
