"""Learning rate schedule."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

WARM_UP = 200
"""Steps over which the learning rate increases."""


def annealed(optimizer: Optimizer, num_steps: int) -> dict[str, object]:
    """Learning rate schedule in Lightning's format: linear warm-up, and cosine decay to a fiftieth."""
    num_steps = max(num_steps, 1)  # who takes no step has a learning rate nevertheless

    def factor(step: int) -> float:
        warm_up = min(1.0, (step + 1) / min(WARM_UP, num_steps))
        return warm_up * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(step / num_steps, 1.0))))

    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
