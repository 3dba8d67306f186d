"""Locks, so that several processes can share the recordings of one folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pyannote_pix2seq.console.jobs import Job
from pyannote_pix2seq.console.results import disk_errors
from pyannote_pix2seq.locking import lock


@contextmanager
def locked(job: Job) -> Iterator[bool]:
    """Lock a recording for this process; yield whether it is free, which it is not while another process has it.

    What is locked is a hidden file of its own, to which nothing is written, as some file systems (SMB) refuse to write
    to a locked file; it is removed in the end. A process that is killed loses its locks. On a file system without
    locks, every recording is free.

    Raises
    ------
    DiskError
        If no file can be written to the job's folder any more.
    """
    if job.folder is None:
        yield True
        return
    path = job.path(".rttm").with_name(f".{job.uri}.lock")
    with disk_errors():
        file = path.open("ab")
    with file:
        is_free = lock(file) and _is_at(file, path)
        try:
            yield is_free
        finally:
            if is_free:
                path.unlink(missing_ok=True)


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file still has that path: the process that had it before may have removed it."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
