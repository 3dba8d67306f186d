"""Steps of training, each of which is a function of a seed and its number."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import get_worker_info

WARM_UP = 200
"""Steps over which the learning rate grows."""


def steps_left(done: int, per_epoch: int) -> Iterator[int]:
    """Numbers of the steps of an epoch that have not been taken yet.

    Each worker of a data loader gets every n-th one, as the loader asks for.
    """
    worker = get_worker_info()
    offset, stride = (worker.id, worker.num_workers) if worker else (0, 1)
    yield from range(done + offset, (done // per_epoch + 1) * per_epoch, stride)


def seed_of(*numbers: int) -> int:
    """One seed of several numbers, the same in every process."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) % 2**63


def annealed(optimizer: Optimizer, num_steps: int) -> dict[str, object]:
    """Schedule of a learning rate as Lightning takes it: a linear warm-up, then a cosine decay to a fiftieth."""

    def factor(step: int) -> float:
        warm_up = min(1.0, (step + 1) / min(WARM_UP, num_steps))
        return warm_up * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(step / num_steps, 1.0))))

    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
