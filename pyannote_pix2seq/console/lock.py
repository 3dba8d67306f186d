"""Locks, so that several processes can share the recordings of one folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pyannote_pix2seq.atomic import part_of
from pyannote_pix2seq.console.jobs import Job
from pyannote_pix2seq.console.results import disk_errors


@contextmanager
def locked(job: Job) -> Iterator[bool]:
    """Lock a recording for this process; yield whether it is free, which it is not while another process has it.

    What is locked is the unfinished RTTM file, which is removed in the end. A process that is killed loses its locks.

    Raises
    ------
    DiskError
        If no file can be written to the job's folder any more.
    """
    if job.folder is None:
        yield True
        return
    path = part_of(job.path(".rttm"))
    with disk_errors():
        part = path.open("ab")
    with part:
        is_free = _lock(part) and _is_at(part, path)
        try:
            yield is_free
        finally:
            if is_free and _is_at(part, path):
                path.unlink()


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file still has that path: another process may have renamed or removed it."""
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
