"""Sequences that models of random weights write about noise, and how likely they are."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import Tensor

from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.decoding.search import Hypothesis, decode
from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.grammar import grammar
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.network.context import Context
from pyannote_pix2seq.vocabulary import DIARIZE, EOS, Triplet

SEQUENTIAL = ("greedy", "sample", "beam")
METHODS = (*SEQUENTIAL, "consensus")
LENGTHS = (19, 3, 11)
MAX_TURNS = 6
PROMPTS = [[Triplet(0.0, 0.6, 0), Triplet(0.8, 1.2, 1)], [], [Triplet(0.1, 0.9, 0)]]

seeds = st.integers(0, 10_000)
few = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def reseed(model: Pix2Seq, seed: int) -> Pix2Seq:
    """New weights: some confident, some not; some stop soon, some never."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        model.pointing.query.weight *= 3
        model.name.weight *= 3
        model.stop.bias.copy_(6 * torch.rand(1, generator=generator) - 1)
    return model


@torch.inference_mode()
def listen(model: Pix2Seq, lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> tuple[Context, Tensor]:
    """Noise of several lengths, in audio tokens, and their time bins."""
    generator = torch.Generator().manual_seed(seed)
    content = torch.randn(len(lengths), max(lengths), model.frontend.content_dim, generator=generator)
    audio = AudioTokens(content, content.new_zeros(*content.shape[:2], 0, 0))
    return model.listen(audio, torch.tensor(lengths)), model.frontend.bins_per_token * torch.tensor(lengths)


def write(
    model: Pix2Seq, lengths: tuple[int, ...] = LENGTHS, prompts: list[list[Triplet]] | None = None, **options: Any
) -> list[Hypothesis]:
    context, num_bins = listen(model, lengths)
    given = None if prompts is None else [model.vocabulary.encode(turns)[:-1] for turns in prompts]
    options.setdefault("max_turns", MAX_TURNS)
    limits = SpeakerLimits(options.pop("min_speakers", 0), options.pop("max_speakers", None))
    return decode(model, context, num_bins, given, DecodingOptions(**options), limits)


@torch.inference_mode()
def log_prob_of(
    model: Pix2Seq, context: Context, num_bins: Tensor, tokens: list[int], num_given: int = 0, **limits: int
) -> float:
    """Log-probability of tokens among those that the grammar allows, all read at once."""
    row = torch.tensor([tokens])
    logits, _ = model.write(context, torch.cat([torch.tensor([[DIARIZE]]), row[:, :-1]], dim=1))
    allowed = grammar(model.vocabulary, row[:, :-1], num_bins=num_bins, **limits)
    log_probs = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
    return float(log_probs.gather(2, row[..., None])[0, num_given:].sum())


def finished(hypothesis: Hypothesis, max_turns: int = MAX_TURNS) -> list[int]:
    """Its tokens and, unless it had to end there, `<eos>`."""
    return [*hypothesis.tokens, EOS] if len(hypothesis.turns) < max_turns else hypothesis.tokens
