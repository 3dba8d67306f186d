"""Peak memory of this process. This module needs nothing but the standard library: see `answer.py`."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path


def forget_peak() -> None:
    """Reset the peak of `peak_memory`, where possible: see clear_refs in proc(5)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Peak memory of this process, in bytes; since `forget_peak`, where possible.

    On Linux, `ru_maxrss` starts from the memory of the parent at the fork; VmHWM does not.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most
