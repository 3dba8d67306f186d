"""Tables, and where they go."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyannote_pix2seq.evaluation.markdown import PageError, Place, table


def test_a_table_has_a_line_under_its_head() -> None:
    assert table(["a", "b"], [["1", "2"], ["3", "4"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"
    assert table(["a"], [["1|2"]]) == "| a |\n| --- |\n| 1\\|2 |"


def test_a_place_is_filled_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a:begin -->\nold\n<!-- a:end -->\n<!-- b:begin -->\nkept\n<!-- b:end -->\n")
    for text in ("new", "newer"):
        Place(page, "a").fill(text)
        assert page.read_text() == (
            f"before\n<!-- a:begin -->\n{text}\n<!-- a:end -->\n<!-- b:begin -->\nkept\n<!-- b:end -->\n"
        )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- a:begin -->",
        "<!-- a:end --><!-- a:begin -->",
        "<!-- a:end --><!-- a:begin --><!-- a:end -->",
        "<!-- a:begin --><!-- a:begin --><!-- a:end -->",
        "<!-- a:begin --><!-- a:end --><!-- a:end -->",
    ],
)
def test_a_page_without_the_place_is_told_at_once(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(PageError, match="page.md must have one line <!-- a:begin --> and after it one line"):
        Place(page, "a")
    with pytest.raises(PageError, match="gone.md cannot be read"):
        Place(tmp_path / "gone.md", "a")
