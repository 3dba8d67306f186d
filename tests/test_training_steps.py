"""Single steps of training and validation, about windows of different lengths behind prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training import fit, make_model, make_task

from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.protocol import SyntheticProtocol
from pyannote_pix2seq.task import SequenceDiarization
from pyannote_pix2seq.training.losses import activity_loss, sequence_loss
from pyannote_pix2seq.training.risk import draw, risk_loss
from pyannote_pix2seq.training.steps import combined_seed
from pyannote_pix2seq.training.windows import Batch
from pyannote_pix2seq.vocabulary import DIARIZE

pytestmark = pytest.mark.filterwarnings("ignore")
WEIGHT = 0.3
DRAWN = {"prompted_probability": 1.0, "shorter_probability": 1.0, "chunk": 3.2}


@pytest.fixture
def task(protocol: SyntheticProtocol, cache: Path, monkeypatch: pytest.MonkeyPatch) -> SequenceDiarization:
    """One that is about to begin, in evaluation mode."""
    task = make_task(protocol, cache, batch_size=4, steps_per_epoch=2, activity_weight=WEIGHT, **DRAWN)
    model = make_model(task)
    fit(model, max_epochs=0)
    monkeypatch.setattr(model, "log_dict", lambda *_, **__: None)
    model.eval()
    return task


@pytest.fixture
def batch(task: SequenceDiarization) -> Batch:
    """Windows of different lengths, some of which have prompts."""
    drawn = task.collate_fn(list(task.train__iter__()))
    assert len(drawn) == 8 and len(set(drawn.lengths.tolist())) > 4 and len(set(drawn.num_given.tolist())) > 1
    return drawn


def place(monkeypatch: pytest.MonkeyPatch, step: int, rank: int) -> None:
    """Where training is: the number of the step, and of the process."""
    monkeypatch.setattr(Pix2Seq, "global_step", step)
    monkeypatch.setattr(Pix2Seq, "global_rank", rank)


def test_the_loss_is_that_of_what_follows_prompts_and_of_activity(task: SequenceDiarization, batch: Batch) -> None:
    model = task.model
    context = model.listen(model.frontend.finish(batch.audio, batch.lengths), batch.lengths)
    written = torch.cat([torch.full((len(batch), 1), DIARIZE), batch.tokens[:, :-1]], dim=1)
    num_bins = 4 * batch.lengths
    logits = model.write(context, written)[0]
    sequence = sequence_loss(task.vocabulary, logits, batch.tokens, batch.num_given, num_bins)
    expected = sequence + WEIGHT * activity_loss(context.activity, batch.activity, num_bins)
    torch.testing.assert_close(task.training_step(batch, 0), expected)


def test_the_risk_is_that_of_sequences_drawn_for_each_window(
    task: SequenceDiarization, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: dict[str, Any] = {}
    monkeypatch.setattr(task.model, "log_dict", lambda values, **_: logged.update(values))
    task.num_samples = 3
    model, seed = task.model, combined_seed(combined_seed(task.seed, 0, 0))
    context = model.listen(model.frontend.finish(batch.audio, batch.lengths), batch.lengths)
    several = context.repeat(3)
    samples = draw(model, several, batch, seed)
    assert len(samples.tokens) == 24
    activity = activity_loss(context.activity, batch.activity, 4 * batch.lengths)
    torch.testing.assert_close(task.training_step(batch, 0), risk_loss(model, several, samples) + WEIGHT * activity)
    chunks = zip(batch.activity, (4 * batch.starts).tolist(), strict=True)
    speech = sum(float(window[start:].sum()) for window, start in chunks)
    assert 0 < speech < batch.activity.sum()  # what prompts give could not be wrong
    assert float(logged["loss/train/error_rate"]) == pytest.approx(float(samples.errors.sum()) / (3 * speech))


def test_all_that_writes_learns_from_what_is_drawn_in_bfloat16(task: SequenceDiarization, batch: Batch) -> None:
    task.num_samples = 2
    with torch.autocast("cpu", torch.bfloat16):
        task.training_step(batch, 0).backward()
    grads = {name: weight.grad for name, weight in task.model.named_parameters() if weight.requires_grad}
    assert [name for name, grad in grads.items() if grad is None or not grad.isfinite().all()] == []
    assert all(grads[f"{name}.weight"].any() for name in ("stop", "name", "embed_speaker", "pointing.query"))


def test_dropout_depends_on_the_step_the_process_and_the_seed_alone(
    task: SequenceDiarization, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(step: int, rank: int, seed: int) -> float:
        place(monkeypatch, step, rank)
        task.seed = seed
        return task.training_step(batch, 0).item()

    task.model.train()
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    before = torch.manual_seed(3).get_state()
    first = [loss(*where) for where in places]
    assert torch.equal(torch.get_rng_state(), before)  # nobody else's random numbers are touched
    torch.manual_seed(4)
    assert [loss(*where) for where in places] == first and len(set(first)) == 4


def test_windows_depend_on_the_step_and_the_process(task: SequenceDiarization, monkeypatch: pytest.MonkeyPatch) -> None:
    def tokens(step: int, rank: int) -> list[list[Any]]:
        place(monkeypatch, step, rank)
        return [window.turns for window in task.train__iter__()]

    both, second, other = tokens(0, 0), tokens(1, 0), tokens(0, 1)
    assert len(both) == 8 and both[4:] == second and both[:4] != second
    assert len(other) == 8 and other != both


def test_what_is_heard_is_augmented_before_it_is_read(
    task: SequenceDiarization, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def augment(tokens: Any, starts: Tensor, generator: torch.Generator) -> Any:
        asked.append((starts, torch.rand(3, generator=generator)))
        return tokens._replace(content=2 * tokens.content)

    asked: list[tuple[Tensor, Tensor]] = []
    plain = task.training_step(batch, 0)
    monkeypatch.setattr(task.model.frontend, "augment", augment)
    for step in (0, 0, 1):
        place(monkeypatch, step, 0)
        assert task.training_step(batch, 0) != plain
    assert all(torch.equal(starts, batch.starts) for starts, _ in asked) and batch.starts.any()
    first, again, next_step = (numbers for _, numbers in asked)
    assert torch.equal(first, again) and not torch.equal(first, next_step)


def test_what_is_drawn_does_not_depend_on_how_audio_is_augmented(
    task: SequenceDiarization, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same random numbers for both, the first ones would decide both."""

    def augment(tokens: Any, starts: Tensor, generator: torch.Generator) -> Any:
        numbers.append(torch.rand(8, generator=generator))
        return tokens

    def draw(model: Pix2Seq, context: Any, batch: Batch, seed: int) -> Any:
        numbers.append(torch.rand(8, generator=torch.Generator().manual_seed(seed)))
        raise StopIteration

    numbers: list[Tensor] = []
    task.num_samples = 2
    monkeypatch.setattr(task.model.frontend, "augment", augment)
    monkeypatch.setattr("pyannote_pix2seq.task.draw", draw)
    for step in (0, 1):
        place(monkeypatch, step, 0)
        with pytest.raises(StopIteration):
            task.training_step(batch, 0)
    assert len({float(first[0]) for first in numbers}) == 4


def test_padding_is_not_validated(task: SequenceDiarization, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(model: Pix2Seq, context: Any, num_bins: Tensor) -> list[Any]:
        assert torch.equal(context.cache.is_real.sum(1), batch.lengths)
        assert torch.equal(num_bins, 4 * batch.lengths)
        raise StopIteration

    monkeypatch.setattr("pyannote_pix2seq.task.decode", decode)
    with pytest.raises(StopIteration):
        task.validation_step(batch, 0)
