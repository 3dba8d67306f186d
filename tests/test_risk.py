"""Sequences that are drawn, how wrong they are, and the loss that makes better ones likelier."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from language import follows_grammar, spelled
from pyannote.core import Annotation, Segment, Timeline
from torch import Tensor

from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.decoding.search import decode
from pyannote_pix2seq.der import der_metric
from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.grammar import grammar
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.network.context import Context
from pyannote_pix2seq.specifications import specifications_of
from pyannote_pix2seq.training import risk
from pyannote_pix2seq.training.losses import chosen_log_probs
from pyannote_pix2seq.training.risk import HORIZON, Samples, draw, errors, merits, risk_loss
from pyannote_pix2seq.training.windows import Batch
from pyannote_pix2seq.vocabulary import DIARIZE, EOS, FIRST_TIME, PAD, Vocabulary


def bins(*speakers: str) -> Tensor:
    """Activity (num_bins, num_speakers) of speakers that are drawn bin by bin, such as `"..##"`."""
    return torch.tensor([[float(mark == "#") for mark in speaker] for speaker in speakers]).T


# how wrong a sequence is


@pytest.mark.parametrize(
    ("written", "reference", "expected"),
    [
        (("####....", "....####"), ("####....", "....####"), "00000000"),
        (("....####", "####...."), ("####....", "....####"), "00000000"),  # named otherwise
        (("##......", "........"), ("####....", "....####"), "00111111"),  # missed
        (("####.###", "....####"), ("####....", "....####"), "00000111"),  # false alarms
        (("######..", "......##"), ("####....", "....####"), "00001100"),  # confused
        (("########", "........"), ("####....", "..######"), "11110000"),  # the one who is there for longer
    ],
)
def test_errors_are_those_of_der(written: tuple[str, ...], reference: tuple[str, ...], expected: str) -> None:
    assert errors(bins(*written), bins(*reference), 0).tolist() == [float(digit) for digit in expected]


def test_prompted_speakers_are_who_they_are() -> None:
    written, reference = bins("....####", "####....", "........"), bins("####....", "....####", "........")
    assert errors(written, reference, 0).sum() == 0
    assert errors(written, reference, 1).sum() == 8  # nobody but the first can be the first
    assert errors(written, reference, 2).sum() == 8
    strangers = bins("........", "....####", "####....")
    assert errors(strangers, bins("........", "####....", "....####"), 1).sum() == 0


def test_errors_are_counted_as_exactly_within_autocast() -> None:
    """Of the first speaker, 257 bins are right; to bfloat16, they are as many as 256."""
    written, reference = torch.zeros(513, 2), torch.zeros(513, 2)
    written[:, 0] = reference[:256, 0] = reference[256:, 1] = 1
    with torch.autocast("cpu", torch.bfloat16):
        assert errors(written, reference, 0).sum() == 256


def annotation(activity: Tensor) -> Annotation:
    turns = Annotation()
    for at, speaker in activity.nonzero().tolist():
        turns[Segment(at, at + 1), f"{at} {speaker}"] = speaker
    return turns.support()


activities = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=5, max_size=20)


@given(activities, activities)
@settings(deadline=None)
def test_all_errors_together_are_those_of_pyannote_metrics(
    written: list[list[bool]], reference: list[list[bool]]
) -> None:
    length = min(len(written), len(reference))
    both = [torch.tensor(rows[:length]).float() for rows in (written, reference)]
    uem = Timeline([Segment(0, length)])
    detail = der_metric()(annotation(both[1]), annotation(both[0]), uem=uem, detailed=True)
    expected = sum(detail[name] for name in ("false alarm", "missed detection", "confusion"))
    assert float(errors(*both, 0).sum()) == pytest.approx(expected)


# what is better than the other samples


def test_merit_is_how_many_fewer_errors_are_to_come_than_elsewhere() -> None:
    wrong = torch.tensor([[[0.0, 0.0, 4.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    to_come = torch.tensor([[1.0, 2.0, 4.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    others = torch.tensor([[0.5, 0.0, 0.0], [0.5, 1.0, 2.0], [1.0, 1.0, 2.0]])
    torch.testing.assert_close(merits(wrong, 0.5), (others - to_come)[None])
    assert torch.equal(merits(wrong, 0.0)[..., -1], torch.tensor([[-4.0, 2.0, 2.0]]))


def test_windows_do_not_compete() -> None:
    wrong = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(0))
    apart = torch.cat([merits(window[None], 0.9) for window in wrong])
    torch.testing.assert_close(merits(wrong, 0.9), apart)
    torch.testing.assert_close(merits(wrong, 0.9).sum(1), torch.zeros(3, 6), atol=1e-5, rtol=0)


# the loss


def make_model(num_speakers: int, window: float = 0.16) -> Pix2Seq:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Pix2Seq(frontend="mel", width=8, num_layers=1, num_heads=2)
        model.specifications = specifications_of(Vocabulary(window, 0.04, num_speakers))
        model.build()
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


def hear(model: Pix2Seq, num_windows: int, num_tokens: int = 1, lengths: Tensor | None = None) -> Context:
    generator = torch.Generator().manual_seed(1)
    content = torch.randn(num_windows, num_tokens, model.frontend.content_dim, generator=generator)
    return model.listen(AudioTokens(content, content.new_zeros(num_windows, num_tokens, 0, 0)), lengths)


def sequences(vocabulary: Vocabulary, num_bins: int, begun: tuple[int, ...] = ()) -> list[list[int]]:
    """All that can be written about so many time bins, without `<eos>`."""
    allowed = grammar(vocabulary, torch.tensor([begun], dtype=torch.int64), num_bins=torch.tensor([num_bins]))[0, -1]
    longer = [
        sequences(vocabulary, num_bins, (*begun, token)) for token in allowed.nonzero()[:, 0].tolist() if token > EOS
    ]
    ended = [list(begun)] if allowed[EOS] else []
    return ended + [sequence for several in longer for sequence in several]


def rows(written: list[list[int]]) -> Tensor:
    longest = max(map(len, written)) + 3
    return torch.tensor([[*row, EOS, *[PAD] * (longest - len(row) - 1)] for row in written])


def gradient(loss: Tensor, model: Pix2Seq) -> Tensor:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    pairs = zip(found, weights, strict=True)
    return torch.cat([torch.zeros_like(weight).flatten() if grad is None else grad.flatten() for grad, weight in pairs])


def test_the_gradient_is_that_of_the_expected_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """On average over all pairs that could be drawn, of one speaker, whom there is nothing to match with."""
    monkeypatch.setattr(risk, "HORIZON", 1e9)
    model = make_model(num_speakers=1)
    written = sequences(model.vocabulary, 4)
    assert len(written) == 13
    tokens, num_bins = rows(written), torch.tensor([4]).repeat(len(written))
    reference = bins(".##.")
    activity = torch.stack([risk.rasterize(model.vocabulary, row, torch.zeros(4, 1)) for row in written])
    wrong = torch.stack([errors(each, reference, 0) for each in activity])

    def log_probs() -> Tensor:
        logits, _ = model.write(
            hear(model, 1).repeat(len(written)), torch.nn.functional.pad(tokens[:, :-1], (1, 0), value=DIARIZE)
        )
        return chosen_log_probs(model.vocabulary, logits, tokens, num_bins).masked_fill(tokens == PAD, 0).sum(1)

    likely = log_probs().exp()
    torch.testing.assert_close(likely.sum(), torch.tensor(1.0))
    expected = gradient((likely * wrong.sum(1)).sum() * 0.04, model)
    found = torch.zeros_like(expected)
    for one, other in product(range(len(written)), repeat=2):
        pair = [one, other]
        samples = Samples(tokens[pair], torch.zeros(2, dtype=torch.int64), num_bins[pair], wrong[pair])
        loss = risk_loss(model, hear(model, 1).repeat(2), samples)
        found += (likely[one] * likely[other]).detach() * gradient(loss, model)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-3)
    assert expected.norm() > 1e-3


def loss_weights(tokens: list[int], num_given: int, wrong: Tensor, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How much the loss wants each token of the first of two samples, in errors to come."""
    num_bins = torch.tensor([len(wrong)] * 2)
    model = make_model(num_speakers=2, window=0.04 * len(wrong))
    chosen = torch.zeros(2, len(tokens), requires_grad=True)
    monkeypatch.setattr(risk, "chosen_log_probs", lambda *_: chosen)
    written = torch.tensor([tokens, tokens])
    samples = Samples(written, torch.tensor([num_given] * 2), num_bins, torch.stack([wrong, 0 * wrong]))
    risk_loss(model, hear(model, 1, num_tokens=len(wrong) // 4).repeat(2), samples).backward()
    assert chosen.grad is not None
    return (-2 / 0.04 * chosen.grad[0]).tolist()  # of two samples, bins of 0.04 s


def test_errors_count_from_the_turn_before_on_and_the_less_the_later(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = make_model(num_speakers=2, window=0.8).vocabulary
    tokens = [*spelled(vocabulary, (2, 4, 0), (6, 9, 1), (8, 9, 0)), EOS, PAD, PAD]
    wrong = torch.zeros(20)
    wrong[7] = 1
    worth = [-math.exp(-0.04 * (7 - at) / HORIZON) if at <= 7 else 0 for at in (0, 2, 2, 2, 6, 6, 6, 8, 8, 8)]
    assert loss_weights(tokens, 0, wrong, monkeypatch) == pytest.approx([*worth, 0, 0], abs=1e-4)


def test_prompts_are_not_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = make_model(num_speakers=2, window=0.8).vocabulary
    tokens = [*spelled(vocabulary, (2, 4, 0), (6, 9, 1)), EOS, PAD, PAD]
    worth = loss_weights(tokens, 3, torch.ones(20), monkeypatch)
    assert worth[:3] == [0, 0, 0] and all(value < -9 for value in worth[3:7]) and worth[7:] == [0, 0]


def test_the_end_after_as_many_turns_as_may_be_is_not_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = make_model(num_speakers=2, window=8.0).vocabulary
    turns = [(start, start + 1, 0) for start in range(100)]
    for written, is_learned in ((turns[:99], True), (turns, False)):
        tokens = [*spelled(vocabulary, *written), EOS, PAD, PAD]
        worth = loss_weights(tokens, 0, torch.ones(200), monkeypatch)
        assert all(worth[:-3]) and bool(worth[-3]) == is_learned and worth[-2:] == [0, 0]


# what is drawn


def batch_of(vocabulary: Vocabulary, num_windows: int, num_tokens: int, *turns: tuple[int, int, int]) -> Batch:
    """The same turns in every window; in all but the first of these, the first one is a prompt."""
    tokens = torch.tensor([[*spelled(vocabulary, *turns), EOS]]).repeat(num_windows, 1)
    activity = risk.rasterize(vocabulary, tokens[0].tolist(), torch.zeros(4 * num_tokens, vocabulary.num_speakers))
    given = torch.tensor([0, *[3] * (num_windows - 1)])
    lengths = torch.full((num_windows,), num_tokens)
    return Batch(
        AudioTokens(torch.zeros(0), torch.zeros(0)),
        lengths,
        4 * lengths,
        0 * given,
        tokens,
        given,
        activity.repeat(num_windows, 1, 1),
    )


def test_what_is_drawn_begins_with_prompts_and_is_compared_with_its_own_window() -> None:
    model = make_model(num_speakers=2, window=0.8)
    batch = batch_of(model.vocabulary, 3, 5, (0, 3, 0), (6, 9, 1))
    batch = replace(batch, activity=batch.activity * torch.tensor([1.0, 1.0, 0.0])[:, None, None])
    samples = draw(model, hear(model, 3, num_tokens=5).repeat(4), batch, seed=0)
    assert samples.tokens.shape[0] == 12 and samples.tokens.shape[1] % 3 == 0 and samples.errors.shape == (12, 20)
    assert samples.num_given.tolist() == [0] * 4 + [3] * 8 and samples.num_bins.tolist() == [20] * 12
    assert follows_grammar(model.vocabulary, samples.tokens, num_bins=samples.num_bins).all()
    assert len({tuple(row) for row in samples.tokens.tolist()}) > 9
    for row, wrong, num_given, reference in zip(
        samples.tokens.tolist(),
        samples.errors,
        samples.num_given.tolist(),
        batch.activity.repeat_interleave(4, 0),
        strict=True,
    ):
        assert (
            row[:num_given] == batch.tokens[0, :num_given].tolist()
            and EOS in row
            and row[0] >= (FIRST_TIME if num_given else EOS)
        )
        activity = risk.rasterize(model.vocabulary, row, torch.zeros(20, 2))
        assert torch.equal(wrong, errors(activity, reference, num_given // 3))


def test_what_is_learned_from_has_the_probability_with_which_it_was_drawn() -> None:
    """In windows of different lengths, behind prompts or not."""
    model = make_model(num_speakers=2, window=0.8)
    lengths = torch.tensor([5, 3, 4])
    batch = replace(batch_of(model.vocabulary, 3, 5, (0, 3, 0), (6, 9, 1)), lengths=lengths, num_bins=4 * lengths)
    batch.tokens[2, 0] += 1  # the prompts of two windows differ
    context = hear(model, 3, num_tokens=5, lengths=lengths).repeat(4)
    samples = draw(model, context, batch, seed=0)
    num_bins = batch.num_bins.repeat_interleave(4)
    given = [row[:count].tolist() for row, count in zip(batch.tokens, (0, 3, 3), strict=True) for _ in range(4)]
    drawn = decode(model, context, num_bins, given, DecodingOptions(method="sample", seed=0))
    assert rows([sample.tokens for sample in drawn]).tolist() == samples.tokens.tolist()
    assert torch.equal(samples.num_bins, num_bins)
    logits, _ = model.write(context, torch.nn.functional.pad(samples.tokens[:, :-1], (1, 0), value=DIARIZE))
    log_probs = chosen_log_probs(model.vocabulary, logits, samples.tokens, num_bins)
    behind = torch.arange(log_probs.shape[1]) >= samples.num_given[:, None]
    torch.testing.assert_close((log_probs * behind).sum(1), torch.tensor([sample.log_prob for sample in drawn]))


def test_the_seed_decides_what_is_drawn() -> None:
    model = make_model(num_speakers=2, window=0.8)
    batch = batch_of(model.vocabulary, 2, 5, (0, 3, 0), (6, 9, 1))
    drawn = [
        draw(model, hear(model, 2, num_tokens=5).repeat(3), batch, seed=seed).tokens.tolist() for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_sequences_get_better() -> None:
    """Of one speaker for most of the time: to write nothing would be wrong in 16 of 20 bins."""
    model = make_model(num_speakers=2, window=0.8)
    batch = batch_of(model.vocabulary, 1, 5, (2, 17, 0))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    wrong = []
    for step in range(80):
        context = hear(model, 1, num_tokens=5).repeat(16)
        samples = draw(model, context, batch, seed=step)
        optimizer.zero_grad()
        risk_loss(model, context, samples).backward()
        optimizer.step()
        wrong.append(float(samples.errors.sum(1).mean()))
    assert wrong[0] > 16 and wrong[-1] < 4
