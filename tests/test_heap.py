"""Memory that is used again."""

import os
import platform
import resource
import subprocess
import sys

import pytest

REPEATED = """
import resource
import torch
from pyannote_pix2seq.frontends.heap import keep_freed_memory
{before}
def hear():
    blocks = [torch.ones(2**20) for _ in range(12)]  # 4 MiB each
for _ in range(3):
    hear()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
hear()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="Other allocators have thresholds of their own.")
def test_memory_that_was_freed_is_used_again():
    others = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}

    def num_faults(before: str) -> int:
        command = [sys.executable, "-c", REPEATED.format(before=before)]
        return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    num_pages = 12 * 2**22 // resource.getpagesize()
    if num_faults("") < num_pages / 2:
        pytest.skip("Here, memory is kept anyway, or comes in large pages.")
    assert num_faults("keep_freed_memory()") < num_pages / 10
