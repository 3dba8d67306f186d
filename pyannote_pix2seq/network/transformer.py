"""A decoder-only transformer whose attention has a bias from voices.

The audio tokens are a prefix with bidirectional attention. The written tokens are causal: they attend to all audio and
to what was written before. Because audio tokens never attend to written ones, the prefix is read once and its keys and
values are cached; training and decoding share the same code, and a cached step equals the uncached pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn as nn
from torch import Tensor

from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.network.attention import Attention, Source, by_recording, voice_bias, voice_products
from pyannote_pix2seq.network.rotary import Rotary
from pyannote_pix2seq.numeric import check_ranges, is_probability, is_whole


@dataclass(frozen=True)
class Positions:
    """Input of the transformer at several positions.

    Attributes
    ----------
    state : (batch, num_positions, width)
        Embeddings.
    time : (batch, num_positions)
        Time of each position, in audio tokens, for its rotary embedding.
    voice : (batch, num_positions, num_voices, voice_dim)
        Voices of each position, of at most unit norm.
    """

    state: Tensor
    time: Tensor
    voice: Tensor

    def at(self, where: Tensor) -> Positions:
        """Select positions."""
        return Positions(self.state[:, where], self.time[:, where], self.voice[:, where])


KeysValues = tuple[Tensor, Tensor]
"""Keys and values, (batch, num_heads, num_positions, head_dim) each."""


@dataclass(frozen=True)
class Cache:
    """Key/value cache of all positions read so far.

    Several sequences may be written about one recording: audio ("heard") has one row per recording, written tokens have
    one row per sequence, those of the first recording first.

    Attributes
    ----------
    heard, written : tuple of pairs of (..., num_heads, num_positions, head_dim)
        Keys and values of each layer.
    heard_voice, written_voice : (..., num_positions, num_voices, voice_dim)
        Voices of the positions.
    is_real : (num_recordings, num_audio_tokens) bool
        False for padding.
    """

    heard: tuple[KeysValues, ...]
    written: tuple[KeysValues, ...]
    heard_voice: Tensor
    written_voice: Tensor
    is_real: Tensor

    def reorder(self, index: Tensor) -> Cache:
        """Select, repeat or reorder the sequences; each recording must keep the same number of them."""
        written = tuple((key[index], value[index]) for key, value in self.written)
        return replace(self, written=written, written_voice=self.written_voice[index])


class Block(nn.Module):
    """Attention and a perceptron, each with a normalised input and a residual connection."""

    def __init__(self, width: int, num_heads: int, num_voices: int, dropout: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, num_heads, num_voices)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def project(self, state: Tensor, rotation: Tensor) -> tuple[Tensor, KeysValues]:
        """Compute queries, and keys and values, of positions (batch, num_positions, width)."""
        query, key, value = self.attention.project(self.attention_norm(state), rotation)
        return query, (key, value)

    def forward(self, state: Tensor, query: Tensor, sources: Sequence[Source]) -> Tensor:
        """Attend to the sources and apply the perceptron: (batch, num_positions, width), in and out."""
        state = state + self.dropout(self.attention(query, sources))
        return state + self.dropout(self.perceptron(state))


def check_sizes(**given: Any) -> None:
    """Refuse sizes of a model that are out of their ranges, see `check_ranges`."""
    counts = ("width", "num_layers", "num_heads")
    ranges = {name: (is_whole(given[name], 1), "a whole number, 1 or more") for name in counts}
    ranges["dropout"] = (is_probability(given["dropout"]), "a number from 0 to 1")
    check_ranges("Pix2Seq", given, ranges)


class Transformer(nn.Module):
    """Transformer that caches the keys and values of the positions that it has read.

    Parameters
    ----------
    width : int
        Size of the states.
    num_layers, num_heads : int
    num_voices : int
        Number of voices of each position.
    dropout : float
        Applied to the output of each sub-layer.
    """

    def __init__(self, width: int, num_layers: int, num_heads: int, num_voices: int, dropout: float):
        super().__init__()
        if width % (2 * num_heads):
            raise ArgumentError(
                f"width={width} cannot be shared by {num_heads} heads: it must be a multiple of {2 * num_heads}."
            )
        self.blocks = nn.ModuleList(Block(width, num_heads, num_voices, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.rotary = Rotary(width // num_heads)

    def read(self, positions: Positions, is_real: Tensor) -> tuple[Tensor, Cache]:
        """Read a prefix, whose positions attend to each other in both directions.

        Parameters
        ----------
        positions : Positions
        is_real : (batch, num_positions) bool
            False for padding.

        Returns
        -------
        state : (batch, num_positions, width)
            Normalised output of the last layer.
        cache : Cache
            With nothing written yet.
        """
        blocked = _padding(is_real)
        rotation = self._rotation(positions)
        alike = voice_products(positions.voice, positions.voice)
        state, heard = positions.state, []
        for block in self._blocks:
            (bias,) = voice_bias([block.attention], alike)
            query, (key, value) = block.project(state, rotation)
            state = block(state, query, [Source(key, value, bias, blocked)])
            heard.append((_laid_out(key), value.contiguous()))
        nothing = tuple((key[:, :, :0], value[:, :, :0]) for key, value in heard)
        voice = positions.voice
        return self.norm(state), Cache(tuple(heard), nothing, voice, voice[:, :0], is_real)

    def write(self, positions: Positions, past: Cache) -> tuple[Tensor, Cache]:
        """Read more positions, which attend to the past and, causally, to each other.

        Parameters
        ----------
        positions : Positions
            One row for each sequence that is being written.
        past : Cache

        Returns
        -------
        state : (batch, num_positions, width)
            Normalised output of the last layer.
        cache : Cache
            The past and these positions.
        """
        voice = torch.cat([past.written_voice, positions.voice], dim=1)
        to_heard = self._bias(by_recording(positions.voice, past.heard_voice), past.heard_voice)
        to_written = self._bias(positions.voice, voice)
        padding = _padding(past.is_real)
        future = _future(positions.time.shape[1], voice.shape[1], voice.device)
        rotation = self._rotation(positions)
        state, written = positions.state, []
        layers = zip(self._blocks, past.heard, past.written, to_heard, to_written, strict=True)
        for block, heard, (keys, values), bias, bias_written in layers:
            query, (key, value) = block.project(state, rotation)
            key, value = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
            sources = [Source(*heard, bias, padding), Source(key, value, bias_written, future)]
            state = block(state, query, sources)
            written.append((key, value))
        return self.norm(state), replace(past, written=tuple(written), written_voice=voice)

    @property
    def _blocks(self) -> Sequence[Block]:
        return cast(Sequence[Block], self.blocks)

    def _bias(self, voice: Tensor, others: Tensor) -> Tensor:
        """Bias on the logits of each layer from voices of queries and those of keys, see `voice_bias`."""
        return voice_bias([block.attention for block in self._blocks], voice_products(voice, others))

    def _rotation(self, positions: Positions) -> Tensor:
        """Rotation of each position, for all heads: (2, batch, 1, num_positions, head_dim)."""
        return self.rotary(positions.time)[:, :, None].to(positions.state.dtype)


def _laid_out(keys: Tensor) -> Tensor:
    """The same keys, in the memory layout that matrix products need.

    Otherwise all keys of the audio would be copied for each token that is written.
    """
    return keys.transpose(2, 3).contiguous().transpose(2, 3)


def _padding(is_real: Tensor) -> Tensor | None:
    """Mask of padding, which no query attends to: (batch, 1, 1, num_keys) bool, or None if there is none."""
    return None if is_real.all() else ~is_real[:, None, None, :]


def _future(num_queries: int, num_keys: int, device: torch.device) -> Tensor | None:
    """Causal mask, where the queries are the last keys: (num_queries, num_keys) bool, or None for a single query."""
    if num_queries == 1:
        return None
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).triu(num_keys - num_queries + 1)
