"""Work in several processes."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch
from loky.process_executor import BrokenProcessPool

from pyannote_pix2seq.parallel import ProcessError, parallel_map


def where(item: int) -> tuple[int, int, int]:
    return item, os.getpid(), torch.get_num_threads()


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_all_items_are_done_in_as_many_processes_as_asked_for_of_one_thread_each(num_jobs: int) -> None:
    found = list(parallel_map(where, [1, 2, 3, 4], num_jobs))
    assert sorted(item for item, *_ in found) == [1, 2, 3, 4]
    assert ({process for _, process, _ in found} == {os.getpid()}) == (num_jobs == 1)
    assert {threads for *_, threads in found} == {1}


def test_a_single_item_needs_no_other_process() -> None:
    assert list(parallel_map(where, [5], 8)) == [(5, os.getpid(), torch.get_num_threads())]


def test_no_process_is_too_few() -> None:
    with pytest.raises(ValueError, match="0 processes were asked for; it has to be 1 or more"):
        list(parallel_map(where, [1, 2], 0))


def die(item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_process_that_is_killed_is_an_error_and_not_a_wait_without_end() -> None:
    with pytest.raises(ProcessError, match="One of 2 processes was killed from outside, maybe because memory ran out"):
        list(parallel_map(die, [1, 2, 3, 4], 2))


def fail(item: int) -> int:
    raise KeyError(item)


def test_what_the_function_raises_is_raised() -> None:
    with pytest.raises(KeyError):
        list(parallel_map(fail, [1, 2], 2))


class Unreadable:
    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("no number",)


def unreadable(item: int) -> Unreadable:
    return Unreadable()


def test_a_result_that_cannot_be_sent_is_not_taken_for_a_process_that_was_killed() -> None:
    with pytest.raises(BrokenProcessPool, match="un-serialize"):
        list(parallel_map(unreadable, [1, 2], 2))


def wait(item: int) -> int:
    if item:
        time.sleep(3600)
    return os.getpid()


def test_whoever_stops_early_waits_for_nobody() -> None:
    with closing(parallel_map(wait, [0, 1, 1, 1], 2)) as found:
        process = next(found)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_when_the_one_that_began_them_is_killed(number: int, tmp_path: Path) -> None:
    busy = "import os, pathlib, sys, time; from pyannote_pix2seq.parallel import parallel_map; "
    busy += "note = lambda item: (pathlib.Path(str(os.getpid())).touch(), time.sleep(600)); "
    busy += "list(parallel_map(note, [1, 2, 3], 2))"
    paths = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    parent = subprocess.Popen([sys.executable, "-c", busy], cwd=tmp_path, env=paths, stdout=subprocess.PIPE)
    while len(list(tmp_path.iterdir())) < 2:
        assert parent.poll() is None
        time.sleep(0.05)
    parent.send_signal(number)
    parent.communicate(timeout=30)  # which waits for all who could write to its stdout, its processes among them
    assert parent.returncode == -number


INTERRUPTED = """
import signal
from functools import partial
from loky.backend.process import LokyProcess
from pyannote_pix2seq.parallel import parallel_map

begun, start = [], LokyProcess.start

def begin(process):
    begun.append(process)
    if len(begun) == 2:
        signal.setitimer(signal.ITIMER_REAL, 0.05)  # while it begins
    start(process)

def end(*_):
    raise KeyboardInterrupt

LokyProcess.start = begin
signal.signal(signal.SIGALRM, end)
try:
    list(parallel_map(partial(max, bytes(10**8)), [b"1", b"2"], 2))
except KeyboardInterrupt as error:
    kept = error
    print("ended")
"""


def test_who_is_interrupted_while_processes_begin_waits_for_none(tmp_path: Path) -> None:
    paths = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", INTERRUPTED]
    ended = subprocess.run(command, env=paths, cwd=tmp_path, stdout=subprocess.PIPE, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "ended\n")


HEARD = """
import os, signal
from loky.backend.process import LokyProcess
from pyannote_pix2seq.parallel import parallel_map

heard, start = [], LokyProcess.start

def begin(process):
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    start(process)

LokyProcess.start = begin
signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGINT))  # as Ctrl-C, which reaches all processes
signal.signal(signal.SIGINT, lambda *_: heard.append(True))
found = sorted(parallel_map(abs, [-1, -2, -3], 2))
signal.setitimer(signal.ITIMER_REAL, 0)
print(found, len(heard) > 5)
"""


def test_processes_leave_it_to_who_began_them_what_ctrl_c_means(tmp_path: Path) -> None:
    paths = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", HEARD]
    done = subprocess.run(
        command, env=paths, cwd=tmp_path, capture_output=True, text=True, timeout=120, start_new_session=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1, 2, 3] True\n", "")
