"""Files that appear when they are complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def part_of(path: Path) -> Path:
    """Where a file is until all of it is written."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Another path in the same folder to write to, which becomes `path` when all is written.

    It is hidden, and ends in `.part`. Where writing fails, `path` stays as it was and nothing else is left; where the
    process is killed, the other path is, until `path` is written again. One writer of a path at a time.
    """
    part = part_of(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
