"""Files that appear when they are complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyannote_pix2seq.atomic import atomic_write


def test_a_file_is_replaced_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as part:
        part.write_text("new")
        assert part.parent == tmp_path and path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_where_writing_fails_nothing_happens(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as part:
        part.write_text("half")
        part.write_text(str(1 / 0))
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "old")]


def test_an_error_that_names_no_file_gets_the_name_of_this_one(tmp_path: Path) -> None:
    for given, said in ((None, "talk.rttm"), ("other.txt", "other.txt")):
        with pytest.raises(OSError, match=f"No space left on device: '.*{said}'"), atomic_write(tmp_path / "talk.rttm"):
            raise OSError(28, "No space left on device", given)
    with pytest.raises(OSError, match="^what happened$"), atomic_write(tmp_path / "talk.rttm"):
        raise OSError("what happened")
