"""What a command writes: to stdout, or to the folder of a job."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.console.jobs import Job

HOPELESS = (errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EPERM, errno.EROFS, errno.ESTALE)
"""Error numbers that concern a disk rather than one file on it."""


class DiskError(OSError):
    """A write error that would affect all other files, too."""


def write_results(contents: Mapping[str, bytes], job: Job) -> None:
    """Write turns to stdout, or all files to the job's folder, each of them atomically.

    What was written beside turns that are replaced is removed, unless it is replaced as well.

    Raises
    ------
    DiskError
        If the error concerns the disk rather than this file.
    """
    if job.folder is None:
        print_result(contents[".rttm"].decode())
        return
    with disk_errors():
        for suffix in {".png", ".json"} - contents.keys() if ".rttm" in contents and job.has(".rttm") else ():
            job.path(suffix).unlink(missing_ok=True)
        with ExitStack() as parts:  # which appear at once, the last of them, the RTTM, at the end
            for suffix, content in reversed([*contents.items()]):
                parts.enter_context(atomic_write(job.path(suffix))).write_bytes(content)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise a `DiskError` for whatever error concerns the disk rather than one file."""
    try:
        yield
    except OSError as error:
        if error.errno in HOPELESS:
            raise DiskError(error.errno, error.strerror, error.filename) from error
        raise


def print_result(text: str) -> None:
    """Write to stdout, in UTF-8 as to files, whatever the locale.

    It is flushed, so that a full disk or a closed pipe is noticed here and not when Python exits.

    Raises
    ------
    DiskError
        If it cannot be written.
    """
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        print(text, end="", flush=True)
    except OSError as error:
        sys.stdout = None  # otherwise Python would try again at exit
        raise DiskError(error.errno, f"{error.strerror}: stdout") from error
