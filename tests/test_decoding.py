"""What holds for every method of decoding, and what the greedy one takes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from language import follows_grammar
from rows import rows
from sequences import (
    LENGTHS,
    MAX_TURNS,
    METHODS,
    PROMPTS,
    SEQUENTIAL,
    few,
    finished,
    listen,
    log_prob_of,
    reseed,
    seeds,
    write,
)

from pyannote_pix2seq.decoding.continuation import choice
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.decoding.postprocessing import postprocess
from pyannote_pix2seq.decoding.search import decode
from pyannote_pix2seq.grammar import grammar
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.vocabulary import DIARIZE, EOS, FIRST_TIME, TOKENS_PER_TRIPLET, Triplet, VocabularyError

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


def test_what_is_given_is_triplets(tiny_model: Pix2Seq) -> None:
    context, num_bins = listen(tiny_model, (3,))
    with pytest.raises(VocabularyError, match=r"\(2, 3, 4\) is not a \(start, end, speaker\) triplet"):
        decode(tiny_model, context, num_bins, [[FIRST_TIME, FIRST_TIME + 1, FIRST_TIME + 2]])


@pytest.mark.parametrize("limits", [{"max_speakers": 5}, {"min_speakers": 5}, {"min_speakers": 3, "max_speakers": 2}])
def test_numbers_of_speakers_that_cannot_be_written(tiny_model: Pix2Seq, limits: dict[str, int]) -> None:
    with pytest.raises(VocabularyError, match="1 <= max_speakers <= 4"):
        write(tiny_model, **limits)


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
    assert choice(DecodingOptions(method="greedy"))(scores, 0, torch.tensor([0]))[1].tolist() == [expected]
