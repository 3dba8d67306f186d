"""Locks between processes."""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pyannote_pix2seq.errors import Pix2SeqError

LOCK = ".lock"
"""Name of the file that is locked in a folder."""


class InUseError(Pix2SeqError, OSError):
    """A folder that another process writes to."""


class FolderError(Pix2SeqError, OSError):
    """A path that cannot be a folder, because it, or what it would lie in, is a file."""


def lock(file: IO) -> bool:
    """Lock an open file until it is closed; return whether no other process has it locked.

    On a file system without locks, no file ever is.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the latter on SMB
        return False
    except OSError:  # a file system without locks
        return True
    return True


@contextmanager
def alone(folder: Path, is_patient: bool = False) -> Iterator[str]:
    """Lock a folder, which is created if it does not exist, for this process; yield its absolute path.

    Parameters
    ----------
    folder : Path
    is_patient : bool, optional
        Wait, with a warning, until no other process has it locked. Defaults to an error.

    Raises
    ------
    InUseError
        If another process has it locked.
    FolderError
        If there is a file in its place.
    """
    _make(folder)
    with open(folder / LOCK, "a") as file:
        if not lock(file):
            if not is_patient:
                raise InUseError(f"{folder} is in use by another process. Wait until it is done, or name another one.")
            warnings.warn(f"{folder} is in use by another process; waiting until it is done.", stacklevel=3)
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield str(folder.resolve())
        finally:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_UN)  # processes that were forked meanwhile have the file open, too


def _make(folder: Path) -> None:
    """Create a folder, unless it exists."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        file = next((path for path in (folder, *folder.parents) if path.is_file()), folder)
        raise FolderError(f"{file} is a file, where a folder to write to is needed. Name another one.") from error
