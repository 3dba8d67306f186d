"""Work in several processes."""

import os

import pytest

from pyannote_pix2seq.parallel import parallel_map


def where(item: int) -> tuple[int, int]:
    return item, os.getpid()


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_all_items_are_done_in_as_many_processes_as_asked_for(num_jobs: int) -> None:
    found = list(parallel_map(where, [1, 2, 3, 4], num_jobs))
    assert sorted(item for item, _ in found) == [1, 2, 3, 4]
    assert ({process for _, process in found} == {os.getpid()}) == (num_jobs == 1)


def test_a_single_item_needs_no_other_process() -> None:
    assert list(parallel_map(where, [5], 8)) == [(5, os.getpid())]


def test_no_process_is_too_few() -> None:
    with pytest.raises(ValueError, match="0 processes were asked for; it has to be 1 or more"):
        list(parallel_map(where, [1, 2], 0))
