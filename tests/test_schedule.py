"""The learning rate over the steps of a training."""

from typing import Any

import pytest
import torch

from pyannote_pix2seq.training.schedule import WARM_UP, annealed


def rates(num_steps: int, count: int) -> list[float]:
    """Learning rate of each of the first steps, as shares of the largest."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    schedule: Any = annealed(optimizer, num_steps)
    assert schedule["interval"] == "step"
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule["scheduler"].step()
    return found


def test_rates_rise_for_200_steps_and_fall_to_a_fiftieth() -> None:
    found = rates(10_000, 10_101)
    assert found[0] == pytest.approx(1 / WARM_UP) and found[99] == pytest.approx(0.5, abs=1e-3)
    assert max(found) == found[WARM_UP - 1] > 0.999
    assert found[5000] == pytest.approx(0.02 + 0.98 / 2)
    assert found[10_000:] == pytest.approx([0.02] * 101)  # whoever goes on beyond the last step does so slowly


@pytest.mark.parametrize("num_steps", [0, 1])
def test_who_takes_one_step_or_none_has_a_rate(num_steps: int) -> None:
    assert rates(num_steps, 2) == pytest.approx([1, 0.02])


def test_few_steps_rise_and_fall_at_once() -> None:
    found = rates(10, 10)
    assert found[0] == pytest.approx(0.1) and found[9] == pytest.approx(0.02 + 0.49 * (1 - 0.951057), abs=1e-5)
