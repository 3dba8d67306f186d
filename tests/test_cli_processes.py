"""Several processes on the command line: of one command, and of several that write to one folder."""

import errno
import fcntl
import os
import warnings
from pathlib import Path

import pytest
import torch
from command import write_talk

from pyannote_pix2seq import parallel
from pyannote_pix2seq.atomic import part_of
from pyannote_pix2seq.console.jobs import Job
from pyannote_pix2seq.console.lock import locked
from pyannote_pix2seq.console.outcomes import ignore_needless_warnings
from pyannote_pix2seq.console.results import write_results
from pyannote_pix2seq.parallel import ProcessError
from pyannote_pix2seq.pipeline import Pix2SeqDiarization


def test_several_processes_find_what_one_does(talk, diarize):
    files = [talk, write_talk(talk.parent / "other.wav", seed=1), Path("bad.wav"), Path("gone.wav")]
    files[2].write_text("not audio")
    options = ["--json", "--picture", "--known", f"alice={talk}"]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        status, _, said = diarize(*files, "--into", "one", *options)
    finally:
        torch.set_num_threads(before)
    again = diarize(*files, "--into", "two", *options, "--jobs", 2)
    assert (again[0], sorted(again[2][:-1]), again[2][-1]) == (status, sorted(said[:-1]), said[-1])
    assert (status, said[-1]) == (1, "2 of 4 files diarized, 2 failed")
    contents = [{path.name: path.read_bytes() for path in Path(into).iterdir()} for into in ("one", "two")]
    assert contents[0] == contents[1] and len(contents[0]) == 6


def test_a_process_that_is_replaced_as_a_long_recording_took_memory_is_no_news(recwarn):
    with warnings.catch_warnings():
        ignore_needless_warnings()
        warnings.warn("A worker was restarted while some jobs were given to the executor", stacklevel=1)
        warnings.warn("talk.wav is cut off", stacklevel=1)
    assert [str(each.message) for each in recwarn] == ["talk.wav is cut off"]


def test_processes_that_write_to_one_folder_share_the_files(talk, diarize):
    other = write_talk(talk.parent / "other.wav", seed=1)
    Path("out").mkdir()
    with locked(Job(talk, "talk", Path("out"), None)) as is_free:
        assert is_free
        status, _, said = diarize(talk, other, "--into", "out")
    assert (status, [path.name for path in Path("out").iterdir()]) == (0, ["other.rttm"])
    assert said == ["1 of 2 files diarized, 1 left to another process that writes to the same folder"]
    assert diarize(talk, other, "--into", "out")[2][0].startswith("1 of 2 files diarized, 1 skipped")


def test_what_another_process_has_done_meanwhile_is_left_alone(talk, diarize, monkeypatch):
    monkeypatch.setattr(Job, "has", lambda job, suffix: job.path(suffix).is_file() and next(asked))
    asked = iter([False, False, True, True])  # by the plan for talk and other, by the attempt at each
    other = write_talk(talk.parent / "other.wav", seed=1)
    Path("out").mkdir()
    for name in ("talk", "other"):
        Path(f"out/{name}.rttm").write_text("theirs")
    said = diarize(talk, other, "--into", "out")[2]
    assert said == ["0 of 2 files diarized, 2 left to another process that writes to the same folder"]
    assert {path.read_text() for path in Path("out").iterdir()} == {"theirs"}  # and no picture was drawn


def test_a_lock_is_of_one_process_at_a_time_and_leaves_nothing_behind(tmp_path):
    job = Job(tmp_path / "talk.wav", "talk", tmp_path, None)
    with locked(job) as first, locked(job) as second:
        assert (first, second) == (True, False)
    assert list(tmp_path.iterdir()) == []
    with locked(job) as first:
        write_results({".rttm": b"turns"}, job)
        for _ in range(2):  # who does not get it does not remove it
            with locked(job) as second:
                assert (first, second) == (True, False)
    assert [path.name for path in tmp_path.iterdir()] == ["talk.rttm"]


def test_a_lock_that_another_process_removes_meanwhile_is_not_free(tmp_path, monkeypatch):
    job = Job(tmp_path / "talk.wav", "talk", tmp_path, None)
    monkeypatch.setattr(fcntl, "flock", lambda *_: (tmp_path / ".talk.lock").unlink())
    with locked(job) as is_free:
        assert not is_free


@pytest.mark.parametrize("number, expected", [(errno.EAGAIN, False), (errno.EACCES, False), (errno.ENOSYS, True)])
def test_file_systems_with_other_locks_or_none(tmp_path, monkeypatch, number, expected):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(Job(tmp_path / "talk.wav", "talk", tmp_path, None)) as is_free:
        assert is_free is expected
        assert not part_of(tmp_path / "talk.rttm").exists()  # a locked file may not be writable


def test_a_process_that_is_killed_ends_a_batch_but_loses_nothing(talk, diarize, monkeypatch):
    other = write_talk(talk.parent / "other.wav", seed=1)

    def killed(function, items, num_jobs):
        yield function(items[0])
        raise ProcessError(f"One of {num_jobs} processes was killed.")

    monkeypatch.setattr(parallel, "parallel_map", killed)
    status, _, said = diarize(talk, other, "--into", "out", "--jobs", 2)
    assert (status, [path.name for path in Path("out").iterdir()]) == (1, ["talk.rttm"])
    assert said == ["at least 1 of 2 files diarized", "pyannote-pix2seq: One of 2 processes was killed."]


def test_a_single_file_that_is_interrupted_was_not_in_another_process(talk, diarize, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Pix2SeqDiarization, "apply", interrupted)
    status, _, said = diarize(talk, "--into", "out", "--jobs", 2)
    assert (status, said[0]) == (130, "0 of 1 files diarized")
