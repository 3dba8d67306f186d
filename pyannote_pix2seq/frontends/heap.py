"""Memory of the process that is used again, chunk after chunk."""

import torch

LARGEST = 2**25 - 2**16
"""Bytes of a block that is just below 32 MiB, the largest one by which glibc adapts."""


def keep_freed_memory() -> None:
    """Have glibc keep up to 64 MiB of freed memory, instead of giving them back to the kernel after each chunk.

    What is given back comes again page by page, each of which the kernel clears: 20,000 to 30,000 pages for a chunk of
    30 s (docs/log.md, 2026-11-30). How much is kept is twice the largest block that has been freed so far, blocks above
    32 MiB aside (mallopt(3), M_MMAP_THRESHOLD), so one is allocated, and freed without having been touched. Other
    allocators do not care, nor does a glibc whose environment sets these thresholds.
    """
    torch.empty(LARGEST, dtype=torch.uint8)
