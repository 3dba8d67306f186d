"""The recipes that fit turn-taking and compare it with real recordings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ready import READY
from toy import write_rttm


@pytest.fixture
def complaint(run_recipe: Callable[..., None]) -> Callable[..., str]:
    """What a recipe says when it refuses to run."""

    def complain(recipe: str, *arguments: object) -> str:
        with pytest.raises(SystemExit) as refusal:
            run_recipe(recipe, *arguments)
        return str(refusal.value)

    return complain


@pytest.fixture
def rttms(tmp_path: Path) -> Path:
    folder = tmp_path / "rttms"
    folder.mkdir()
    for number in range(12):
        turns = READY["ami"].draw(np.random.default_rng(number), 200)
        lines = [(turn.start, turn.end - turn.start, "ABCDE"[turn.speaker]) for turn in turns]
        write_rttm(folder / f"m{number}.rttm", lines, uri=f"m{number}")
    return folder


def test_recipe_fits_without_what_is_held_out(run_recipe: Callable[..., None], rttms: Path, tmp_path: Path) -> None:
    run_recipe("fit_turns.py", rttms, tmp_path / "fit.json", "--hold-out", "1", "--kinds", "2", "--moods", "3")
    fit = json.loads((tmp_path / "fit.json").read_text())
    assert 0 < fit["recordings"] < 12
    assert (len(fit["kinds"]), len(fit["moods"])) == (2, 3)


def test_no_rttm_is_replaced_where_the_file_to_write_is_forgotten(
    run_recipe: Callable[..., None], rttms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(rttms.iterdir())
    before = files[-1].read_text()
    with pytest.raises(SystemExit) as refusal:
        run_recipe("fit_turns.py", *files)
    assert refusal.value.code == 2 and f"{files[-1]} would be written" in capsys.readouterr().err
    assert files[-1].read_text() == before


def test_recipe_puts_a_table_between_the_comments_of_a_page(
    run_recipe: Callable[..., None], rttms: Path, tmp_path: Path
) -> None:
    page, picture = tmp_path / "page.md", tmp_path / "turns.png"
    page.write_text("before\n<!-- turns:begin -->\nold\n<!-- turns:end -->\nafter\n")
    options = ["--conversations", "3", "--page", page, "--picture", picture]
    run_recipe("compare_turns.py", "--corpus", "ami", rttms, "0", *options)
    lines = page.read_text().splitlines()
    assert lines[:2] == ["before", "<!-- turns:begin -->"] and lines[-2:] == ["<!-- turns:end -->", "after"]
    assert sum(line.startswith("| ami") for line in lines) == 3 + 5 * 4 + 4 + 3
    assert "old" not in lines
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_recipes_say_in_one_line_what_is_wrong(complaint: Callable[..., str], rttms: Path, tmp_path: Path) -> None:
    bad = write_rttm(tmp_path / "bad.rttm", [(0, 1, "A"), (3, -1, "B")])
    assert complaint("fit_turns.py", rttms, bad, tmp_path / "x.json") == (
        f"fit_turns.py: {bad}, line 2: start 3.0 and duration -1.0 have to be numbers of seconds, 0 or more. "
        f"Mend the line, or leave it out."
    )
    corpus, page = ("--corpus", "ami", rttms), tmp_path / "page.md"
    assert complaint("compare_turns.py", *corpus, "0", "--page", page).startswith(f"compare_turns.py: {page} cannot be")
    page.write_text("<!-- turns:begin -->\n<!-- turns:end -->\n")
    assert complaint("compare_turns.py", *corpus, "3", "--page", page) == (
        f"compare_turns.py: There is no third '3' of {rttms}. There are 0, 1, 2."
    )
    nowhere = ("--picture", tmp_path / "gone" / "turns.png")
    said = complaint("compare_turns.py", *corpus, "0", "--page", page, *nowhere, "--conversations", "3")
    assert said.startswith("compare_turns.py: [Errno 2] No such file or directory: ")


def test_what_is_too_little_to_be_compared_is_said(complaint: Callable[..., str], rttms: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- turns:begin -->\n<!-- turns:end -->\n")
    arguments = ("compare_turns.py", "--corpus", "ami", rttms, "0", "--page", page, "--conversations", "3")
    for number in range(12):
        write_rttm(rttms / f"m{number}.rttm", [(0, 5, "A"), (6, 5, "B")], uri=f"m{number}")
    assert re.fullmatch(
        r"compare_turns\.py: ami, \d+ .*: the real recordings, \d+, are too short to be compared\. Give .*",
        complaint(*arguments),
    )
    for path in sorted(rttms.iterdir())[1:]:
        path.unlink()
    said = complaint(*arguments)
    assert said.startswith(f"compare_turns.py: Of the RTTM files in {rttms}, ") and "one for each recording" in said
