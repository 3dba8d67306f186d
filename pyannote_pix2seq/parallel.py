"""Parallel map over several processes."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import resource_tracker
from tempfile import NamedTemporaryFile
from threading import RLock, Thread
from typing import Any, TypeVar

import torch
from loky import ProcessPoolExecutor, as_completed
from loky.backend.reduction import dump
from loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from pyannote_pix2seq.errors import ArgumentError, Pix2SeqError

Item = TypeVar("Item")
Result = TypeVar("Result")

LOOK = 0.5
"""Seconds after which a process looks again whether the one that began it is still there."""

_function: Callable[[Any], Any]
"""In a process of a pool, what it applies to items."""


class ProcessError(Pix2SeqError, RuntimeError):
    """A process that was killed."""


def parallel_map(
    function: Callable[[Item], Result], items: Sequence[Item], num_jobs: int
) -> Generator[Result, None, None]:
    """Yield the result of a function for each item, in any order.

    If the caller stops early or is interrupted, the processes are killed, whatever they are doing. If the caller's own
    process is terminated or killed, they end by themselves.

    Parameters
    ----------
    function : callable
        Has to be picklable, unless `num_jobs` is 1. It is sent to each process once.
    items : sequence
    num_jobs : int
        Number of processes, of one torch thread each. With 1, or for a single item, this process does the work and
        keeps its number of threads.

    Raises
    ------
    ValueError
        If `num_jobs` is less than 1.
    ProcessError
        If a process is killed from outside. What the function itself raises is raised here.
    """
    if num_jobs < 1:
        raise ArgumentError(f"{num_jobs} processes were asked for; it has to be 1 or more.")
    if num_jobs == 1 or len(items) < 2:
        yield from map(function, items)
        return
    size = min(num_jobs, len(items))
    with NamedTemporaryFile(prefix="pyannote-pix2seq-") as sent:
        dump(function, sent)
        sent.flush()
        pool = ProcessPoolExecutor(size, initializer=_begin, initargs=(sent.name, os.getpid()))
        try:
            yield from (done.result() for done in as_completed(_submit(pool, items)))
        except BaseException as error:
            pool.shutdown(kill_workers=True)
            if not isinstance(error, TerminatedWorkerError):
                raise
            raise ProcessError(
                f"One of {size} processes was killed from outside, maybe because memory ran out. Run the same again, "
                f"with fewer processes if memory is short."
            ) from error
        pool.shutdown()


def _submit(pool: ProcessPoolExecutor, items: Sequence[Any]) -> list[Future]:
    """Submit all items in a thread of its own, so that an interruption leaves no process half begun."""
    with ThreadPoolExecutor(1, initializer=_block_interruptions) as thread:
        return thread.submit(lambda: [pool.submit(_apply, item) for item in items]).result()


def _block_interruptions() -> None:
    """Keep Ctrl-C from processes that this thread begins, which it would reach too: who began them decides."""
    resource_tracker.ensure_running()  # which unblocks them when it begins
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _begin(sent: str, parent: int) -> None:
    """Begin a process, which reads what it applies from a file: a pipe would let one process begin at a time."""
    global _function
    Thread(target=_end_after, args=(parent,), daemon=True).start()
    tqdm.set_lock(RLock())  # its own lock is one of processes, which would leak if this one is killed
    torch.set_num_threads(1)
    with open(sent, "rb") as file:
        _function = pickle.load(file)


def _end_after(parent: int) -> None:
    """End this process soon after the one that began it has ended, rather than go on with what was asked for."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


def _apply(item: Any) -> Any:
    return _function(item)
