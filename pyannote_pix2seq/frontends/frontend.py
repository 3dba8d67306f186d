"""Interface of frontends: modules that turn waveforms into audio tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.numeric import rounded_down
from pyannote_pix2seq.origin import weights_digest

TOKEN_DURATION = 0.16
"""Duration of an audio token, in seconds."""


class AudioTokens(NamedTuple):
    """Audio tokens, the input of the transformer.

    Parameters
    ----------
    content : (batch, num_tokens, content_dim) torch.Tensor
        What happens during each token. Tokens of a single recording or chunk have no batch dimension.
    voice : (batch, num_tokens, num_voices, voice_dim) torch.Tensor
        Who may be speaking during each token. A voice is a speaker embedding whose norm is its certainty: the
        direction identifies the speaker, the norm (between 0 and 1) is how sure the frontend is that this voice is
        present.
    """

    content: Tensor
    voice: Tensor

    @classmethod
    def padded(cls, several: Sequence[AudioTokens]) -> AudioTokens:
        """Several of (num_tokens, ...) as a batch, padded with zeros to the longest."""
        return cls(*(pad_sequence(list(field), batch_first=True) for field in zip(*several, strict=True)))

    def at(self, where: Any) -> AudioTokens:
        """Select along the first dimension: a recording of a batch, or audio tokens of a recording."""
        return AudioTokens(self.content[where], self.voice[where])

    def to(self, *kind: Any, **options: Any) -> AudioTokens:
        """Convert to another device or dtype, see `torch.Tensor.to`."""
        return AudioTokens(*(field.to(*kind, **options) for field in self))


class Frontend(nn.Module):
    """Base class of frontends.

    A subclass sets `content_dim`, `num_voices`, `voice_dim` and `frozen`, and implements `forward`.

    Attributes
    ----------
    sample_rate : int
        Sample rate of the waveforms, in Hz.
    bins_per_token : int
        Number of time bins (the unit of turn boundaries) in an audio token.
    content_dim : int
        Dimension of the content of a token.
    num_voices, voice_dim : int
        Number of voices of a token (possibly zero), and their dimension.
    frozen : bool
        Whether the frontend is never trained, so that its tokens may be computed once and cached.
    is_loaded : bool
        Whether weights have been loaded with `load_state_dict`; those of a frozen frontend are random until then. A
        subclass that loads them in another way sets it to True.
    version : int
        Incremented when the same weights give other tokens than before, so that cached tokens are not mixed with new
        ones.
    """

    sample_rate: int = 16000
    bins_per_token: int = 4
    bin_duration: float = TOKEN_DURATION / bins_per_token
    content_dim: int
    num_voices: int
    voice_dim: int
    frozen: bool
    is_loaded: bool = False
    version: int = 1

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_post_hook(_note_loaded)

    @property
    def samples_per_token(self) -> int:
        """Number of samples that one token spans."""
        return round(TOKEN_DURATION * self.sample_rate)

    @staticmethod
    def whole_tokens(seconds: float) -> int:
        """Number of tokens that fit into a duration."""
        return rounded_down(seconds / TOKEN_DURATION)

    @property
    def fingerprint(self) -> str:
        """Short hash of what `precompute` depends on: the type, the version and, if it is frozen, the weights."""
        return self._digest(self.state_dict() if self.frozen else {})

    @property
    def digest(self) -> str:
        """Short hash of what the tokens depend on: the type, the version and the weights."""
        return self._digest(self.state_dict())

    def _digest(self, weights: Mapping[str, Tensor]) -> str:
        return weights_digest(weights, f"{type(self).__name__} {self.version}")

    def num_tokens(self, num_samples: int) -> int:
        """Number of tokens of a waveform; the last one may extend past its end.

        Parameters
        ----------
        num_samples : int
            Number of samples of the waveform.

        Returns
        -------
        num_tokens : int
        """
        return -(-num_samples // self.samples_per_token)

    def check(self, waveforms: Tensor) -> None:
        """Check the shape of waveforms.

        Parameters
        ----------
        waveforms : torch.Tensor
            Should be (batch, 1, num_samples), with at least one sample.

        Raises
        ------
        ValueError
            If it is not.
        """
        if waveforms.ndim != 3 or waveforms.shape[1] != 1 or waveforms.shape[2] == 0:
            raise ArgumentError(
                f"{type(self).__name__} was given waveforms of shape {tuple(waveforms.shape)} but takes "
                "(batch, 1, num_samples) with at least one sample. "
                "Mix down to mono, and add the missing dimensions with `waveform[None]`."
            )

    def forward(self, waveforms: Tensor) -> AudioTokens:
        """Turn waveforms into audio tokens.

        Parameters
        ----------
        waveforms : (batch, 1, num_samples) torch.Tensor
            Mono recordings at `sample_rate`, between -1 and 1.

        Returns
        -------
        tokens : AudioTokens
            `num_tokens(num_samples)` tokens per recording.

        Raises
        ------
        ValueError
            If waveforms do not have this shape.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `forward`.")

    def precompute(self, waveforms: Tensor) -> AudioTokens:
        """Compute what can be cached on disk: tokens if frozen, else the waveform cut into tokens.

        Parameters
        ----------
        waveforms : (batch, 1, num_samples) torch.Tensor

        Returns
        -------
        kept : AudioTokens
            If not frozen, `content` is (batch, num_tokens, samples_per_token), scaled down to full scale where it is
            louder, and there are no voices.
        """
        if self.frozen:
            return self(waveforms)
        self.check(waveforms)
        num_tokens = self.num_tokens(waveforms.shape[-1])
        padding = num_tokens * self.samples_per_token - waveforms.shape[-1]
        waveforms = waveforms / waveforms.abs().amax(dim=-1, keepdim=True).clamp(min=1)  # kept in half precision
        pieces = F.pad(waveforms, (0, padding)).view(len(waveforms), num_tokens, self.samples_per_token)
        return AudioTokens(pieces, pieces.new_zeros(len(waveforms), num_tokens, 0, 0))

    def finish(self, kept: AudioTokens, lengths: Tensor) -> AudioTokens:
        """Compute tokens from what `precompute` returned.

        Parameters
        ----------
        kept : AudioTokens
            A batch of what `precompute` returned, padded.
        lengths : (batch,) torch.Tensor
            Number of tokens of each recording; padding is removed before tokens are computed.

        Returns
        -------
        tokens : AudioTokens
        """
        if self.frozen:
            return kept
        waveforms = (pieces[:length].view(1, 1, -1) for pieces, length in zip(kept.content, lengths, strict=True))
        return AudioTokens.padded([tokens.at(0) for tokens in map(self, waveforms)])

    def speech(self, content: Tensor) -> Tensor:
        """Probability of speech during each token: 1 unless a subclass overrides this.

        Parameters
        ----------
        content : (..., num_tokens, content_dim) torch.Tensor

        Returns
        -------
        speech : (..., num_tokens) torch.Tensor
        """
        return torch.ones_like(content[..., 0])

    def augment(self, tokens: AudioTokens, starts: Tensor, generator: torch.Generator) -> AudioTokens:
        """Augment tokens at random, for training; the identity unless a subclass overrides this.

        Parameters
        ----------
        tokens : AudioTokens
            A batch of tokens, left unchanged.
        starts : (batch,) torch.Tensor
            Number of tokens of prompts at the start of each example.
        generator : torch.Generator
            Source of all randomness.

        Returns
        -------
        tokens : AudioTokens
            Tokens of the same shapes.
        """
        return tokens


def _note_loaded(frontend: Any, _: Any) -> None:
    """Note that weights have been loaded: a hook of PyTorch's."""
    frontend.is_loaded = True
