"""How models are run where nothing is learned."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Types of devices that models may be run on."""


def inference(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function that runs models: no gradients, the models' own precision and device whatever the caller's.

    What is faster in bfloat16 computes in it anyway, see `frontends/bfloat16.py`; with the caller's autocast, the rest
    would be less exact, and NumPy has no bfloat16. Where tensors are not made for the device of a model, they are on
    the CPU, as recordings and speakers are, whatever `torch.set_default_device` says.
    """

    @wraps(function)
    def run(*args: Arguments.args, **options: Arguments.kwargs) -> Result:
        with torch.inference_mode(), on_cpu(), ExitStack() as stack:
            for device in filter(torch.is_autocast_enabled, DEVICES):
                stack.enter_context(torch.autocast(device, enabled=False))
            return function(*args, **options)

    return run


def on_cpu() -> AbstractContextManager[Any]:
    """Context in which tensors whose device is not given are on the CPU; it costs nothing where they are anyway."""
    return nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")
