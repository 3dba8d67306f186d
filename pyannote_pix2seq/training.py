"""What the recipes that train have in common: checkpoints in a folder, from which training goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

from pyannote_pix2seq.origin import changes

EVERY = 100
"""Steps from one checkpoint to the next."""


class RunError(ValueError):
    """A run that cannot go on as it began."""


@rank_zero_only
def check_settings(into: Path, **settings: Any) -> None:
    """Note in `settings.json` what a run begins with; one that goes on has to have begun with the same.

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
    note = into / "settings.json"
    if not _last(into).exists():
        note.unlink(missing_ok=True)
    if changed := changes(note, settings):
        raise RunError(
            f"{into} holds a run that began otherwise: {'; '.join(changed)}. Go on with what it began with, train into "
            f"another folder, or remove {_last(into).parent} to begin again with what was heard."
        )


def _last(into: Path) -> Path:
    """The last checkpoint of a run."""
    return into / "checkpoints" / "last.ckpt"


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
        Of all runs together.
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
    """
    last = _last(into)
    keep = ModelCheckpoint(last.parent, filename=last.stem, every_n_train_steps=EVERY, enable_version_counter=False)
    trainer = Trainer(
        max_steps=num_steps,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        logger=CSVLogger(into, name="logs"),
        callbacks=[keep, TQDMProgressBar(refresh_rate=10), *callbacks],
        **options,
    )
    trainer.fit(module, train, validation, ckpt_path=last if last.exists() else None, weights_only=False)
    trainer.save_checkpoint(last)
    return last
