"""Small trainings: a task, a model and a trainer, and what is compared of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor

from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.protocol import SyntheticProtocol
from pyannote_pix2seq.task import SequenceDiarization

STEPS_PER_EPOCH = 3


class Remember(Callback):
    """Keeps what was logged after each epoch, and the loss of each step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.logged: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Any, model: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.losses.append(float(outputs["loss"]))

    def on_train_epoch_end(self, trainer: lightning.Trainer, model: Any) -> None:
        self.logged.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def make_task(protocol: SyntheticProtocol, cache: Path, **options: Any) -> SequenceDiarization:
    options = {
        "model_window": 12.0,
        "num_speakers": 3,
        "batch_size": 2,
        "steps_per_epoch": STEPS_PER_EPOCH,
        "chunk": 4.0,
        **options,
    }
    return SequenceDiarization(protocol, cache, **options)


def make_model(task: SequenceDiarization, seed: int = 0) -> Pix2Seq:
    torch.manual_seed(seed)
    return Pix2Seq(frontend="mel", width=16, num_layers=1, num_heads=2, dropout=0.2, task=task)


def make_trainer(**options: Any) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


def fit(model: Pix2Seq, *callbacks: Callback, max_epochs: int = 3, **options: Any) -> lightning.Trainer:
    checkpoint = options.pop("ckpt_path", None)
    is_kept = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    options |= {"max_epochs": max_epochs, "callbacks": list(callbacks), "enable_checkpointing": is_kept}
    trainer = make_trainer(**options)
    trainer.fit(model, ckpt_path=checkpoint, weights_only=False)
    return trainer


def weights_of(model: Pix2Seq) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
