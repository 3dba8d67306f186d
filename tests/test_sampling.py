"""Sampling: how often each token is drawn, and what temperature, limits and seeds do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from rows import rows
from scipy.ndimage import binary_opening
from sequences import LENGTHS, MAX_TURNS, PROMPTS, few, listen, reseed, seeds, write
from torch import Tensor

from pyannote_pix2seq.activity import rasterize
from pyannote_pix2seq.decoding import continuation
from pyannote_pix2seq.decoding.continuation import choice
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.decoding.search import _hypothesis, decode
from pyannote_pix2seq.grammar import grammar
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.network.context import Context
from pyannote_pix2seq.vocabulary import DIARIZE, EOS, TOKENS_PER_TRIPLET


@torch.inference_mode()
def test_samples_that_finish_early_do_not_disturb_the_others(
    tiny_model: Pix2Seq, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, count, batches = tiny_model, 12, []
    with torch.no_grad():
        model.stop.weight.zero_()
        model.stop.bias.fill_(-2.0)
    context, num_bins = listen(model, (19, 12))
    every = num_bins.repeat_interleave(count)
    write = Pix2Seq.write
    monkeypatch.setattr(
        Pix2Seq, "write", lambda self, context, tokens: batches.append(len(tokens)) or write(self, context, tokens)
    )
    found = decode(model, context.repeat(count), every, options=DecodingOptions(method="sample", max_turns=MAX_TURNS))
    monkeypatch.undo()
    assert batches[0] == 2 * count and batches == sorted(batches, reverse=True) and batches[-1] <= count / 2
    for number, sample in enumerate(found):
        alone = rows(context, torch.tensor([number // count]))
        tokens = torch.tensor([[*sample.tokens, EOS]])
        logits, _ = model.write(alone, torch.cat([torch.tensor([[DIARIZE]]), tokens[:, :-1]], dim=1))
        allowed = grammar(model.vocabulary, tokens[:, :-1], num_bins=every[number : number + 1])
        log_probs = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
        expected = log_probs.gather(2, tokens[..., None])[0, :, 0]
        if len(sample.turns) == MAX_TURNS:  # then it has to stop
            expected = expected[:-1]
        assert sample.log_prob == pytest.approx(float(expected.sum()), abs=1e-3)


def test_the_seed_decides_what_is_sampled(tiny_model: Pix2Seq) -> None:
    torch.manual_seed(1)
    first = write(tiny_model, method="sample", seed=3)
    torch.manual_seed(2)
    assert write(tiny_model, method="sample", seed=3) == first
    assert write(tiny_model, method="sample", seed=6) != first


@torch.inference_mode()
@pytest.mark.parametrize("method", ["sample", "consensus"])
def test_the_seed_decides_what_is_sampled_whatever_precision_other_tensors_have(
    tiny_model: Pix2Seq, method: Any
) -> None:
    context, num_bins = listen(tiny_model)
    options = DecodingOptions(method=method, max_turns=MAX_TURNS)
    first = decode(tiny_model, context, num_bins, options=options)
    torch.set_default_dtype(torch.float64)
    try:
        second = decode(tiny_model, context, num_bins, options=options)
    finally:
        torch.set_default_dtype(torch.float32)
    assert [found.tokens for found in second] == [found.tokens for found in first]
    assert [found.log_prob for found in second] == pytest.approx([found.log_prob for found in first])  # of all samples


def test_confidence_is_a_probability_whatever_rounding_adds(tiny_model: Pix2Seq) -> None:
    tokens = [*tiny_model.vocabulary.triplet(3, 9, 0), EOS]
    assert _hypothesis(tiny_model.vocabulary, tokens, [1 + 1e-7, 1.0, 1.0, 0.5], -0.1).confidence == [1.0]
    assert _hypothesis(tiny_model.vocabulary, tokens, [0.5, 0.5, 0.8, 0.1], -0.1).confidence == [pytest.approx(0.2)]


def likeliest(model: Pix2Seq, context: Context, num_bins: Tensor) -> list[int]:
    """Take the likeliest token again and again."""
    tokens: list[int] = []
    for _ in range(TOKENS_PER_TRIPLET * MAX_TURNS):
        row = torch.tensor([tokens], dtype=torch.int64)
        logits, _ = model.write(context, torch.cat([torch.tensor([[DIARIZE]]), row], dim=1))
        allowed = grammar(model.vocabulary, row, num_bins=num_bins, last=True)
        token = int(logits[:, -1].masked_fill(~allowed[:, 0], -torch.inf).argmax())
        if token == EOS:
            break
        tokens.append(token)
    return tokens


@pytest.mark.parametrize(
    "options",
    [
        {"method": "sample", "top_k": 1},
        {"method": "sample", "top_p": 1e-6},
        {"method": "sample", "temperature": 1e-6},
        {"method": "beam", "num_beams": 1},
    ],
)
@given(seed=seeds)
@few
def test_without_choice_the_likeliest_token_is_taken(tiny_model: Pix2Seq, options: dict[str, Any], seed: int) -> None:
    model = reseed(tiny_model, seed)
    for i, hypothesis in enumerate(write(model, **options)):
        context, num_bins = listen(model)
        expected = likeliest(model, rows(context, torch.tensor([i])), num_bins[i : i + 1])
        assert hypothesis.tokens == expected


def first_tokens(model: Pix2Seq, count: int, **options: Any) -> tuple[Tensor, Tensor]:
    """How often each token is sampled first, and its probability."""
    lengths = (2,) * count
    context, num_bins = listen(model, lengths)
    context = rows(context, torch.zeros(count, dtype=torch.int64))
    options = {"method": "sample", "max_turns": 1, **options}
    written = decode(model, context, num_bins, options=DecodingOptions(**options))
    found = torch.tensor([(hypothesis.tokens or [EOS])[0] for hypothesis in written])
    with torch.inference_mode():
        logits, _ = model.write(rows(context, torch.tensor([0])), torch.tensor([[DIARIZE]]))
    nothing = torch.empty(1, 0, dtype=torch.int64)
    allowed = grammar(model.vocabulary, nothing, num_bins=num_bins[:1], last=True)
    probs = (logits / options.get("temperature", 1.0)).masked_fill(~allowed, -torch.inf).softmax(-1)[0, 0]
    return found.bincount(minlength=model.vocabulary.size) / count, probs


def test_samples_are_as_frequent_as_they_are_likely(tiny_model: Pix2Seq) -> None:
    for temperature in (1.0, 2.0):
        frequency, probs = first_tokens(reseed(tiny_model, 5), 2000, temperature=temperature)
        # 7 starts or the end; within four standard deviations
        assert (frequency > 0).sum() <= 8
        assert ((frequency - probs).abs() <= 4 * (probs * (1 - probs) / 2000).sqrt() + 1e-3).all()


def test_unlikely_tokens_are_left_out(tiny_model: Pix2Seq) -> None:
    model = reseed(tiny_model, 5)
    _, probs = first_tokens(model, 1, temperature=5.0)
    order = probs.argsort(descending=True)
    frequency, _ = first_tokens(model, 500, top_k=3, temperature=5.0)
    assert set(frequency.nonzero()[:, 0].tolist()) == set(order[:3].tolist())
    nucleus = int((probs[order].cumsum(0) < 0.7).sum()) + 1
    assert 1 < nucleus < 8
    frequency, _ = first_tokens(model, 500, top_p=0.7, temperature=5.0)
    assert set(frequency.nonzero()[:, 0].tolist()) == set(order[:nucleus].tolist())


def drawn(probs: Tensor, **options: Any) -> Tensor:
    """Tokens that are drawn for the drafts (num_drafts, size) of a consensus."""
    choose = choice(DecodingOptions(**{"method": "consensus", **options}))
    return choose(probs.log()[:, None], 0, torch.arange(len(probs)))[1]


@given(seed=seeds)
@few
def test_samples_that_expect_the_same_draw_tokens_as_often_as_they_are_likely(seed: int) -> None:
    # of 32 samples of each of five recordings, half expect one of the first four tokens, half one of the last four
    generator = torch.Generator().manual_seed(seed)
    is_late = torch.stack([torch.randperm(32, generator=generator) < 16 for _ in range(5)]).flatten()
    quarters = (0.05 * torch.randn(160, 4, generator=generator)).softmax(-1)
    probs = torch.where(
        is_late[:, None], torch.cat([0 * quarters, quarters], 1), torch.cat([quarters, 0 * quarters], 1)
    )
    tokens = drawn(probs, num_samples=32, seed=seed).split(32)
    counts = torch.stack([token.bincount(minlength=8) for token in tokens])
    assert (counts - 4).abs().max() <= 2  # if independent, one in seven is farther from 4
    assert (counts - 4).square().double().mean() < 1  # if independent, 3 on average


def test_those_that_are_spread_are_the_samples_of_one_recording(
    tiny_model: Pix2Seq, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[Tensor] = []
    spread = continuation._spread
    monkeypatch.setattr(
        continuation, "_spread", lambda cumulated, group, *rest: groups.append(group) or spread(cumulated, group, *rest)
    )
    with torch.no_grad():
        tiny_model.stop.weight.zero_()
        tiny_model.stop.bias.fill_(-1.0)
    write(tiny_model, prompts=PROMPTS, method="consensus", num_samples=16)
    sizes = [group.bincount() for group in groups]
    assert sizes[0].tolist() == [16] * 3 and len(sizes[-1]) == 3 and sizes[-1][0] < 16  # some were put aside
    assert all((group.diff() >= 0).all() and (size == size[0]).all() for group, size in zip(groups, sizes, strict=True))


def test_samples_that_are_not_spread_are_independent() -> None:
    probs = torch.rand(16, 20, generator=torch.Generator().manual_seed(0))
    for seed in range(5):
        token = drawn(probs, seed=seed, spread=False).tolist()
        assert token == drawn(probs, seed=seed, method="sample").tolist()
        assert token != drawn(probs, seed=seed).tolist()


def test_each_sample_of_a_consensus_is_drawn_as_if_it_were_alone() -> None:
    probs = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]).repeat(4, 1)
    tokens = torch.stack([drawn(probs, num_samples=8, seed=seed) for seed in range(2000)])
    frequency = torch.nn.functional.one_hot(tokens, 3).double().mean(0)
    assert ((frequency - probs).abs() < 4 * (probs * (1 - probs) / 2000).sqrt()).all()


@pytest.mark.parametrize(
    ("lengths", "options"), [((19,), {"seed": 2}), ((11,), {"seed": 2}), (LENGTHS, {"seed": 4, "spread": False})]
)
def test_one_sample_agrees_with_itself_but_for_what_is_too_short(
    tiny_model: Pix2Seq, lengths: tuple[int, ...], options: dict[str, Any]
) -> None:
    model = reseed(tiny_model, 3)
    alone = write(model, lengths, method="consensus", num_samples=1, **options)
    sampled = write(model, lengths, method="sample", **options)
    assert any(hypothesis.turns for hypothesis in alone)
    for one, other in zip(alone, sampled, strict=True):
        assert one.log_prob == other.log_prob and all(sure == 1 for sure in one.confidence)
        activity, expected = (
            rasterize(model.vocabulary, tokens, torch.zeros(model.vocabulary.num_bins, model.vocabulary.num_speakers))
            for tokens in (one.tokens, other.tokens)
        )
        long = binary_opening(expected.numpy(), np.ones((5, 1)))  # five bins on end, 0.2 s
        # who is left with no turn has no name, so that those of others may change
        assert sorted(activity.T.bool().tolist()) == sorted(long.T.tolist())
