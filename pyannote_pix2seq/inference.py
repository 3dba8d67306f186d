"""How models are run where nothing is learned."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Types of devices that models may be run on."""


def inference(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function that runs models: no gradients, and the models' own precision whatever the caller's autocast.

    What is faster in bfloat16 computes in it anyway, see `frontends/bfloat16.py`; the rest would be less exact, and
    NumPy has no bfloat16.
    """

    @wraps(function)
    def run(*args: Arguments.args, **options: Arguments.kwargs) -> Result:
        with torch.inference_mode(), ExitStack() as stack:
            for device in filter(torch.is_autocast_enabled, DEVICES):
                stack.enter_context(torch.autocast(device, enabled=False))
            return function(*args, **options)

    return run
