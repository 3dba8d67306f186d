"""Computing in bfloat16, on devices on which it is faster than float32."""

from __future__ import annotations

import torch
from torch import Tensor


def has_bfloat16(device: str) -> bool:
    """Whether a type of device computes in bfloat16 natively; on others, bfloat16 is slower than float32.

    CPUs without AVX512_BF16 emulate it: convolutions take twice as long with AVX-512, and sixteen times as long with
    AVX2 (docs/log.md, 2026-11-28). GPUs older than Ampere emulate it, too.

    Parameters
    ----------
    device : str
        Type of a `torch.device`.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and torch.backends.mkldnn.is_available() and torch.cpu._is_avx512_bf16_supported()


def autocast(tensor: Tensor) -> torch.autocast:
    """Context in which the device of a tensor computes in bfloat16 if that is faster."""
    device = tensor.device.type
    return torch.autocast(device, torch.bfloat16, enabled=has_bfloat16(device))
