"""How sequences go on: with the likeliest token, with one that is drawn, or in the best ways of a beam."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.vocabulary import EOS, FIRST_TIME, PAD, TOKENS_PER_TRIPLET

Choice = Callable[[Tensor, int, Tensor], tuple[Tensor, Tensor]]
"""Function that selects continuations: (scores (batch, width, size), phase, `Draft.number`) -> (parent, token) of each
draft."""

GOLDEN = (math.sqrt(5) - 1) / 2
"""Its multiples, modulo 1, are evenly spread, and so is any run of consecutive ones."""


def choice(options: DecodingOptions) -> Choice:
    """Function that selects continuations by the method of the options; for a consensus, those of its samples."""
    if options.method == "beam":
        return _beam
    if options.method == "greedy":
        return _greedy
    return partial(_sample, options, torch.Generator().manual_seed(options.seed))


def _greedy(scores: Tensor, phase: int, number: Tensor) -> tuple[Tensor, Tensor]:
    log_probs = scores.flatten(0, 1).log_softmax(-1)
    probs = log_probs.exp()
    if phase < TOKENS_PER_TRIPLET - 1:
        is_past = probs[:, FIRST_TIME:].cumsum(-1) >= 0.5
        token = torch.where(is_past.any(-1), is_past.int().argmax(-1) + FIRST_TIME, EOS)
    else:
        token = probs.argmax(-1)
    token = torch.where(probs[:, PAD] > 0, PAD, token)
    return torch.arange(len(token), device=token.device), token


def _sample(
    options: DecodingOptions, generator: torch.Generator, scores: Tensor, phase: int, number: Tensor
) -> tuple[Tensor, Tensor]:
    # on the CPU, for the same random numbers on all devices and double precision, which GPUs of Apple lack: in single
    # precision, the largest number drawn could round to the sum of the probabilities
    cumulated = _probs(options, scores.flatten(0, 1)).cpu().double().cumsum(-1)
    if options.method == "consensus" and options.spread:
        drawn = _spread(cumulated, number.cpu() // options.num_samples, generator)
    else:
        drawn = torch.rand(len(cumulated), 1, generator=generator, dtype=torch.float)
    token = torch.searchsorted(cumulated, drawn * cumulated[:, -1:], right=True)[:, 0].to(scores.device)
    return torch.arange(len(token), device=token.device), token


def _probs(options: DecodingOptions, scores: Tensor) -> Tensor:
    """Probabilities from which tokens are drawn, up to a factor: (num_drafts, size), from scores of that shape."""
    logits = scores / options.temperature
    if options.top_k is not None:
        smallest = logits.topk(min(options.top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < smallest, -torch.inf)
    probs = logits.softmax(-1)
    return _without_tail(probs, options.top_p) if options.top_p < 1 else probs


def _spread(cumulated: Tensor, group: Tensor, generator: torch.Generator) -> Tensor:
    """Random numbers for the drafts, (num_drafts, 1), evenly spread among those of a group that are alike.

    Each alone is uniform, but drafts of a group that expect similar tokens get numbers that differ, so that the vote of
    a group varies less from seed to seed than if they were independent: array-RQMC (L'Ecuyer, Lecot and Tuffin,
    Operations Research 56(4), 2008), with the expected token as the state by which drafts are sorted. Numbers go on
    from group to group, so that the groups of a batch are not independent of each other.
    """
    expected = 1 - (cumulated / cumulated[:, -1:]).mean(1)  # relative to the number of tokens, from 0 to below 1
    order = (group + expected).argsort(stable=True)
    start = torch.rand(1, generator=generator, dtype=torch.float)
    numbers = start + GOLDEN * torch.arange(len(order), dtype=torch.double)
    return torch.empty_like(expected).scatter(0, order, numbers % 1)[:, None]


def _without_tail(probs: Tensor, mass: float) -> Tensor:
    """Keep the likeliest tokens that together have a probability of `mass`, and set that of the others to 0."""
    ordered, order = probs.sort(dim=-1, descending=True)
    is_tail = ordered.cumsum(-1) - ordered >= mass
    return torch.zeros_like(probs).scatter(1, order, ordered.masked_fill(is_tail, 0))


def _beam(scores: Tensor, phase: int, number: Tensor) -> tuple[Tensor, Tensor]:
    batch, width, size = scores.shape
    score, best = scores.flatten(1).topk(width, dim=-1)
    is_spare = score == -torch.inf  # fewer continuations than beams: padding after a draft that may not end here
    parent = torch.where(is_spare, scores[..., PAD].argmin(-1, keepdim=True), best // size)
    parent = parent + width * torch.arange(batch, device=scores.device)[:, None]
    token = torch.where(is_spare, PAD, best % size)
    return parent.flatten(), token.flatten()
