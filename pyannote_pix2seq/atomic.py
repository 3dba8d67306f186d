"""Atomic writing of files: a file appears only once it is complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def part_of(path: Path) -> Path:
    """Path of the temporary file to which `path` is written first."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which replaces `path` once writing has succeeded.

    The temporary file is hidden and ends in `.part`. If writing fails, `path` is unchanged and the temporary file is
    removed; if the process is killed, the temporary file stays until `path` is written again. One writer per path. An
    OSError that names no file, as that of a full disk, gets the name of this one.
    """
    part = part_of(path)
    try:
        yield part
        part.replace(path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)
