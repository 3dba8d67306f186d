"""Checkpoints and pipelines: files that hold a Pix2Seq model."""

from __future__ import annotations

import re
from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten
from typing import Any, TypeGuard

import torch
from pyannote.audio import Pipeline
from pyannote.audio.pipelines.utils import get_model
from torch import Tensor

from pyannote_pix2seq.errors import Pix2SeqError, reason
from pyannote_pix2seq.frontends import Frontend
from pyannote_pix2seq.model import Pix2Seq

ON_HUB = re.compile(r"[\w-][\w.-]*/[\w.-]+(?<!\.yaml)")
"""Names on a hub: ORGANISATION/NAME."""
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
"""Exceptions that loading may raise if the file is not a checkpoint of this package."""


class ModelError(Pix2SeqError, ValueError):
    """A checkpoint or pipeline that is missing, or is not what it should be."""


def load_model(model: Pix2Seq | str | Path | dict[str, Any], token: Any, cache_dir: Any) -> Pix2Seq:
    """Load a Pix2Seq model.

    Raises
    ------
    ModelError
        If the checkpoint does not exist or holds something else. Only a `Path`, or a name with the suffix of a
        checkpoint, has to exist as a file: other names may be those of models on a hub.
    """
    if isinstance(model, dict) and "checkpoint" not in model:
        raise ModelError(f"A model was given as {model!r}; it has to say which: {{'checkpoint': 'model.ckpt'}}.")
    source = model["checkpoint"] if isinstance(model, dict) else model
    if _is_path(source):
        _check_exists(Path(source))
    try:
        loaded = get_model({"checkpoint": str(model)} if isinstance(model, (str, Path)) else model, token, cache_dir)
    except UNREADABLE as error:
        details = shorten(f"{type(error).__name__}: {error}", 300).rstrip(".")
        raise ModelError(
            f"{source} is not a checkpoint of a Pix2Seq model{_of_this_version(error)} ({details}). recipes/train.py "
            f"makes checkpoints."
        ) from error
    if not isinstance(loaded, Pix2Seq):
        raise ModelError(f"{source} holds a {type(loaded).__name__}; this pipeline needs a Pix2Seq model.")
    return loaded


def _is_path(source: Any) -> TypeGuard[str | Path]:
    """Whether `source` can only be a path; other names may be those of models on a hub."""
    return isinstance(source, Path) or (isinstance(source, str) and source.endswith((".bin", ".ckpt", ".pt", ".pth")))


def load_pipeline(source: str | Path) -> Pipeline:
    """Load a pipeline from its folder, from its config.yaml or, if its name is a str, from a hub.

    Raises
    ------
    ModelError
        If there is no such pipeline, or it cannot be used.
    """
    path = Path(source)
    config = path / "config.yaml" if path.is_dir() else path
    on_hub = isinstance(source, str) and not path.exists() and bool(ON_HUB.fullmatch(source))
    if not on_hub and not config.is_file():
        raise ModelError(
            f"There is no file {config} to load a pipeline from (looked in {Path.cwd()}). Folders with one are made by "
            f"recipes/export.py."
        )
    try:
        pipeline = Pipeline.from_pretrained(str(source) if on_hub else config)
    except ModelError:
        raise
    except Exception as error:  # a file of unknown origin may fail in any way
        raise ModelError(f"{config} cannot be used as a pipeline: {reason(error)}") from error
    if pipeline is None:
        raise ModelError(f"{source} is neither a folder of a pipeline nor one that can be fetched from a hub.")
    return pipeline


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise ModelError(f"There is no file {path} (looked in {Path.cwd()}). Check its name and folder.")


def load_frontend(frontend: Frontend, path: Path) -> dict[str, Tensor]:
    """Load the weights of a frontend from a file.

    Returns
    -------
    state_dict : dict of str to torch.Tensor
        Contents of the file, in the precision in which they are stored.

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
    """Addition to an error message, if weights only have names or shapes of another version; empty otherwise."""
    is_other = str(error).startswith("Error(s) in loading state_dict")
    return " of this version of pyannote-pix2seq: another one, with which it still works, may have made it" * is_other
