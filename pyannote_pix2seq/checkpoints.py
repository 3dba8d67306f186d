"""Checkpoints and pipelines: files that hold a Pix2Seq model."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any, cast

import torch
import yaml
from pyannote.audio import Pipeline
from pyannote.audio.pipelines.utils import get_model
from torch import Tensor

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.errors import missing, reason
from pyannote_pix2seq.faults import OUT_OF_MEMORY, UNREADABLE
from pyannote_pix2seq.frontends import Frontend
from pyannote_pix2seq.inference import on_cpu
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.sources import ModelError, check_exists, named

ADVICE = re.compile(
    r"\x1b\[[0-9;]*m|^Weights only load failed.*WeightsUnpickler error:|(Please use|Check the documentation).*", re.S
)
"""What PyTorch says of files that hold more than weights, around what is wrong, and escapes of terminals."""
WEIGHTS = "pytorch_model.bin"
"""Name of a checkpoint in a folder that pyannote.audio loads a model from."""
MODEL = "pix2seq"
"""Folder of the model beside the config.yaml of a pipeline, as recipes/export.py makes it."""
MAKER = "recipes/export.py makes folders of pipelines, with such a file."
"""What to do about a config.yaml that is none."""


@contextmanager
def _blaming(complaint: Callable[[Exception], str]) -> Iterator[None]:
    """Raise as ModelError whatever loaders raise on files that are damaged, or of something else."""
    try:
        yield
    except (ModelError, *OUT_OF_MEMORY):
        raise
    except Exception as error:
        raise ModelError(complaint(error)) from error


def load_model(model: Pix2Seq | str | Path | dict[str, Any], token: Any = None, cache_dir: Any = None) -> Pix2Seq:
    """Load a Pix2Seq model, to the CPU.

    Parameters
    ----------
    model : Pix2Seq, str, Path or dict
        See `pyannote.audio.pipelines.utils.get_model`.
    token, cache_dir : optional
        For models on a hub.

    Raises
    ------
    ModelError
        If the checkpoint does not exist or holds something else. A hub is asked for a str ORGANISATION/NAME only, and
        only if there is no folder ORGANISATION here.
    """
    if isinstance(model, dict) and "checkpoint" not in model:
        raise ModelError(f"A model was given as {model!r}; it has to say which: {{'checkpoint': 'model.ckpt'}}.")
    source = _source(model) if isinstance(model, dict) else model
    if isinstance(source, (str, Path)):
        check_exists(source)
        if Path(source, "config.yaml").is_file() and not Path(source, WEIGHTS).exists():
            raise ModelError(f"{source} is a pipeline, not a model. Load it with Pipeline.from_pretrained.")
    with _blaming(partial(_no_model, source)), on_cpu():
        loaded = get_model({"checkpoint": str(model)} if isinstance(model, (str, Path)) else model, token, cache_dir)
    if not isinstance(loaded, Pix2Seq):
        raise ModelError(f"{source} holds a {type(loaded).__name__}; this pipeline needs a Pix2Seq model.")
    return loaded


def _no_model(source: Any, error: Exception) -> str:
    details = shorten(f"{type(error).__name__}: {error}", 300).rstrip(".")
    return (
        f"{named(source)} is not a checkpoint of a Pix2Seq model{_of_this_version(error)} ({details}). "
        f"recipes/train.py makes checkpoints."
    )


def load_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """Load the contents of a checkpoint to the CPU, from whatever device; weights are memory-mapped.

    Raises
    ------
    ModelError
        If it cannot be read.
    """
    with _blaming(
        lambda error: (
            f"{checkpoint} is damaged or no checkpoint ({shorten(str(error), 200)}). Take another one, or "
            f"remove it to begin again."
        )
    ):
        return cast(dict, torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=False))


def save_weights(content: Mapping[str, Any], path: Path) -> None:
    """Save a checkpoint, or weights alone; a file is replaced only once all is written.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with atomic_write(path) as part, part.open("wb") as file:  # by a name that it cannot open, PyTorch raises others
        torch.save(content, file)


def load_pipeline(source: str | Path) -> Pipeline:
    """Load a pipeline from its folder, from its config.yaml or from a hub.

    A hub is asked for a str ORGANISATION/NAME only, and only if there is no folder ORGANISATION here.

    Raises
    ------
    ModelError
        If there is no such pipeline, or it cannot be used.
    """
    config = Path(source, "config.yaml") if Path(source).is_dir() else source
    _check_is_no_model(source)
    check_exists(config)
    with _blaming(lambda error: f"{named(config)} cannot be used as a pipeline: {reason(error)}"):
        _check_config(config)
        pipeline = Pipeline.from_pretrained(config)
    if pipeline is None:
        raise ModelError(f"{named(config)} cannot be found.")
    return pipeline


def _check_is_no_model(source: str | Path) -> None:
    """Check that what is to be a pipeline is not a checkpoint, or a folder with one, that one can be made of."""
    is_folder = Path(source).is_dir() and not Path(source, "config.yaml").exists()
    path = Path(source, WEIGHTS) if is_folder else Path(source)
    if path.is_file() and _is_checkpoint(path):
        raise ModelError(
            f"{source} is a model, not a pipeline. Make one of it with recipes/export.py, or, in Python, with "
            f"Pix2SeqDiarization({str(path)!r})."
        )


def _source(model: dict[str, Any]) -> Any:
    """What a model is loaded from: for `$model/NAME` of a config.yaml, the folder NAME beside it."""
    checkpoint, subfolder = model["checkpoint"], model.get("subfolder")
    return Path(checkpoint, subfolder) if subfolder and Path(str(checkpoint)).is_dir() else checkpoint


def _check_config(config: str | Path) -> None:
    """Check that a config.yaml says which pipeline it is of, unless a hub may have it."""
    if not Path(config).is_file():
        return
    try:
        with open(config) as file:
            found = yaml.safe_load(file)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{config} is damaged or no config.yaml of a pipeline ({reason(error)}). {MAKER}") from error
    if not isinstance(found, dict) or not isinstance(found.get("pipeline"), dict):
        why = "is empty" if found is None else "has no `pipeline:` with a name and params"
        raise ModelError(f"{config} {why}. {MAKER}")


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
    if not path.exists():
        raise ModelError(missing(path))
    with _blaming(partial(_no_weights, frontend, path)):
        state_dict = torch.load(path, map_location="cpu", weights_only=True)
        frontend.load_state_dict(state_dict)
    return state_dict


def _no_weights(frontend: Frontend, path: Path, error: Exception) -> str:
    if _is_checkpoint(path):
        return (
            f"{path} is a checkpoint of a model, not the weights of a frontend. Go on from it with --initial of "
            f"recipes/train.py, or take what recipes/refine.py or recipes/fetch_frontends.py made."
        )
    details = shorten(ADVICE.sub("", str(error)), 300).rstrip(".")
    return (
        f"{path} does not hold the weights of a {type(frontend).__name__}{_of_this_version(error)} ({details}). "
        f"Take what recipes/refine.py or recipes/fetch_frontends.py of this version made, for a speaker frontend."
    )


def _is_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint of Lightning, by what is written in it: nothing is loaded."""
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            return any(b"pytorch-lightning_version" in archive.read(name) for name in pickles)
    except UNREADABLE:
        return False


def _of_this_version(error: Exception) -> str:
    """Addition to an error message, if weights only have names or shapes of another version; empty otherwise."""
    is_other = str(error).startswith("Error(s) in loading state_dict")
    return " of this version of pyannote-pix2seq: another one, with which it still works, may have made it" * is_other
