"""Attention with a bias from voices, for sequences that share the keys and values of their recording."""

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
"""Factor by which learned scales exceed their parameters: products of voices differ by tenths, logits by tens."""


@dataclass(frozen=True)
class Source:
    """Positions that queries attend to.

    Attributes
    ----------
    key, value : (num_rows, num_heads, num_keys, head_dim)
        Each row is attended to by one or more rows of queries.
    bias : (num_rows, num_heads, num_queries, num_keys)
        See `voice_bias`; queries of all rows that attend to this one, one row after the other.
    blocked : bool, broadcasts to (num_rows, 1, num_queries, num_keys), or None
        True where a query may not attend to a key; None if it may attend to all.
    """

    key: Tensor
    value: Tensor
    bias: Tensor
    blocked: Tensor | None


class Attention(nn.Module):
    """Multi-head attention with rotary positions and a bias from voices.

    To the logit of a query and a key each head adds the scalar products of their voices, times a learned scale for
    every pair of voices. Voices enter the model only as such products (here, in `Pointing` and in `Claims`), so it
    cannot memorise speakers: it learns to compare them.

    Parameters
    ----------
    width : int
    num_heads : int
    num_voices : int
        Number of voices of a position; 0 for plain attention.
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
        """Compute queries, keys and values, (batch, num_heads, num_positions, head_dim) each."""
        batch, num_positions, _ = state.shape
        heads = self.query_key_value(state).view(batch, num_positions, 3, self.num_heads, -1)
        heads = heads.permute(2, 0, 3, 1, 4)
        # (query, key and value, B, H, P, D)
        query, key = rotate(heads[:2], rotation)
        return query, key, heads[2]

    def forward(self, query: Tensor, sources: Sequence[Source]) -> Tensor:
        """Attend to all sources at once.

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


def voice_bias(layers: Sequence[Attention], products: Tensor) -> Tensor:
    """Bias from voices on the logits of each layer.

    Parameters
    ----------
    layers : sequence of Attention
    products : (num_rows, num_voices ** 2, num_queries, num_keys)
        What `voice_products` returned.

    Returns
    -------
    bias : (num_layers, num_rows, num_heads, num_queries, num_keys)
    """
    scales = VOICE_GAIN * torch.stack([layer.voice_scale for layer in layers])
    bias = scales.flatten(0, 1) @ products.flatten(2)
    # (L * H, V * V) x (R, V * V, Q * K) -> (R, L * H, Q * K)
    return bias.view(len(products), *scales.shape[:2], *products.shape[2:]).transpose(0, 1)


def _logits(query: Tensor, source: Source) -> Tensor:
    """Logits of queries (batch, num_heads, num_queries, head_dim): (num_rows, num_heads, all num_queries, num_keys)."""
    logits = _side_by_side(query, len(source.key)) @ source.key.transpose(-1, -2) + source.bias
    # (R, H, Q, D) x (R, H, D, K) -> (R, H, Q, K)
    return logits if source.blocked is None else logits.masked_fill(source.blocked, -torch.inf)


def by_recording(written: Tensor, heard: Tensor) -> Tensor:
    """Concatenate the positions of all sequences of a recording into one row, so that they share its keys and values.

    (num_sequences, num_positions, ...) -> (num_recordings, num_positions of all its sequences, ...)
    """
    num_positions = len(written) // len(heard) * written.shape[1]
    return written.reshape(len(heard), num_positions, *written.shape[2:])


def _side_by_side(heads: Tensor, num_rows: int) -> Tensor:
    """Concatenate queries: (batch, num_heads, num_queries, ...) -> (num_rows, num_heads, all num_queries, ...)."""
    if len(heads) == num_rows:
        return heads
    return heads.unflatten(0, (num_rows, -1)).transpose(1, 2).flatten(2, 3)


def _apart(heads: Tensor, batch: int) -> Tensor:
    """The inverse of `_side_by_side`."""
    if len(heads) == batch:
        return heads
    return heads.unflatten(2, (batch // len(heads), -1)).transpose(1, 2).flatten(0, 1)


def voice_products(voice: Tensor, others: Tensor) -> Tensor:
    """Scalar products of all pairs of voices: (batch, num_voices ** 2, num_queries, num_keys).

    The norm of a voice is its certainty, so they are cosines times the certainties of both.
    """
    batch, num_queries, num_voices, _ = voice.shape
    num_keys = others.shape[1]
    products = voice.flatten(1, 2) @ others.flatten(1, 2).transpose(1, 2)
    # (B, Q * V, D) x (B, D, K * V) -> (B, Q * V, K * V)
    products = products.view(batch, num_queries, num_voices, num_keys, num_voices).permute(0, 2, 4, 1, 3)
    return products.reshape(batch, num_voices * num_voices, num_queries, num_keys)
