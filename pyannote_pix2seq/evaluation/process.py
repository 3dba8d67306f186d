"""The process of a system: what it can import, how many threads it may use, and when it ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pyannote_pix2seq.console.exit import exit_on_sigterm

PACKAGE = Path(__file__).parents[1]


def run(command: Sequence[str], threads: int) -> int:
    """Run a command that can import this package, and wait for it; it ends if this process is terminated.

    Parameters
    ----------
    command : sequence of str
    threads : int
        That it may use (OMP_NUM_THREADS).

    Returns
    -------
    status : int
        Exit status.

    Raises
    ------
    OSError
        If there is no such command.
    """
    with exit_on_sigterm(), _importable() as paths:
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": str(threads)}
        return subprocess.run(command, env=environment).returncode


@contextmanager
def _importable() -> Iterator[str]:
    """PYTHONPATH with which a system can import this package, and nothing that is installed beside it.

    Its first entry is a temporary folder that holds nothing but a link to the package.
    """
    with TemporaryDirectory() as path:
        Path(path, PACKAGE.name).symlink_to(PACKAGE)
        yield os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
