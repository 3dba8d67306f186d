from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from language import follows_grammar
from rows import rows
from scipy.ndimage import binary_opening
from torch import Tensor

from pyannote_pix2seq.activity import rasterize
from pyannote_pix2seq.decoding.continuation import choice
from pyannote_pix2seq.decoding.draft import Draft
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.decoding.postprocessing import postprocess
from pyannote_pix2seq.decoding.search import Hypothesis, _hypothesis, decode
from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.grammar import grammar
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.model import Context, Pix2Seq
from pyannote_pix2seq.vocabulary import DIARIZE, EOS, FIRST_TIME, TOKENS_PER_TRIPLET, Triplet, VocabularyError

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


# what holds for every method


@pytest.mark.parametrize("method", METHODS)
@given(seed=seeds, least=st.integers(0, 2), more=st.integers(0, 2))
@few
def test_everything_written_follows_the_grammar(
    tiny_model: Pix2Seq, method: str, seed: int, least: int, more: int
) -> None:
    model = reseed(tiny_model, seed)
    limits = {"min_speakers": least, "max_speakers": max(least + more, 1)}
    for length, hypothesis in zip(LENGTHS, write(model, method=method, **limits), strict=True):
        tokens = hypothesis.tokens
        assert len(tokens) == TOKENS_PER_TRIPLET * len(hypothesis.turns)
        num_bins = torch.tensor([4 * length])
        assert follows_grammar(model.vocabulary, torch.tensor([finished(hypothesis)]), num_bins=num_bins, **limits)
        assert hypothesis.turns == model.vocabulary.decode(tokens)
        assert len(hypothesis.confidence) == len(hypothesis.turns)
        assert all(0 <= sure <= 1 for sure in hypothesis.confidence)
        heard = len({turn.speaker for turn in hypothesis.turns})
        assert least <= heard <= limits["max_speakers"]


@pytest.mark.parametrize("method", SEQUENTIAL)
@given(seed=seeds)
@few
def test_log_prob_is_that_of_the_tokens(tiny_model: Pix2Seq, method: str, seed: int) -> None:
    model = reseed(tiny_model, seed)
    options = {"method": method, "temperature": 0.7, "min_speakers": 1, "max_speakers": 3}
    for prompts in (None, PROMPTS):
        found = write(model, prompts=prompts, **options)
        for i, hypothesis in enumerate(found):
            context, num_bins = listen(model)
            num_given = TOKENS_PER_TRIPLET * len(prompts[i]) if prompts else 0
            one = rows(context, torch.tensor([i])), num_bins[i : i + 1]
            expected = log_prob_of(model, *one, finished(hypothesis), num_given, min_speakers=1, max_speakers=3)
            assert hypothesis.log_prob == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("method", ["greedy", "beam"])
@given(seed=seeds)
@few
def test_a_batch_is_written_like_one_by_one(tiny_model: Pix2Seq, method: str, seed: int) -> None:
    model = reseed(tiny_model, seed)
    together = write(model, prompts=PROMPTS, method=method)
    context, num_bins = listen(model)
    for i, hypothesis in enumerate(together):
        given = [model.vocabulary.encode(PROMPTS[i])[:-1]]
        one = rows(context, torch.tensor([i])), num_bins[i : i + 1]
        options = DecodingOptions(method=method, max_turns=MAX_TURNS)  # type: ignore[arg-type]
        alone = decode(model, *one, given, options)[0]
        assert alone.tokens == hypothesis.tokens
        assert alone.log_prob == pytest.approx(hypothesis.log_prob, abs=1e-4)
        assert alone.confidence == pytest.approx(hypothesis.confidence, abs=1e-4)


@pytest.mark.parametrize("method", METHODS)
@given(seed=seeds)
@few
def test_prompts_are_kept(tiny_model: Pix2Seq, method: str, seed: int) -> None:
    model = reseed(tiny_model, seed)
    for turns, hypothesis in zip(PROMPTS, write(model, prompts=PROMPTS, method=method), strict=True):
        given = model.vocabulary.encode(turns)[:-1]
        assert hypothesis.tokens[: len(given)] == given
        assert follows_grammar(model.vocabulary, torch.tensor([hypothesis.tokens])).all()
        heard = {turn.speaker for turn in hypothesis.turns}
        assert len(heard) >= len(turns) and heard == set(range(len(heard)))


@pytest.mark.parametrize("num_beams", [2, 3, 5])
def test_beams_keep_the_prompts(tiny_model: Pix2Seq, num_beams: int) -> None:
    for prompts in (PROMPTS, [PROMPTS[0], PROMPTS[2], [Triplet(0.2, 0.4, 0)]]):
        found = write(tiny_model, prompts=prompts, method="beam", num_beams=num_beams)
        for turns, hypothesis in zip(prompts, found, strict=True):
            given = tiny_model.vocabulary.encode(turns)[:-1]
            assert hypothesis.tokens[: len(given)] == given


@pytest.mark.parametrize("method", METHODS)
def test_prompts_that_all_have_are_written_at_once(
    tiny_model: Pix2Seq, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    shapes: list[tuple[int, ...]] = []
    original = Pix2Seq.write
    monkeypatch.setattr(
        Pix2Seq, "write", lambda self, c, tokens: shapes.append(tokens.shape) or original(self, c, tokens)
    )
    prompts = [PROMPTS[0], PROMPTS[0], PROMPTS[2]]
    for turns, hypothesis in zip(prompts, write(tiny_model, prompts=prompts, method=method), strict=True):
        assert hypothesis.confidence[: len(turns)] == [1.0] * len(turns)
    # one triplet, the last token of which is written by each of the sequences with what follows
    assert shapes[0] == (3, TOKENS_PER_TRIPLET) and {length for _, length in shapes[1:]} == {1}


@pytest.mark.parametrize("method", SEQUENTIAL)
@pytest.mark.parametrize("max_turns", [1, 2, 5])
def test_sequences_end_after_max_turns(tiny_model: Pix2Seq, method: str, max_turns: int) -> None:
    model = reseed(tiny_model, 0)
    with torch.no_grad():
        model.stop.bias.fill_(-100.0)
    for prompts in (None, [[Triplet(0.0, 0.6, 0)]] * 2):
        for hypothesis in write(model, (100, 19), prompts, method=method, max_turns=max_turns):
            assert len(hypothesis.turns) == max_turns


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_said_where_stopping_is_certain(tiny_model: Pix2Seq, method: str) -> None:
    model = reseed(tiny_model, 0)
    with torch.no_grad():
        model.stop.bias.fill_(100.0)
    for hypothesis in write(model, method=method):
        assert hypothesis == ([], [], [], pytest.approx(0.0, abs=1e-4))
    # unless somebody has to speak
    for hypothesis in write(model, method=method, min_speakers=2):
        assert {turn.speaker for turn in hypothesis.turns} == {0, 1}


@pytest.mark.parametrize("method", SEQUENTIAL)
def test_after_the_last_turn_only_speakers_who_are_missing_are_heard(tiny_model: Pix2Seq, method: str) -> None:
    for seed in range(4):
        for hypothesis in write(reseed(tiny_model, seed), method=method, min_speakers=4, max_turns=2):
            speakers = [turn.speaker for turn in hypothesis.turns]
            assert set(speakers) == {0, 1, 2, 3}
            known = len(set(speakers[:2]))
            assert speakers[2:] == list(range(known, 4))


@torch.inference_mode()
@pytest.mark.parametrize("bias", [-3.0, 0.0, 100.0])
def test_a_turn_that_only_limits_demand_is_as_likely_as_without_them(tiny_model: Pix2Seq, bias: float) -> None:
    model = reseed(tiny_model, 2)
    with torch.no_grad():
        model.stop.bias.fill_(bias)
    context, num_bins = listen(model, (6,))
    found = decode(model, context, num_bins, options=DecodingOptions(max_turns=9), limits=SpeakerLimits(3, 3))[0]
    tokens = torch.tensor([found.tokens])
    logits, _ = model.write(context, torch.cat([torch.tensor([[DIARIZE]]), tokens[:, :-1]], dim=1))
    free = grammar(model.vocabulary, tokens[:, :-1], 0, 3, num_bins)
    stops = logits.masked_fill(~free, -torch.inf).softmax(-1)[0, ::TOKENS_PER_TRIPLET, EOS]
    within = grammar(model.vocabulary, tokens[:, :-1], 3, 3, num_bins)
    forced = ~within[0, ::TOKENS_PER_TRIPLET, EOS]
    assert forced.sum() >= 3
    for sure, stop, is_forced in zip(found.confidence, stops.tolist(), forced.tolist(), strict=True):
        assert not is_forced or sure <= 1 - stop + 1e-5
    if bias == 100.0:  # such a model would not have written a turn
        assert max(found.confidence) < 0.01


# greedy


@torch.inference_mode()
def test_greedy_times_are_medians(tiny_model: Pix2Seq) -> None:
    model = reseed(tiny_model, 1)
    with torch.no_grad():
        model.stop.bias.fill_(-100.0)
    context, num_bins = listen(model, (6,))
    found = decode(model, context, num_bins, options=DecodingOptions(max_turns=3))[0]
    tokens = torch.tensor([found.tokens])
    logits, _ = model.write(context, torch.cat([torch.tensor([[DIARIZE]]), tokens[:, :-1]], dim=1))
    allowed = grammar(model.vocabulary, tokens[:, :-1], num_bins=num_bins)
    probs = logits.masked_fill(~allowed, -torch.inf).softmax(-1)[0]
    times = probs[:, FIRST_TIME : FIRST_TIME + 24]
    mass = torch.stack([times[:, max(t - 2, 0) : t + 3].sum(-1) for t in range(24)], dim=-1)
    for i in range(0, len(found.tokens), TOKENS_PER_TRIPLET):
        start, end, speaker = found.tokens[i : i + TOKENS_PER_TRIPLET]
        for row, token in ((i, start), (i + 1, end)):
            before, until = times[row, : token - FIRST_TIME].sum(), times[row, : token - FIRST_TIME + 1].sum()
            assert before < 0.5 <= until + 1e-5
        assert speaker == probs[i + 2].argmax()
        expected = mass[i, start - FIRST_TIME] * mass[i + 1, end - FIRST_TIME] * probs[i + 2, speaker]
        assert found.confidence[i // TOKENS_PER_TRIPLET] == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize(
    ("end", "times", "expected"),
    [
        (0.0, [0.45, 0.1, 0.45], FIRST_TIME + 1),  # of three times, the middle one
        (0.45, [0.0, 0.45, 0.1], FIRST_TIME + 2),
        (0.55, [0.45, 0.0, 0.0], EOS),
    ],
)
def test_a_median_has_half_of_the_probability_up_to_it(end: float, times: list[float], expected: int) -> None:
    scores = torch.tensor([[[0.0, end, *times]]]).log()
    assert choice(DecodingOptions(method="greedy"))(scores, 0)[1].tolist() == [expected]


# sampling


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


# beam search


@torch.inference_mode()
def all_sequences(model: Pix2Seq, context: Context, num_bins: Tensor, max_turns: int) -> dict[tuple[int, ...], float]:
    """Every sequence within the grammar and its log-probability."""
    found: dict[tuple[int, ...], float] = {}
    drafts: list[list[int]] = [[]]
    for length in range(TOKENS_PER_TRIPLET * max_turns + 1):
        rows = torch.tensor(drafts, dtype=torch.int64).view(len(drafts), length)
        allowed = grammar(model.vocabulary, rows, num_bins=num_bins.expand(len(drafts)), max_speakers=2, last=True)[
            :, 0
        ]
        if length == TOKENS_PER_TRIPLET * max_turns:
            found |= {tuple(draft): log_prob_of(model, context, num_bins, draft, max_speakers=2) for draft in drafts}
            break
        grown = [
            [*draft, token]
            for draft, row in zip(drafts, allowed, strict=True)
            for token in row.nonzero()[:, 0].tolist()
        ]
        ended = [draft for draft in grown if draft[-1] == EOS]
        found |= {tuple(draft): log_prob_of(model, context, num_bins, draft, max_speakers=2) for draft in ended}
        drafts = [draft for draft in grown if draft[-1] != EOS]
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_beam_that_is_wide_enough_finds_the_best_of_all_sequences(tiny_model: Pix2Seq, seed: int) -> None:
    model = reseed(tiny_model, seed)
    context, num_bins = listen(model, (1,))
    every = all_sequences(model, context, num_bins, max_turns=2)
    options = DecodingOptions(method="beam", num_beams=200, max_turns=2)
    found = decode(model, context, num_bins, options=options, limits=SpeakerLimits(max_speakers=2))[0]
    best = max(every, key=every.__getitem__)
    assert finished(found, max_turns=2) == list(best)
    assert found.log_prob == pytest.approx(every[best], abs=1e-4)


@torch.inference_mode()
def beam_by_hand(model: Pix2Seq, context: Context, num_bins: Tensor, width: int) -> tuple[list[int], float]:
    """Beam search with lists."""
    drafts: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(TOKENS_PER_TRIPLET * MAX_TURNS):
        grown = [draft for draft in drafts if EOS in draft[1]]
        for score, tokens in drafts:
            if EOS in tokens:
                continue
            row = torch.tensor([tokens], dtype=torch.int64)
            logits, _ = model.write(context, torch.cat([torch.tensor([[DIARIZE]]), row], dim=1))
            allowed = grammar(model.vocabulary, row, num_bins=num_bins, last=True)[0, 0]
            log_probs = logits[0, -1].masked_fill(~allowed, -torch.inf).log_softmax(-1)
            grown += [(score + float(log_probs[k]), [*tokens, k]) for k in allowed.nonzero()[:, 0].tolist()]
        drafts = sorted(grown, reverse=True)[:width]
    return drafts[0][1], drafts[0][0]


@pytest.mark.parametrize("width", [2, 3, 5])
@given(seed=seeds)
@few
def test_beams_are_those_of_a_search_by_hand(tiny_model: Pix2Seq, width: int, seed: int) -> None:
    model = reseed(tiny_model, seed)
    context, num_bins = listen(model, (1,))
    tokens, score = beam_by_hand(model, context, num_bins, width)
    options = DecodingOptions(method="beam", num_beams=width, max_turns=MAX_TURNS)
    found = decode(model, context, num_bins, options=options)[0]
    assert finished(found) == tokens
    assert found.log_prob == pytest.approx(score, abs=1e-4)


def test_no_finished_hypothesis_is_kept_twice(tiny_model: Pix2Seq, monkeypatch: pytest.MonkeyPatch) -> None:
    num_beams = 200  # more than there are continuations of a triplet
    drafts: list[Draft] = []
    best = Draft.best
    monkeypatch.setattr(Draft, "best", lambda draft, width: drafts.append(draft) or best(draft, width))
    for seed in range(3):
        write(reseed(tiny_model, seed), (1, 1), method="beam", num_beams=num_beams, max_turns=2, max_speakers=2)
        for row in range(0, 2 * num_beams, num_beams):
            one = slice(row, row + num_beams)
            possible = drafts[-1].log_prob[one] > -torch.inf
            kept = [tuple(tokens) for tokens in drafts[-1].tokens[one][possible].tolist()]
            assert len(set(kept)) == len(kept) > 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("least", "most"), [(1, None), (3, 3)])
def test_turns_are_as_loose_as_asked_whoever_is_asked_for(
    tiny_model: Pix2Seq, method: str, least: int, most: int | None
) -> None:
    style = {"min_duration_off": 0.5, "pad_onset": 0.04, "pad_offset": 0.08}
    options = {"method": method, "min_speakers": least, "max_speakers": most, "threshold": 0.2, "seed": 1}
    tight, loose = (write(tiny_model, prompts=None, **options, **more) for more in ({}, style))
    for before, after, tokens in zip(tight, loose, LENGTHS, strict=True):
        num_bins = tokens * tiny_model.frontend.bins_per_token
        expected = postprocess(
            tiny_model.vocabulary, before.tokens, before.confidence, 0, num_bins, DecodingOptions(**style)
        )
        assert (after.tokens, after.confidence) == expected and after.log_prob == before.log_prob
        assert after.turns == tiny_model.vocabulary.decode(after.tokens)
    assert any(before.tokens != after.tokens for before, after in zip(tight, loose, strict=True))


# options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "best"}, "method='best' was given; it has to be one of greedy, sample, beam"),
        ({"temperature": 0.0}, "temperature=0.0 was given; it has to be a number, 0.000001 or more"),
        ({"top_k": 0}, "top_k=0 was given; it has to be a whole number, 1 or more"),
        ({"top_p": 0.0}, "top_p=0.0 was given"),
        ({"top_p": 1.1}, "above 0 and at most 1"),
        ({"temperature": 1e-39}, "temperature=1e-39"),
        ({"temperature": float("inf")}, "temperature=inf"),
        ({"temperature": "1"}, "temperature='1' was given; it has to be a number, 0.000001 or more"),
        ({"top_k": 1.5}, "top_k=1.5"),
        ({"threshold": 1}, "threshold=1 was given; it has to be a number from 0 to below 1"),
        ({"num_samples": 2.5}, "num_samples=2.5 was given; it has to be a whole number, 1 or more"),
        ({"seed": 2**63}, f"seed={2**63} was given; it has to be a whole number from 0"),
        ({"seed": -1}, "seed=-1"),
        ({"num_beams": 0}, "num_beams=0"),
        ({"max_turns": 0}, "max_turns=0"),
        ({"min_duration_off": -1}, "min_duration_off=-1 was given; it has to be a number of seconds, 0 or more"),
        ({"pad_onset": float("inf")}, "pad_onset=inf was given"),
        ({"pad_offset": "0.04"}, "pad_offset='0.04' was given"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecodingOptions(**options)
    with pytest.raises(ValueError, match=message):
        DecodingOptions.of(options)


def test_numbers_of_numpy_are_numbers_and_true_is_none() -> None:
    options = DecodingOptions(num_samples=np.int64(3), temperature=np.float32(0.5), seed=np.uint8(7))
    assert (options.num_samples, options.temperature, options.seed) == (3, 0.5, 7)
    for name in ("num_samples", "temperature", "top_k", "seed"):
        with pytest.raises(ValueError, match=f"{name}=True was given"):
            DecodingOptions(**{name: True})


def test_unknown_options_are_named_and_known_ones_listed() -> None:
    with pytest.raises(TypeError, match=r"Options has no option 7, beam_size, tempreature\. It has .*num_beams.*seed"):
        DecodingOptions.of({"tempreature": 1.0, "beam_size": 3, 7: 7, "seed": 1})  # type: ignore[dict-item]
    assert asdict(DecodingOptions.of({"method": "beam", "num_beams": 3})) == {
        **asdict(DecodingOptions()),
        "method": "beam",
        "num_beams": 3,
    }


def test_chunks_that_are_read_twice_have_fewer_and_calmer_samples() -> None:
    options = DecodingOptions(method="consensus", temperature=0.9, num_samples=32, pad_offset=0.2, seed=3)
    calm = {"temperature": 0.8, "threshold": 0.4, "pad_offset": 0.0}
    assert options.first_pass == replace(options, num_samples=4, **calm)
    assert options.second_pass == replace(options, num_samples=16)
    bold = DecodingOptions(num_samples=9, temperature=0.5, threshold=0.3)
    assert bold.first_pass == replace(bold, num_samples=2)
    assert bold.second_pass == replace(bold, num_samples=5)
    assert DecodingOptions(num_samples=1).first_pass.num_samples == 1


def test_what_is_given_is_triplets(tiny_model: Pix2Seq) -> None:
    context, num_bins = listen(tiny_model, (3,))
    with pytest.raises(VocabularyError, match=r"\(2, 3, 4\) is not a \(start, end, speaker\) triplet"):
        decode(tiny_model, context, num_bins, [[FIRST_TIME, FIRST_TIME + 1, FIRST_TIME + 2]])


@pytest.mark.parametrize("limits", [{"max_speakers": 5}, {"min_speakers": 5}, {"min_speakers": 3, "max_speakers": 2}])
def test_numbers_of_speakers_that_cannot_be_written(tiny_model: Pix2Seq, limits: dict[str, int]) -> None:
    with pytest.raises(VocabularyError, match="1 <= max_speakers <= 4"):
        write(tiny_model, **limits)


def test_one_sample_agrees_with_itself_but_for_what_is_too_short(tiny_model: Pix2Seq) -> None:
    model = reseed(tiny_model, 3)
    alone = write(model, method="consensus", num_samples=1, seed=4)
    sampled = write(model, method="sample", seed=4)
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
