"""Exit status, errors and warnings of programs."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from tqdm import tqdm

from pyannote_pix2seq.errors import Pix2SeqError, one_line

TERMINATED = 128 + signal.SIGTERM
"""Exit status of a program that is ended by SIGTERM, as in shells."""


@contextmanager
def one_line_messages() -> Iterator[None]:
    """End the program with one line about its input, e.g. a folder without voices, instead of a traceback.

    Warnings are one line each, too. What is printed, then and afterwards, may have any name in it.

    Raises
    ------
    SystemExit
        With status 1, for each error of this package about its input, each file that cannot be read or written and each
        module that is not installed; with status 130 for Ctrl-C. Any other exception is a bug, and keeps its traceback.
    """
    replace_closed_stderr()
    escape_on_stdout()
    program = Path(sys.argv[0]).name
    try:
        with one_line_warnings(program):
            yield
    except (Pix2SeqError, OSError, ModuleNotFoundError) as error:
        raise SystemExit(f"{program}: {error}") from error
    except KeyboardInterrupt:
        say(f"{program}: interrupted")
        raise SystemExit(130) from None


@contextmanager
def one_line_warnings(program: str) -> Iterator[None]:
    """Write each warning to stderr as one line, without the line of source that gave it."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(f"{program}: {message}")
        yield


def say(message: str) -> None:
    """Write one line to stderr, above any progress bar."""
    tqdm.write(one_line(message), file=sys.stderr)


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Turn SIGTERM into a SystemExit of status 143, so that all that has to be done before the end is done.

    Otherwise locks and processes would stay, and a program that is the first of a container would not end at all. A
    SIGTERM that is ignored, or handled by whoever calls this, stays so.
    """
    is_main = threading.current_thread() is threading.main_thread()  # only the main thread can handle signals
    if not is_main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def replace_closed_stderr() -> None:
    """Discard what is written to stderr if it is closed: it would raise an error, or end up in what stdout is for."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")


def escape_on_stdout() -> None:
    """Escape what stdout cannot hold, such as names of files that are not UTF-8, or not of the locale's encoding.

    Otherwise the program would end where it prints them.
    """
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
