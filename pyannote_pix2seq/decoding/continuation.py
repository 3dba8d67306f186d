"""How sequences go on: with the likeliest token, with one that is drawn, or in the best ways of a beam."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.vocabulary import EOS, FIRST_TIME, PAD, TOKENS_PER_TRIPLET

Choice = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""Function that selects continuations: (scores (batch, width, size), phase) -> (parent, token) of each draft."""


def choice(options: DecodingOptions) -> Choice:
    """Function that selects continuations by the method of the options, other than "consensus"."""
    if options.method == "beam":
        return _beam
    if options.method == "sample":
        return partial(_sample, options, torch.Generator().manual_seed(options.seed))
    return _greedy


def _greedy(scores: Tensor, phase: int) -> tuple[Tensor, Tensor]:
    log_probs = scores.flatten(0, 1).log_softmax(-1)
    probs = log_probs.exp()
    if phase < TOKENS_PER_TRIPLET - 1:
        is_past = probs[:, FIRST_TIME:].cumsum(-1) >= 0.5
        token = torch.where(is_past.any(-1), is_past.int().argmax(-1) + FIRST_TIME, EOS)
    else:
        token = probs.argmax(-1)
    token = torch.where(probs[:, PAD] > 0, PAD, token)
    return torch.arange(len(token), device=token.device), token


def _sample(options: DecodingOptions, generator: torch.Generator, scores: Tensor, phase: int) -> tuple[Tensor, Tensor]:
    logits = scores.flatten(0, 1) / options.temperature
    if options.top_k is not None:
        smallest = logits.topk(min(options.top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < smallest, -torch.inf)
    probs = logits.softmax(-1)
    if options.top_p < 1:
        probs = _without_tail(probs, options.top_p)
    # on the CPU, for the same random numbers on all devices and double precision, which GPUs of Apple lack: in single
    # precision, the largest number drawn could round to the sum of the probabilities
    cumulated = probs.cpu().double().cumsum(-1)
    drawn = torch.rand(len(probs), 1, generator=generator) * cumulated[:, -1:]
    token = torch.searchsorted(cumulated, drawn, right=True)[:, 0].to(scores.device)
    return torch.arange(len(token), device=token.device), token


def _without_tail(probs: Tensor, mass: float) -> Tensor:
    """Keep the likeliest tokens that together have a probability of `mass`, and set that of the others to 0."""
    ordered, order = probs.sort(dim=-1, descending=True)
    is_tail = ordered.cumsum(-1) - ordered >= mass
    return torch.zeros_like(probs).scatter(1, order, ordered.masked_fill(is_tail, 0))


def _beam(scores: Tensor, phase: int) -> tuple[Tensor, Tensor]:
    batch, width, size = scores.shape
    score, best = scores.flatten(1).topk(width, dim=-1)
    is_spare = score == -torch.inf  # fewer continuations than beams: padding after a draft that may not end here
    parent = torch.where(is_spare, scores[..., PAD].argmin(-1, keepdim=True), best // size)
    parent = parent + width * torch.arange(batch, device=scores.device)[:, None]
    token = torch.where(is_spare, PAD, best % size)
    return parent.flatten(), token.flatten()
