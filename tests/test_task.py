"""The training task: what is heard before it begins, and how it trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import SingleDeviceStrategy
from pyannote.audio.models.segmentation import PyanNet
from training import Remember, assert_same, fit, make_model, make_task, weights_of

from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.protocol import SyntheticProtocol
from pyannote_pix2seq.simulation.labels import Labels
from pyannote_pix2seq.training.examples import CacheError, ExampleCache

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(("trained_on", "heard_on"), [("cpu", None), ("cuda:0", torch.device("cuda:0"))])
def test_a_gpu_hears_what_it_trains_on(
    trained_on: str,
    heard_on: torch.device | None,
    protocol: SyntheticProtocol,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Enough(Exception):
        pass

    def fill(cache: ExampleCache, files: Any, num_workers: int, device: torch.device | None, **_: Any) -> None:
        assert device == heard_on
        raise Enough

    monkeypatch.setattr(ExampleCache, "fill", fill)
    monkeypatch.setattr(SingleDeviceStrategy, "root_device", torch.device(trained_on))
    monkeypatch.setattr(CPUAccelerator, "setup_device", lambda *_: None)
    with pytest.raises(Enough):
        fit(make_model(make_task(protocol, tmp_path)))


def test_processes_that_wait_hear_of_every_stretch(
    protocol: SyntheticProtocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an hour without a word would end a process that waits for the others."""
    told: list[tuple[Any, int]] = []

    def tell(strategy: Any, word: Any, src: int = 0) -> Any:
        told.append((word, len(list(tmp_path.rglob("*.npz")))))
        return word

    monkeypatch.setattr(SingleDeviceStrategy, "broadcast", tell)
    fit(make_model(make_task(protocol, tmp_path)), max_epochs=0)
    train, development = [(False, n) for n in range(1, 7)], [(False, n) for n in (7, 8)]
    assert told[1:] == [*train, (True, 6), *development, (True, 8)]  # the first is Lightning's own


def test_every_other_process_waits_until_all_is_heard_and_tells_nobody(
    protocol: SyntheticProtocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes the cache while he waits could have another idea of what it is made from, and stop."""
    words, folders = [False, False, False, True, True], []  # the first is Lightning's own

    def hear(*_: Any) -> bool:
        folders.append(len(list(tmp_path.iterdir())))
        return words.pop(0)

    monkeypatch.setattr(lightning.Trainer, "is_global_zero", False)
    monkeypatch.setattr(SingleDeviceStrategy, "broadcast", hear)
    task = make_task(protocol, tmp_path)
    fit(make_model(task), max_epochs=0)
    assert words == [] and folders == [0, 0, 0, 0, 1]
    assert len(task.examples) == 6 and len(task.development) == 2


def test_training_lowers_the_loss(protocol: SyntheticProtocol, cache: Path) -> None:
    easy = dict.fromkeys(("prompted_probability", "stranger_probability", "shorter_probability"), 0.0)
    task = make_task(protocol, cache, steps_per_epoch=30, batch_size=4, **easy)
    remember = Remember()
    model = make_model(task)
    fit(model, remember, max_epochs=3)
    first, last = sum(remember.losses[:5]) / 5, sum(remember.losses[-5:]) / 5
    assert last < 0.75 * first
    assert remember.logged[-1]["loss/train/sequence"] < remember.logged[0]["loss/train/sequence"]
    assert remember.logged[-1]["loss/train/activity"] < remember.logged[0]["loss/train/activity"]


def test_a_cache_of_other_labels_is_refused(protocol: SyntheticProtocol, cache: Path, tmp_path: Path) -> None:
    fit(make_model(make_task(protocol, tmp_path)), max_epochs=1)
    train, development = (protocol._simulators[subset] for subset in ("train", "development"))
    loose = SyntheticProtocol("Toy", train, development, labels=Labels(padding=0.2), num_train=6, num_development=2)
    with pytest.raises(CacheError, match="labels merge_pauses=0,padding=0.2"):
        fit(make_model(make_task(loose, tmp_path)), max_epochs=1)


def test_a_task_trains_each_model_on_what_its_own_frontend_hears(protocol: SyntheticProtocol, tmp_path: Path) -> None:
    task = make_task(protocol, tmp_path)
    fit(make_model(task), max_epochs=1)
    heard, validated = task.examples, task.development
    fit(make_model(task, seed=1), max_epochs=1)  # waveforms are the same for all that are learned
    assert task.examples is heard and task.development is validated
    other = make_model(task)
    other.frontend.version = 99
    with pytest.raises(CacheError, match=r"frontend was '\w+' and is '\w+'"):
        fit(other, max_epochs=1)


def test_numbers_of_numpy_train_as_those_of_python(protocol: SyntheticProtocol, cache: Path) -> None:
    plain = {"batch_size": 2, "steps_per_epoch": 2, "seed": 3, "num_workers": 0}
    trained = []
    for kind in (int, np.int64):
        model = make_model(make_task(protocol, cache, **{name: kind(number) for name, number in plain.items()}))
        fit(model, max_epochs=1)
        trained.append(weights_of(model))
    assert_same(*trained)


def test_a_fast_run_for_developers_takes_as_many_steps_as_asked_for(protocol: SyntheticProtocol, cache: Path) -> None:
    trainer = fit(make_model(make_task(protocol, cache)), fast_dev_run=2)
    assert trainer.global_step == 2 and "DiarizationErrorRate" in trainer.callback_metrics


def test_models_that_were_loaded_are_trained_with_dropout(protocol: SyntheticProtocol, cache: Path) -> None:
    class Modes(Callback):
        def on_train_batch_start(self, trainer: Any, model: Any, batch: Any, batch_idx: int) -> None:
            modes.update(module.training for module in model.modules() if isinstance(module, torch.nn.Dropout))

    modes: set[bool] = set()
    model = make_model(make_task(protocol, cache))
    for _ in range(2):
        fit(model.eval(), Modes(), max_epochs=2)
    assert modes == {True}
    with pytest.raises(ValueError, match="accumulate_grad_batches=2"):
        fit(model, max_epochs=3, accumulate_grad_batches=2)


def test_the_learning_rate_is_that_of_the_task(protocol: SyntheticProtocol, cache: Path) -> None:
    first, second = (make_model(make_task(protocol, cache, learning_rate=rate)) for rate in (1e-3, 1e-9))
    before = first.embed_content.weight.clone()
    for model in (first, second):
        fit(model, max_epochs=1)
    moved = [(model.embed_content.weight - before).abs().max().item() for model in (first, second)]
    assert moved[0] > 1e-4 and moved[1] < 1e-7


@pytest.mark.parametrize("none", [{"max_epochs": 0}, {"max_steps": 0}, {"max_epochs": -1, "max_steps": 0}])
def test_a_training_without_steps_changes_nothing(
    protocol: SyntheticProtocol, cache: Path, none: dict[str, int]
) -> None:
    model = make_model(make_task(protocol, cache))
    before = weights_of(model)
    assert fit(model, **none).global_step == 0  # type: ignore[arg-type]
    after = weights_of(model)  # those of layers that depend on the vocabulary included
    assert_same({name: after[name] for name in before}, before)


def test_a_task_trains_nothing_but_a_pix2seq(protocol: SyntheticProtocol, cache: Path) -> None:
    model = PyanNet(task=make_task(protocol, cache))
    with pytest.raises(ArgumentError, match="SequenceDiarization trains a Pix2Seq, not a PyanNet"):
        fit(model, max_epochs=1)  # type: ignore[arg-type]


def test_every_precision_that_the_recipe_offers_trains(
    protocol: SyntheticProtocol, cache: Path, load_recipe: Callable[[str], ModuleType]
) -> None:
    for precision in load_recipe("train.py").PRECISIONS:
        model = make_model(make_task(protocol, cache))
        before = model.embed_content.weight.clone()
        fit(model, max_epochs=1, precision=precision)
        after = model.embed_content.weight
        assert after.isfinite().all() and not torch.equal(before, after)


def test_steps_of_an_epoch(protocol: SyntheticProtocol, cache: Path) -> None:
    task = make_task(protocol, cache, steps_per_epoch=5, batch_size=3)
    assert task.train__len__() == 15
    assert task.vocabulary.size == len(task.specifications.classes) == 2 + 300 + 3


def test_time_bins_are_those_of_frontends(protocol: SyntheticProtocol, cache: Path) -> None:
    task = make_task(protocol, cache)
    assert task.vocabulary.resolution == make_model(task).bin_duration == 0.04
    with pytest.raises(TypeError, match="no option resolution"):
        make_task(protocol, cache, resolution=0.02)
