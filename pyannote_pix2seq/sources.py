"""Where models and pipelines come from: a file or folder that is here, or a hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pyannote_pix2seq.errors import Pix2SeqError, missing

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
"""Names on a hub: ORGANISATION/NAME."""
FILE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".yaml", ".yml")
"""Suffixes that files have, and names on a hub have not."""


class ModelError(Pix2SeqError, ValueError):
    """A checkpoint or pipeline that is missing, or is not what it should be."""


def check_exists(source: str | Path) -> None:
    """Check that there is something to load, unless a hub may have it.

    Raises
    ------
    ModelError
        If not.
    """
    if Path(source).exists() or _may_be_on_hub(source):
        return
    why = f" No hub is asked for it where there is a folder {Path(source).parent}." if _is_name(source) else ""
    raise ModelError(_missing(source) + why)


def named(source: Any) -> str:
    """How messages name what is loaded: of what only a hub may have, they say first that it is not here."""
    return f"{_missing(source)} On a hub, {source}" if _may_be_on_hub(source) else str(source)


def _is_name(source: Any) -> bool:
    """Whether `source` has the form of a name on a hub."""
    return isinstance(source, str) and bool(HUB_NAME.fullmatch(source)) and not source.endswith(FILE_SUFFIXES)


def _may_be_on_hub(source: Any) -> bool:
    """Whether only a hub may have `source`: it has such a name, and there is not even a folder for it here."""
    return _is_name(source) and not Path(source).parent.is_dir()


def _missing(source: str | Path) -> str:
    return missing(source, "file" if str(source).endswith(FILE_SUFFIXES) else "folder")
