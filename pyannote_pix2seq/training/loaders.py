"""Data loaders for runs that resume at any step, and that a job scheduler may end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader


class LateLoader:
    """Starts the workers of a data loader when the first batch is requested.

    Lightning creates the iterator before it restores a checkpoint: workers started then would not know the step.
    """

    def __init__(self, loader: DataLoader):
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        yield from self.loader


def outlive_sigterm(worker: int) -> None:
    """Make a worker of a data loader end at the second SIGTERM, not at the first.

    Schedulers send SIGTERM to all processes of a run. The trainer finishes its step, for which it may need a batch, and
    then ends its workers itself. For `worker_init_fn` of PyTorch's DataLoader.
    """
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
