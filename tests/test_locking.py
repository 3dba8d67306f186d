"""Folders that one process has for itself."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest
from waiting import start_until_it_warns

from pyannote_pix2seq.locking import FolderError, InUseError, alone


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    with alone(tmp_path / "new"), pytest.raises(InUseError, match="new is in use by another process. Wait until"):
        with alone(tmp_path / "new"):
            pass
    with alone(tmp_path / "new"):
        pass


@pytest.mark.parametrize("name", ["few.tsv", "few.tsv/.speakers"])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "few.tsv").touch()
    with pytest.raises(FolderError, match=r"few\.tsv is a file, where a folder to write to is needed\. Name another"):
        with alone(tmp_path / name):
            pass


def test_who_is_patient_waits(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with alone(tmp_path, is_patient=True):
            order.append("second")

    with alone(tmp_path):
        thread = threading.Thread(target=second)
        with pytest.warns(UserWarning, match="in use by another process; waiting") as warned:
            start_until_it_warns(thread, warned)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_processes_that_were_begun_meanwhile_do_not_keep_a_folder(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    end = fork.Event()
    with alone(tmp_path):
        process = fork.Process(target=end.wait)
        process.start()
    with alone(tmp_path):
        end.set()
    process.join(10)
    assert process.exitcode == 0
