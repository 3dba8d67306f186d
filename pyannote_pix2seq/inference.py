"""How models are run where nothing is learned."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

from pyannote_pix2seq.errors import ArgumentError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Types of devices that models may be run on."""


def inference(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function that runs models: no gradients, the models' own precision and device whatever the caller's.

    What is faster in bfloat16 computes in it anyway, see `frontends/bfloat16.py`; with the caller's autocast, the rest
    would be less exact, and NumPy has no bfloat16. Where tensors are not made for the device of a model, they are on
    the CPU, as recordings and speakers are, whatever `torch.set_default_device` says. Where torch's default precision,
    which all threads have in common, is less than single, an ArgumentError is raised.
    """

    @wraps(function)
    def run(*args: Arguments.args, **options: Arguments.kwargs) -> Result:
        _check_precision()
        with torch.inference_mode(), on_cpu(), ExitStack() as stack:
            for device in filter(torch.is_autocast_enabled, DEVICES):
                stack.enter_context(torch.autocast(device, enabled=False))
            return function(*args, **options)

    return run


def on_cpu() -> AbstractContextManager[Any]:
    """Context in which tensors whose device is not given are on the CPU; it costs nothing where they are anyway."""
    return nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")


def _check_precision() -> None:
    """Refuse a default precision in which libraries would compute filters, and this package times, too coarsely."""
    default = torch.get_default_dtype()
    if torch.finfo(default).bits < 32:
        raise ArgumentError(
            f"torch's default precision is {str(default).removeprefix('torch.')}; it has to be float32 or float64 "
            f"where recordings are heard. Set it with torch.set_default_dtype(torch.float32)."
        )
