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
    removed; if the process is killed, the temporary file stays until `path` is written again. One writer per path.
    """
    part = part_of(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
