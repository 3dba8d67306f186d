from __future__ import annotations

import signal

import pytest
from torch.utils.data import DataLoader, Dataset

from pyannote_pix2seq.training.loaders import outlive_sigterm


class Signals(Dataset):
    """Whoever asks for an item gets SIGTERM as many times."""

    def __init__(self, *times: int):
        self.times = times

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: int) -> int:
        for _ in range(self.times[index]):
            signal.raise_signal(signal.SIGTERM)
        return index


@pytest.mark.parametrize("times", [(0, 1, 0), (1, 0, 0)])
def test_workers_outlive_one_sigterm(times: tuple[int, ...]) -> None:
    loader = DataLoader(Signals(*times), batch_size=None, num_workers=1, worker_init_fn=outlive_sigterm)
    assert list(loader) == [0, 1, 2]


@pytest.mark.parametrize("times", [(0, 1, 1), (0, 2, 0)])
def test_workers_do_not_outlive_another(times: tuple[int, ...]) -> None:
    loader = DataLoader(Signals(*times), batch_size=None, num_workers=1, worker_init_fn=outlive_sigterm)
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        list(loader)
