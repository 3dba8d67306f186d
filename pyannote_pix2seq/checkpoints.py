"""Checkpoints: files that hold a Pix2Seq model."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten
from typing import Any, TypeGuard

import torch
from pyannote.audio.pipelines.utils import get_model
from torch import Tensor

from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.frontends import Frontend
from pyannote_pix2seq.model import Pix2Seq

UNREADABLE = (
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    UnpicklingError,
    ValueError,
)
"""What loading a file that is no checkpoint of ours may raise."""


class ModelError(Pix2SeqError, ValueError):
    """A checkpoint that is no Pix2Seq model."""


def load_model(model: Pix2Seq | str | Path | dict[str, Any], token: Any, cache_dir: Any) -> Pix2Seq:
    """Load a Pix2Seq model.

    Raises
    ------
    ModelError
        If the checkpoint is not there, or holds something else. A name that is no path of one may be on a hub.
    """
    if isinstance(model, dict) and "checkpoint" not in model:
        raise ModelError(f"A model was given as {model!r}; it has to say which: {{'checkpoint': 'model.ckpt'}}.")
    source = model["checkpoint"] if isinstance(model, dict) else model
    if _is_path(source):
        _check_exists(Path(source))
    try:
        loaded = get_model({"checkpoint": str(model)} if isinstance(model, (str, Path)) else model, token, cache_dir)
    except UNREADABLE as error:
        reason = shorten(f"{type(error).__name__}: {error}", 300).rstrip(".")
        raise ModelError(
            f"{source} is not a checkpoint of a Pix2Seq model{_of_this_version(error)} ({reason}). recipes/train.py "
            f"makes checkpoints."
        ) from error
    if not isinstance(loaded, Pix2Seq):
        raise ModelError(f"{source} holds a {type(loaded).__name__}; this pipeline needs a Pix2Seq model.")
    return loaded


def _is_path(source: Any) -> TypeGuard[str | Path]:
    """Whether it can be nothing but a path; other names may be those of models on a hub."""
    return isinstance(source, Path) or (isinstance(source, str) and source.endswith((".bin", ".ckpt", ".pt", ".pth")))


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise ModelError(f"There is no file {path} (looked in {Path.cwd()}). Check its name and folder.")


def load_frontend(frontend: Frontend, path: Path) -> dict[str, Tensor]:
    """Put a file's weights into a frontend.

    Returns
    -------
    state_dict : dict of str to torch.Tensor
        What the file holds, in the precision that it has.

    Raises
    ------
    ModelError
        If the file cannot be read, or holds something else.
    """
    _check_exists(path)
    try:
        state_dict = torch.load(path, map_location="cpu", weights_only=True)
        frontend.load_state_dict(state_dict)
    except UNREADABLE as error:
        raise ModelError(
            f"{path} does not hold the weights of a {type(frontend).__name__}{_of_this_version(error)} "
            f"({shorten(str(error), 300)}). Take what recipes/refine.py or recipes/fetch_frontends.py of this version "
            f"made, for a speaker frontend."
        ) from error
    return state_dict


def _of_this_version(error: Exception) -> str:
    """What to add where all that is wrong is that weights have other names or shapes than they have now."""
    is_other = str(error).startswith("Error(s) in loading state_dict")
    return " of this version of pyannote-pix2seq: another one, with which it still works, may have made it" * is_other
