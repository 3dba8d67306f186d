"""What the recipes that train have in common: checkpoints in a folder, from which training goes on."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing import parent_process
from pathlib import Path
from textwrap import shorten
from typing import Any, cast

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.checkpoints import UNREADABLE
from pyannote_pix2seq.console.exit import TERMINATED
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.origin import changes, note_origin

EVERY = 100
"""Steps from one checkpoint to the next."""


class RunError(Pix2SeqError, ValueError):
    """A run that cannot go on as it began."""


@rank_zero_only
def check_settings(into: Path, **settings: Any) -> None:
    """Note beside checkpoints what a run begins with; one that goes on has to have begun with the same.

    Parameters
    ----------
    into : Path
        Folder of the run, made if need be.
    **settings
        What JSON can hold.

    Raises
    ------
    RunError
        If there are checkpoints of a run that began with others.
    """
    last = _last(into)
    note = last.with_name("settings.json")
    if not last.exists():
        note.unlink(missing_ok=True)
    elif not note.exists():
        raise RunError(
            f"{last} is there, but not {note.name}, which says what it began with. Train into another folder."
        )
    if changed := changes(note, settings):
        raise RunError(
            f"{into} holds a run that began otherwise: {'; '.join(changed)}. Go on with what it began with, train into "
            f"another folder, or remove {last.parent} to begin again with what was heard."
        )
    note_origin(note, settings)


def _last(into: Path) -> Path:
    """The last checkpoint of a run."""
    return into / "checkpoints" / "last.ckpt"


def load_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint holds, wherever it was made; weights are read when they are asked for.

    Raises
    ------
    RunError
        If it cannot be read.
    """
    try:
        return cast(dict, torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=False))
    except UNREADABLE as error:
        raise RunError(
            f"{checkpoint} is damaged or no checkpoint ({shorten(str(error), 200)}). Take another one, or remove it to "
            f"begin again."
        ) from error


def save_checkpoint(trainer: Trainer, last: Path) -> None:
    """Save a checkpoint; until all of it is written, the one before stays. To be called by each process.

    Lightning itself copies it over the one before, where the folder of temporary files is on another disk.
    """
    with atomic_write(last) if trainer.is_global_zero else nullcontext(last) as part:
        trainer.save_checkpoint(part)
    trainer.strategy.barrier()  # nobody goes on, and reads it, before it is there


class CheckpointCallback(Checkpoint):
    """Keeps the last checkpoint: every so many steps, before what is validated, and when somebody ends the run.

    Ctrl-C and SIGTERM end it when a step is done, for within one, weights are neither here nor there; who of several
    processes hears of it tells the others. Ctrl-C lets what is validated be finished as well; after SIGTERM, or a
    second Ctrl-C, a run goes on behind it.

    Parameters
    ----------
    last : Path
        The checkpoint.

    Raises
    ------
    KeyboardInterrupt, SystemExit
        When it is kept, for Ctrl-C and SIGTERM.
    """

    def __init__(self, last: Path):
        self.last = last
        self.asked: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on both have to wait, Ctrl-C if it is listened to; what is heard before that is kept anyway.

        Lightning's own answer to SIGTERM is to tell the other processes there and then, who may be telling their
        gradients: they would wait for each other forever.
        """
        self.asked = signal.SIGTERM if trainer.received_sigterm else None
        signal.signal(signal.SIGTERM, self._ask)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._ask)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:  # type: ignore[override]
        """Keep where the run is, if it is time to or somebody ends it."""
        is_over = trainer.strategy.reduce_boolean_decision(self.asked is not None, all=False)
        if is_over or trainer.is_last_batch or trainer.global_step % EVERY == 0:
            save_checkpoint(trainer, self.last)
        if is_over:
            rank_zero_info(f"{self.last} is kept at step {trainer.global_step}: the same command goes on.")
            raise SystemExit(TERMINATED) if self.asked == signal.SIGTERM else KeyboardInterrupt

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:  # type: ignore[override]
        """End here after SIGTERM, for nothing was learned since the last checkpoint."""
        if trainer.strategy.reduce_boolean_decision(self.asked == signal.SIGTERM, all=False):
            raise SystemExit(TERMINATED)

    def _ask(self, number: int, *_: Any) -> None:
        """Of each process that hears of it, the others being workers that were forked, and go on until it ends."""
        self.asked = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if parent_process() is None:
            is_patient = number == signal.SIGINT
            rank_zero_info(
                f"Ending after this step{', or after what is validated' if is_patient else ''}; Ctrl-C"
                f"{' again' if is_patient else ''} ends at once."
            )


def fit(
    module: LightningModule,
    into: Path,
    num_steps: int,
    train: Any = None,
    validation: Any = None,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> Path:
    """Train, from the last checkpoint in `into/checkpoints` if there is one.

    Parameters
    ----------
    module : LightningModule
    into : Path
        Folder for checkpoints and logs.
    num_steps : int
        Of all runs together; where there have been as many already, nothing is done.
    train, validation : optional
        Data loaders. Defaults to the module's own.
    callbacks : sequence of Callback, optional
        Besides a progress bar and the one that keeps checkpoints.
    **options
        Of Lightning's Trainer.

    Returns
    -------
    last : Path
        The last checkpoint.

    Raises
    ------
    KeyboardInterrupt, SystemExit
        See `CheckpointCallback`.
    """
    last = _last(into)
    if last.exists() and load_checkpoint(last)["global_step"] >= num_steps:
        return last
    trainer = Trainer(
        max_steps=num_steps,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        logger=CSVLogger(into, name="logs"),
        callbacks=[CheckpointCallback(last), TQDMProgressBar(refresh_rate=10), *callbacks],
        **options,
    )
    with _ending_as_asked(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
        trainer.fit(module, train, validation, ckpt_path=last if last.exists() else None, weights_only=False)
    save_checkpoint(trainer, last)
    return last


@contextmanager
def _ending_as_asked() -> Iterator[None]:
    """Let Ctrl-C be a KeyboardInterrupt again, of which Lightning makes status 1, and SIGTERM have a status but 0."""
    try:
        yield
    except SIGTERMException:
        raise SystemExit(TERMINATED) from None
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
