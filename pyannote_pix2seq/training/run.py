"""Common parts of the recipes that train: runs with checkpoints in a folder, from which training resumes."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, NoReturn

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.checkpoints import load_checkpoint
from pyannote_pix2seq.console.exit import TERMINATED
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.locking import alone
from pyannote_pix2seq.origin import changes, note_origin

EVERY = 100
"""Steps from one checkpoint to the next."""


class RunError(Pix2SeqError, ValueError):
    """A run that cannot be resumed."""


@rank_zero_only
def check_settings(into: Path, **settings: Any) -> None:
    """Record the settings of a new run beside its checkpoints, and check those of a run that is resumed.

    Settings that the version that began the run did not record are not compared.

    Parameters
    ----------
    into : Path
        Folder of the run, created if it does not exist.
    **settings
        Values that JSON can hold.

    Raises
    ------
    RunError
        If there is a checkpoint of a run with other settings, or without a record of its settings.
    InUseError
        If another process trains into that folder, whose settings stay, even if it has no checkpoint yet.
    """
    with alone(into):
        _check_settings(into, settings)


def _check_settings(into: Path, settings: Mapping[str, Any]) -> None:
    last = _last(into)
    note = last.with_name("settings.json")
    if not last.exists():
        note.unlink(missing_ok=True)
    elif not note.exists():
        raise RunError(
            f"{last} is there, but not {note.name}, which says what it began with. Train into another folder."
        )
    if changed := changes(note, settings, may_be_new=True):
        raise RunError(
            f"{into} holds a run that began otherwise: {'; '.join(changed)}. Go on with what it began with, train into "
            f"another folder, or remove {last.parent} to begin again with what was heard."
        )
    note_origin(note, settings)


def _last(into: Path) -> Path:
    """Path of the last checkpoint of a run."""
    return into / "checkpoints" / "last.ckpt"


def save_checkpoint(trainer: Trainer, last: Path) -> None:
    """Save a checkpoint atomically: the previous one stays until it is complete. To be called by each process.

    Lightning itself copies over the previous one if the folder of temporary files is on another disk.
    """
    with atomic_write(last) if trainer.is_global_zero else nullcontext(last) as part:
        trainer.save_checkpoint(part, weights_only=False)  # unsaid, Lightning prints a line for each
    trainer.strategy.barrier()  # no process continues, and reads it, before it exists


class CheckpointCallback(Checkpoint):
    """Saves the last checkpoint: every `EVERY` steps, before validation, and when the run is interrupted.

    Ctrl-C and SIGTERM end the run after the current step, because weights are inconsistent within a step; any of
    several processes may receive the signal. With Ctrl-C, a validation in progress is finished as well; with SIGTERM or
    a second Ctrl-C it is not, and a run that is resumed continues after it.

    Parameters
    ----------
    last : Path
        Path of the checkpoint.

    Raises
    ------
    KeyboardInterrupt, SystemExit
        After Ctrl-C and SIGTERM, respectively, once the checkpoint is saved.
    """

    def __init__(self, last: Path):
        self.last = last
        self.asked: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install handlers that defer SIGTERM and, unless it is ignored or handled otherwise, Ctrl-C.

        An earlier SIGTERM is not forgotten. Lightning's own handler of SIGTERM notifies the other processes at once,
        which may be exchanging gradients: they would wait for each other forever.
        """
        self.asked = signal.SIGTERM if trainer.received_sigterm else None
        signal.signal(signal.SIGTERM, self._ask)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._ask)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:  # type: ignore[override]
        """Save a checkpoint if one is due or the run is interrupted, and in the latter case end the run."""
        is_over = trainer.strategy.reduce_boolean_decision(self.asked is not None, all=False)
        if is_over or trainer.is_last_batch or trainer.global_step % EVERY == 0:
            save_checkpoint(trainer, self.last)
        if is_over:
            self._end(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:  # type: ignore[override]
        """End the run after SIGTERM: nothing was learned since the last checkpoint."""
        if trainer.strategy.reduce_boolean_decision(self.asked == signal.SIGTERM, all=False):
            raise SystemExit(TERMINATED)

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:  # type: ignore[override]
        """End the run if that was asked for during the last validation, after which there is no other step."""
        if trainer.strategy.reduce_boolean_decision(self.asked is not None, all=False):
            save_checkpoint(trainer, self.last)
            self._end(trainer)

    def _end(self, trainer: Trainer) -> NoReturn:
        rank_zero_info(f"{self.last} is kept at step {trainer.global_step}: the same command goes on.")
        raise SystemExit(TERMINATED) if self.asked == signal.SIGTERM else KeyboardInterrupt

    def _ask(self, number: int, *_: Any) -> None:
        """Note a signal; forked workers inherit this handler, print nothing and continue until their parent ends."""
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
    """Train, resuming from the last checkpoint in `into/checkpoints` if there is one.

    Parameters
    ----------
    module : LightningModule
    into : Path
        Folder for checkpoints and logs.
    num_steps : int
        Total number of steps, those before resuming included; if all have been taken already, nothing is done.
    train, validation : optional
        Data loaders. Default to the module's own.
    callbacks : sequence of Callback, optional
        In addition to a progress bar and `CheckpointCallback`.
    **options
        Options of Lightning's Trainer.

    Returns
    -------
    last : Path
        The last checkpoint.

    Raises
    ------
    KeyboardInterrupt, SystemExit
        See `CheckpointCallback`.
    ModelError
        If the last checkpoint cannot be read.
    InUseError
        If another process trains into that folder.
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
    is_first = trainer.is_global_zero
    with alone(into) if is_first else nullcontext(), _ending_as_asked(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
        trainer.fit(module, train, validation, ckpt_path=last if last.exists() else None, weights_only=False)
        save_checkpoint(trainer, last)
    return last


@contextmanager
def _ending_as_asked() -> Iterator[None]:
    """Restore KeyboardInterrupt for Ctrl-C, which Lightning turns into exit status 1, and exit non-zero on SIGTERM."""
    try:
        yield
    except SIGTERMException:
        raise SystemExit(TERMINATED) from None
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
