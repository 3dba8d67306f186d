"""Training steps, each of which is a function of a seed and its number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import get_worker_info


def steps_left(done: int, per_epoch: int) -> Iterator[int]:
    """Numbers of the remaining steps of an epoch.

    Each of n workers of a data loader gets every n-th one, in the order in which the loader asks its workers.
    """
    worker = get_worker_info()
    offset, stride = (worker.id, worker.num_workers) if worker else (0, 1)
    yield from range(done + offset, (done // per_epoch + 1) * per_epoch, stride)


def combined_seed(*numbers: int) -> int:
    """Combine several numbers into one seed, the same in every process."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) % 2**63
