"""Compensation of channels: voices of different recordings, made comparable."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNCOMPENSATED = 0.45
"""Least cosine of one speaker's voices in two recordings, as long as nothing is compensated."""


class ChannelCompensation(nn.Module):
    """Makes voices comparable that were heard in different rooms, through different lines and beside different noise.

    What differs between voices of one speaker in different recordings is made as small in all directions: within-class
    covariance normalisation (Hatch, Kajarekar and Stolcke, Interspeech 2006). It is fitted by
    `training.compensating.fit`; until then, voices stay as they are. Weights of models that were made without it can be
    loaded.

    Parameters
    ----------
    voice_dim : int

    Attributes
    ----------
    mean : (voice_dim,) tensor
        Mean direction of voices.
    whitening : (voice_dim, voice_dim) tensor
    least : () tensor
        Least cosine of compensated voices that are one speaker's.
    """

    mean: Tensor
    whitening: Tensor
    least: Tensor

    def __init__(self, voice_dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(voice_dim))
        self.register_buffer("whitening", torch.eye(voice_dim))
        self.register_buffer("least", torch.tensor(UNCOMPENSATED))

    def forward(self, voices: Tensor) -> Tensor:
        """Compensate voices.

        Parameters
        ----------
        voices : (num_voices, voice_dim) tensor
            Of any length.

        Returns
        -------
        directions : (num_voices, voice_dim) float32 tensor
            Of unit length; a voice of length 0 stays 0, which is nobody's.
        """
        mean, whitening = (buffer.to(voices.device, torch.float) for buffer in (self.mean, self.whitening))
        unit = F.normalize(voices.float(), dim=-1)
        return F.normalize((unit - mean * unit.any(dim=-1, keepdim=True)) @ whitening, dim=-1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for name, buffer in self.named_buffers():
            state_dict.setdefault(prefix + name, buffer)
        super()._load_from_state_dict(state_dict, prefix, *others)
