"""The same for many things, in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from typing import TypeVar

import torch

from pyannote_pix2seq.errors import ArgumentError

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(function: Callable[[Item], Result], items: Sequence[Item], num_jobs: int) -> Iterator[Result]:
    """What a function gives for each of some items, in any order.

    Parameters
    ----------
    function : callable
        That can be pickled, unless there is one job.
    items : sequence
    num_jobs : int
        Processes of one torch thread each; 1 for this process alone, as it is. So is a single item.

    Raises
    ------
    ValueError
        If there is less than one job.
    """
    if num_jobs < 1:
        raise ArgumentError(f"{num_jobs} processes were asked for; it has to be 1 or more.")
    if num_jobs == 1 or len(items) < 2:
        yield from map(function, items)
        return
    with get_context("spawn").Pool(num_jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.imap_unordered(function, items)
