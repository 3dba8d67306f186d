"""Parallel map over several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from typing import TypeVar

import torch

from pyannote_pix2seq.errors import ArgumentError

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(function: Callable[[Item], Result], items: Sequence[Item], num_jobs: int) -> Iterator[Result]:
    """Yield the result of a function for each item, in any order.

    Parameters
    ----------
    function : callable
        Has to be picklable, unless `num_jobs` is 1.
    items : sequence
    num_jobs : int
        Number of processes, of one torch thread each. With 1, or for a single item, this process does the work and
        keeps its number of threads.

    Raises
    ------
    ValueError
        If `num_jobs` is less than 1.
    """
    if num_jobs < 1:
        raise ArgumentError(f"{num_jobs} processes were asked for; it has to be 1 or more.")
    if num_jobs == 1 or len(items) < 2:
        yield from map(function, items)
        return
    with get_context("spawn").Pool(num_jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.imap_unordered(function, items)
