import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pyannote_pix2seq.grammar import grammar
from pyannote_pix2seq.training.losses import TIME_WEIGHTS, activity_loss, sequence_loss
from pyannote_pix2seq.vocabulary import EOS, FIRST_TIME, PAD, Triplet, Vocabulary

V = Vocabulary(window=20.0, resolution=0.5, num_speakers=3)
A, B, C = range(V.first_speaker, V.size)
IMPOSSIBLE = -1e4

turns = st.lists(
    st.builds(
        lambda start, duration, speaker: Triplet(start, min(start + duration, V.window), speaker),
        st.floats(0, V.window),
        st.floats(0, 6),
        st.integers(0, 2),
    ),
    max_size=12,
)


def entropy(*weights: float) -> float:
    """In nats."""
    return -sum(w / sum(weights) * math.log(w / sum(weights)) for w in weights)


def log_of(*targets: dict[int, float]) -> Tensor:
    """Logits of a model that gives each position the distribution of these weights: (1, num_tokens, size)."""
    logits = torch.full((1, len(targets), V.size), IMPOSSIBLE)
    for position, target in enumerate(targets):
        for token, weight in target.items():
            logits[0, position, token] = math.log(weight)
    return logits


def around(time_bin: int, weights: tuple[float, ...] = TIME_WEIGHTS) -> dict[int, float]:
    return {FIRST_TIME + time_bin + offset: weight for offset, weight in zip(range(-2, 3), weights, strict=True)}


def loss_of(logits: Tensor, tokens: list[list[int]], given: int = 0, num_bins: int = V.num_bins) -> Tensor:
    rows = torch.tensor(tokens)
    return sequence_loss(V, logits, rows, torch.full((len(rows),), given), torch.full((len(rows),), num_bins))


def random_logits(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, V.size, generator=torch.Generator().manual_seed(seed))


def target_of(tokens: Tensor, num_bins: int = V.num_bins, seed: int = 0) -> Tensor:
    """Distribution that the loss wants: its gradient is what was predicted minus that. (1, num_tokens, size)"""
    logits = random_logits(*tokens.shape, seed=seed).double().requires_grad_()
    loss = loss_of(logits, tokens.tolist(), num_bins=num_bins)
    loss.backward()
    assert logits.grad is not None and torch.isfinite(loss)
    allowed = grammar(V, tokens[:, :-1], num_bins=torch.tensor([num_bins]))
    probs = logits.detach().float().masked_fill(~allowed, -torch.inf).softmax(-1)
    return probs - logits.grad.float() * tokens.shape[1]


# the written sequence


def test_a_perfect_model_is_left_with_the_entropy_of_the_smoothing() -> None:
    tokens = [FIRST_TIME + 10, FIRST_TIME + 20, A, EOS]
    logits = log_of(around(10), around(20), {A: 1.0}, {EOS: 1.0})
    # -(2/9 ln 1/9 + 4/9 ln 2/9 + 3/9 ln 3/9) = 1.52296 for each time, nothing for A and the end
    assert entropy(*TIME_WEIGHTS) == pytest.approx(1.52296, abs=1e-5)
    assert loss_of(logits, [tokens]).item() == pytest.approx(2 * 1.52296 / 4, abs=1e-5)


def test_forbidden_neighbours_get_nothing() -> None:
    # an end right after its start: the bins before it are forbidden, 3 + 2 + 1 are left
    tokens = [FIRST_TIME + 10, FIRST_TIME + 11, A, EOS]
    logits = log_of(around(10), {FIRST_TIME + 11 + k: 3 - k for k in range(3)}, {A: 1.0}, {EOS: 1.0})
    expected = (entropy(1, 2, 3, 2, 1) + entropy(3, 2, 1)) / 4
    assert loss_of(logits, [tokens]).item() == pytest.approx(expected, abs=1e-5)


def test_the_last_bin_of_a_shorter_recording_has_no_later_neighbours() -> None:
    tokens = [FIRST_TIME + 10, FIRST_TIME + 19, A, EOS]
    logits = log_of(around(10), {FIRST_TIME + 17 + k: 1 + k for k in range(3)}, {A: 1.0}, {EOS: 1.0})
    expected = (entropy(1, 2, 3, 2, 1) + entropy(1, 2, 3)) / 4
    assert loss_of(logits, [tokens], num_bins=20).item() == pytest.approx(expected, abs=1e-5)


def test_a_start_is_not_smoothed_over_the_start_before_it() -> None:
    tokens = [FIRST_TIME + 10, FIRST_TIME + 20, A, FIRST_TIME + 11, FIRST_TIME + 30, B, EOS]
    second = {FIRST_TIME + 10: 2.0, FIRST_TIME + 11: 3.0, FIRST_TIME + 12: 2.0, FIRST_TIME + 13: 1.0}
    logits = log_of(around(10), around(20), {A: 1}, second, around(30), {B: 1}, {EOS: 1})
    expected = (3 * entropy(1, 2, 3, 2, 1) + entropy(2, 3, 2, 1)) / 7
    assert loss_of(logits, [tokens]).item() == pytest.approx(expected, abs=1e-5)


def test_mass_beyond_the_vocabulary_goes_to_its_border_and_forbidden_mass_to_all_that_is_left() -> None:
    def start(first: int, index: int) -> list[float]:
        tokens = [FIRST_TIME + first, FIRST_TIME + 20, A, FIRST_TIME + 10, FIRST_TIME + 30, B, EOS]
        target = target_of(torch.tensor([tokens]))[0, index]
        return target[tokens[index] : tokens[index] + 3].tolist()

    # bins -2 and -1 count as bin 0: 6, 2 and 1 of 9; bins 8 and 9 are before the start of the turn before: 3, 2, 1 of 6
    assert start(0, index=0) == pytest.approx([0.667, 0.222, 0.111], abs=1e-3)
    assert start(10, index=3) == pytest.approx([0.5, 0.333, 0.167], abs=1e-3)


def test_a_model_that_knows_nothing_guesses_among_what_is_allowed() -> None:
    # 40 bins: starts 0...38 or the end; ends 11...39; A only; starts 10...38 or the end
    tokens = [FIRST_TIME + 10, FIRST_TIME + 20, A, EOS]
    expected = (math.log(40) + math.log(29) + math.log(1) + math.log(30)) / 4
    assert loss_of(torch.zeros(1, 4, V.size), [tokens]).item() == pytest.approx(expected, abs=1e-5)


@given(turns, st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_the_target_is_a_distribution_over_allowed_neighbours(turns: list[Triplet], seed: int) -> None:
    num_bins = 36
    cropped = [Triplet(min(t.start, 18.0), min(t.end, 18.0), t.speaker) for t in turns]
    tokens = torch.tensor([V.encode(cropped, num_bins)])
    target, allowed = target_of(tokens, num_bins, seed), grammar(V, tokens[:, :-1], num_bins=torch.tensor([num_bins]))
    torch.testing.assert_close(target[~allowed], torch.zeros_like(target[~allowed]), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.sum(-1), torch.ones(tokens.shape), atol=1e-4, rtol=0)
    distance = (torch.arange(V.size) - tokens[..., None]).abs()
    is_time = (tokens >= FIRST_TIME) & (tokens < V.first_speaker)
    far = distance > torch.where(is_time, 2, 0)[..., None]
    assert target[far].abs().max() < 1e-5 and target.min() > -1e-5


def test_given_tokens_do_not_count() -> None:
    tokens = [[FIRST_TIME, FIRST_TIME + 5, A, FIRST_TIME + 10, FIRST_TIME + 20, B, EOS]]
    logits = random_logits(1, 7)
    other = logits.clone()
    other[:, :3] = random_logits(1, 3, seed=1)
    assert loss_of(logits, tokens, given=3) == loss_of(other, tokens, given=3)
    assert loss_of(logits, tokens) != loss_of(other, tokens)
    # the mean is over the four that count
    late = log_of({}, {}, {}, around(10), around(20), {B: 1}, {EOS: 1})
    assert loss_of(late, tokens, given=3).item() == pytest.approx(2 * 1.52296 / 4, abs=1e-5)


def test_padding_does_not_count() -> None:
    short, long = [[EOS]], [[FIRST_TIME + 10, FIRST_TIME + 20, A, EOS]]
    logits = random_logits(2, 4)
    expected = (loss_of(logits[:1, :1], short) + 4 * loss_of(logits[1:], long)) / 5
    both = [[EOS, PAD, PAD, PAD], *long]
    assert loss_of(logits, both).item() == pytest.approx(expected.item(), abs=1e-6)
    logits[0, 1:] = torch.nan
    assert loss_of(logits, both).item() == pytest.approx(expected.item(), abs=1e-6)


# who is active


def test_activity_by_hand() -> None:
    # two speakers, three bins, of which the last is padding
    logits = torch.tensor([[[0.0, math.log(3)], [math.log(4), 0.0], [9.0, 9.0]]])
    activity = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]])
    # probabilities 1/2 of 1, 3/4 of 0; 4/5 of 1, 1/2 of 1
    expected = (-math.log(1 / 2) - math.log(1 / 4) - math.log(4 / 5) - math.log(1 / 2)) / 2
    assert activity_loss(logits, activity, torch.tensor([2])).item() == pytest.approx(expected, abs=1e-6)


def test_each_bin_counts_the_same_in_a_batch_of_different_lengths() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, 3, generator=generator)
    activity = torch.randint(2, (2, 6, 3), generator=generator).float()
    short = activity_loss(logits[:1, :2], activity[:1, :2], torch.tensor([2]))
    long = activity_loss(logits[1:], activity[1:], torch.tensor([6]))
    both = activity_loss(logits, activity, torch.tensor([2, 6]))
    assert both.item() == pytest.approx((2 * short + 6 * long).item() / 8, abs=1e-6)
