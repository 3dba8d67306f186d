"""What the training task refuses before it begins."""

from __future__ import annotations

from os import PathLike
from typing import Any

from lightning import Trainer
from pyannote.database.protocol import SpeakerDiarizationProtocol
from pyannote.database.protocol.protocol import Protocol

from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.frontends import Frontend
from pyannote_pix2seq.numeric import check_ranges, is_number, is_whole
from pyannote_pix2seq.protocol import ENDLESS
from pyannote_pix2seq.training.stretches import SHORTEST_STRETCH

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
"""Of Lightning's Trainer, those in which a model can be trained."""


def check_options(**given: Any) -> None:
    """Refuse options of the task that are out of their ranges, see `check_ranges`."""
    window, stretch, weight, rate = (
        given[name] for name in ("model_window", "stretch", "activity_weight", "learning_rate")
    )
    counts = ("num_speakers", "batch_size", "steps_per_epoch")
    ranges = {
        "model_window": (is_number(window) and window > 0, "a number of seconds above 0"),
        "stretch": (
            is_number(stretch, SHORTEST_STRETCH),
            f"a number of seconds, {SHORTEST_STRETCH} or more",
        ),
        "activity_weight": (is_number(weight, 0), "a number, 0 or more"),
        "num_samples": (
            is_whole(given["num_samples"], 0) and given["num_samples"] != 1,
            "a whole number, 2 or more, or 0 for none",
        ),
        "learning_rate": (is_number(rate) and rate > 0, "a number above 0"),
        **{name: (is_whole(given[name], 1), "a whole number, 1 or more") for name in counts},
        **{name: (is_whole(given[name], 0), "a whole number, 0 or more") for name in ("num_workers", "seed")},
    }
    check_ranges("SequenceDiarization", given, ranges)


def check_frontend(frontend: Frontend) -> None:
    """Refuse a frontend that training would leave as random as it is."""
    has_weights = any(True for _ in frontend.parameters())
    if frontend.frozen and has_weights and not frontend.is_loaded:
        raise ArgumentError(
            f"SequenceDiarization: the {type(frontend).__name__} of the model has random weights, and is not trained. "
            f"Load some with `checkpoints.load_frontend`, or use a frontend that is learned: Pix2Seq('voiced_mel'). "
            f"One of yours that loads its weights by itself has to set `is_loaded`."
        )


def check_trainer(trainer: Trainer, steps_per_epoch: int) -> None:
    """Refuse trainers whose steps are not batches, or are without end, and those that cut epochs short."""
    if trainer.precision not in PRECISIONS:
        raise ArgumentError(
            f"Trainer: precision={trainer.precision!r} was given. Use one of {', '.join(PRECISIONS)}: weights are kept "
            f"in single precision."
        )
    if trainer.accumulate_grad_batches != 1:
        raise ArgumentError(
            f"Trainer: accumulate_grad_batches={trainer.accumulate_grad_batches} was given, but the data of a step "
            f"depend on its number, so a batch has to be a step. Use a larger batch_size."
        )
    if trainer.max_epochs == trainer.max_steps == -1:
        raise ArgumentError(
            "Trainer: neither max_epochs nor max_steps was given, but the learning rate depends on the number of "
            "steps. Give one of them, beside max_time or not."
        )
    _check_limit(trainer, steps_per_epoch)


def _check_limit(trainer: Any, steps_per_epoch: int) -> None:
    """Refuse limits below an epoch; `fast_dev_run` sets one, but has only one epoch."""
    limit = trainer.limit_train_batches
    allowed = limit * steps_per_epoch if isinstance(limit, float) else limit
    if allowed < steps_per_epoch and not trainer.fast_dev_run:
        name = "overfit_batches" if trainer.overfit_batches else "limit_train_batches"
        raise ArgumentError(
            f"Trainer: {name}={limit} was given, but the number of a step says which epoch it belongs to, so an epoch "
            f"has to have all of its {steps_per_epoch} steps. Use a smaller steps_per_epoch instead."
        )


def check_places(protocol: Any, cache: Any) -> None:
    """Refuse what is no protocol, such as the name of one, and what is no folder."""
    if not isinstance(protocol, Protocol):
        name = repr(protocol if isinstance(protocol, str) else "Database.SpeakerDiarization.Protocol")
        raise ArgumentError(
            f"SequenceDiarization: protocol={protocol!r} was given; it has to be a protocol of pyannote.database, such "
            f"as registry.get_protocol({name})."
        )
    if not isinstance(cache, (str, PathLike)):
        raise ArgumentError(
            f"SequenceDiarization: cache={cache!r} was given; it has to be a folder, such as 'tokens/'."
        )


def check_subsets(protocol: SpeakerDiarizationProtocol) -> None:
    """Refuse protocols whose training set does not end, or that have a set without a file."""
    name = getattr(protocol, "name", protocol)
    if getattr(protocol, "sizes", {}).get("train") == ENDLESS:
        raise ArgumentError(
            f"SequenceDiarization: {name} does not end, and every conversation is heard before training begins. "
            f"Say how many there are to be, for instance num_train=1000."
        )
    for subset in ("train", "development"):
        try:
            next(iter(getattr(protocol, subset)()))
        except (AttributeError, NotImplementedError):  # there is no such set
            continue
        except StopIteration:
            raise ArgumentError(
                f"SequenceDiarization: {name} has no file in its {subset} set. Give it one; only a protocol without "
                f"the method `development_iter` is trained on without validation."
            ) from None
