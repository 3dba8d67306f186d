"""Losses of training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pyannote_pix2seq.grammar import grammar
from pyannote_pix2seq.vocabulary import FIRST_TIME, PAD, Vocabulary

TIME_WEIGHTS = (1.0, 2.0, 3.0, 2.0, 1.0)
"""Relative weights of a time bin and its neighbours in the smoothed target."""


def sequence_loss(
    vocabulary: Vocabulary, logits: Tensor, tokens: Tensor, num_given: Tensor, num_bins: Tensor
) -> Tensor:
    """Cross-entropy of tokens among those that the grammar allows, with times smoothed over neighbouring bins.

    The mass of neighbours beyond the vocabulary goes to its first or last bin; that of neighbours that the grammar
    forbids is dropped, and the rest renormalised.

    Parameters
    ----------
    vocabulary : Vocabulary
    logits : (batch, num_tokens, size)
        Predictions of `tokens`.
    tokens : (batch, num_tokens) int64
        Targets; padding does not count.
    num_given : (batch,) int64
        Number of tokens at the start that are given by prompts and do not count.
    num_bins : (batch,) int64
        Time bins of the audio.

    Returns
    -------
    loss : () float
        Mean over all tokens that count.
    """
    allowed = grammar(vocabulary, tokens[:, :-1], num_bins=num_bins)
    log_probs = _log_probs(logits, allowed)
    offsets = torch.arange(len(TIME_WEIGHTS), device=tokens.device) - len(TIME_WEIGHTS) // 2
    neighbours = (tokens[..., None] + offsets).clamp(FIRST_TIME, vocabulary.first_speaker - 1)
    targets = torch.where(vocabulary.is_time(tokens)[..., None], neighbours, tokens[..., None])
    # (batch, num_tokens, num_offsets)
    weights = allowed.gather(-1, targets) * torch.tensor(TIME_WEIGHTS, device=tokens.device)
    loss = -log_probs.gather(-1, targets).masked_fill(weights == 0, 0) * weights
    loss = loss.sum(-1) / weights.sum(-1).clamp(min=1e-6)
    position = torch.arange(tokens.shape[1], device=tokens.device)
    counts = (tokens != PAD) & (position >= num_given[:, None])
    return loss[counts].mean()


def chosen_log_probs(vocabulary: Vocabulary, logits: Tensor, tokens: Tensor, num_bins: Tensor) -> Tensor:
    """Log-probabilities of tokens among those that the grammar allows, (batch, num_tokens); see `sequence_loss`."""
    allowed = grammar(vocabulary, tokens[:, :-1], num_bins=num_bins)
    return _log_probs(logits, allowed).gather(-1, tokens[..., None]).squeeze(-1)


def _log_probs(logits: Tensor, allowed: Tensor) -> Tensor:
    return logits.float().masked_fill(~allowed, -torch.inf).log_softmax(-1)


def activity_loss(logits: Tensor, activity: Tensor, num_bins: Tensor) -> Tensor:
    """Binary cross-entropy of frame-level activity, summed over speakers and averaged over bins without padding.

    Parameters
    ----------
    logits, activity : (batch, num_bins, num_speakers)
    num_bins : (batch,) int64
        Time bins of the audio.

    Returns
    -------
    loss : () float
    """
    loss = F.binary_cross_entropy_with_logits(logits.float(), activity, reduction="none").sum(-1)
    is_real = torch.arange(loss.shape[1], device=loss.device) < num_bins[:, None]
    return loss[is_real].mean()
