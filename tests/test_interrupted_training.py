"""Training that is stopped, helped, limited or looked at is the training that is not."""

from __future__ import annotations

from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import lightning
import pytest
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from pyannote.audio import Model
from torch import Tensor
from training import Remember, assert_same, fit, make_model, make_task, make_trainer, weights_of

from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.protocol import SyntheticProtocol
from pyannote_pix2seq.training.loaders import outlive_sigterm
from pyannote_pix2seq.vocabulary import Vocabulary

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def uninterrupted(
    protocol: SyntheticProtocol, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Tensor], Remember, Path]:
    """Weights after three epochs of three steps, what was logged, and a folder with a checkpoint of every step."""
    folder = tmp_path_factory.mktemp("checkpoints")
    every_step = ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=1)
    remember = Remember()
    model = make_model(make_task(protocol, cache))
    fit(model, every_step, remember)
    return weights_of(model), remember, folder


def test_every_step_is_a_checkpoint(uninterrupted: tuple[dict[str, Tensor], Remember, Path]) -> None:
    _, remember, folder = uninterrupted
    assert sorted(path.name for path in folder.iterdir()) == [f"step={step}.ckpt" for step in range(1, 10)]
    assert len(remember.losses) == 9 and len(remember.logged) == 3


# in the middle of an epoch, at its end, at the beginning of another
@pytest.mark.parametrize("step", [1, 2, 3, 4, 8])
def test_going_on_from_a_checkpoint_equals_never_having_stopped(
    protocol: SyntheticProtocol, cache: Path, uninterrupted: tuple[dict[str, Tensor], Remember, Path], step: int
) -> None:
    expected, whole, folder = uninterrupted
    remember = Remember()
    model = make_model(make_task(protocol, cache), seed=99)
    trainer = fit(model, remember, ckpt_path=folder / f"step={step}.ckpt")
    assert trainer.global_step == 9
    assert remember.losses == whole.losses[step:]
    assert_same(weights_of(model), expected)
    assert remember.logged[-1]["DiarizationErrorRate"] == whole.logged[-1]["DiarizationErrorRate"]


def test_training_on_drawn_sequences_goes_on_as_well(protocol: SyntheticProtocol, cache: Path, tmp_path: Path) -> None:
    every_step, whole, rest = (
        ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1),
        Remember(),
        Remember(),
    )
    model = make_model(make_task(protocol, cache, num_samples=2))
    fit(model, every_step, whole, max_epochs=2)
    assert not model.training  # what is drawn has the probabilities that are learned from only without dropout
    other = make_model(make_task(protocol, cache, num_samples=2), seed=99)
    fit(other, rest, max_epochs=2, ckpt_path=tmp_path / "step=2.ckpt")
    assert rest.losses == whole.losses[2:] and len(rest.losses) == 4
    assert_same(weights_of(other), weights_of(model))
    assert all(0 < logged["loss/train/error_rate"] for logged in whole.logged)


class Stop(Callback):
    """Saves and stops training after so many steps, as a person does who runs out of time."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: lightning.Trainer, *rest: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            raise KeyboardInterrupt


def test_stopping_twice_equals_never_having_stopped(
    protocol: SyntheticProtocol,
    cache: Path,
    uninterrupted: tuple[dict[str, Tensor], Remember, Path],
    tmp_path: Path,
) -> None:
    checkpoint: Path | None = None
    for step in (2, 5):
        with pytest.raises((SystemExit, KeyboardInterrupt)):
            model = make_model(make_task(protocol, cache), seed=step if checkpoint else 0)
            fit(model, Stop(step, tmp_path / f"{step}.ckpt"), ckpt_path=checkpoint)
        checkpoint = tmp_path / f"{step}.ckpt"
    model = make_model(make_task(protocol, cache), seed=7)
    fit(model, ckpt_path=checkpoint)
    assert_same(weights_of(model), uninterrupted[0])


def test_workers_change_nothing(
    protocol: SyntheticProtocol, cache: Path, uninterrupted: tuple[dict[str, Tensor], Remember, Path]
) -> None:
    expected, _, folder = uninterrupted
    model = make_model(make_task(protocol, cache, num_workers=2))
    fit(model)
    assert_same(weights_of(model), expected)
    resumed = make_model(make_task(protocol, cache, num_workers=2), seed=99)
    fit(resumed, ckpt_path=folder / "step=4.ckpt")
    assert_same(weights_of(resumed), expected)


def test_workers_outlive_sigterm(
    protocol: SyntheticProtocol, cache: Path, uninterrupted: tuple[dict[str, Tensor], Remember, Path]
) -> None:
    class Terminate(Callback):
        """Sends workers what a scheduler does, once both have given a batch."""

        def on_train_batch_end(self, trainer: Any, model: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            for started in active_children() if batch_idx == 1 else ():
                started.terminate()
                terminated.append(started)

    terminated: list[BaseProcess] = []
    model = make_model(make_task(protocol, cache, num_workers=2))
    fit(model, Terminate())
    assert len(terminated) >= 6  # of three epochs
    assert_same(weights_of(model), uninterrupted[0])
    assert model.task.val_dataloader().worker_init_fn is outlive_sigterm


def test_another_seed_is_another_training(
    protocol: SyntheticProtocol, cache: Path, uninterrupted: tuple[dict[str, Tensor], Remember, Path]
) -> None:
    remember = Remember()
    fit(make_model(make_task(protocol, cache, seed=1)), remember, max_epochs=1)
    assert remember.losses[0] != uninterrupted[1].losses[0]


def test_what_is_logged(uninterrupted: tuple[dict[str, Tensor], Remember, Path]) -> None:
    for logged in uninterrupted[1].logged:
        assert {"DiarizationErrorRate", "loss/train/sequence", "loss/train/activity"} <= set(logged)
        assert 0 <= logged["DiarizationErrorRate"] < 10


def test_checkpoints_are_models(uninterrupted: tuple[dict[str, Tensor], Remember, Path]) -> None:
    expected, _, folder = uninterrupted
    model = Model.from_pretrained(folder / "step=9.ckpt")
    assert isinstance(model, Pix2Seq)
    assert model.vocabulary == Vocabulary(window=12.0, resolution=0.04, num_speakers=3)
    assert_same(weights_of(model), expected)


def test_a_model_is_validated_as_it_is_before_any_training(
    protocol: SyntheticProtocol, uninterrupted: tuple[dict[str, Tensor], Remember, Path], tmp_path: Path
) -> None:
    expected, remember, folder = uninterrupted
    model = Model.from_pretrained(folder / "step=9.ckpt").eval()
    task = model.task = make_task(protocol, tmp_path)
    (logged,) = make_trainer().validate(model, verbose=False)
    assert logged == {"DiarizationErrorRate": remember.logged[-1]["DiarizationErrorRate"]}
    assert [path.name for path in tmp_path.iterdir()] == ["development"]
    assert not model.training
    assert_same(weights_of(model), expected)
    heard = task.development
    fit(model, max_epochs=1)
    assert model.training and len(task.examples) == 6 and task.development is heard


@pytest.mark.parametrize("limit", [{"limit_train_batches": 1.0}, {"limit_train_batches": 3}, {"limit_val_batches": 1}])
def test_limits_that_leave_epochs_whole_are_taken(
    protocol: SyntheticProtocol, cache: Path, uninterrupted: tuple[dict[str, Tensor], Remember, Path], limit: Any
) -> None:
    model = make_model(make_task(protocol, cache))
    assert fit(model, **limit).global_step == 9
    assert_same(weights_of(model), uninterrupted[0])
