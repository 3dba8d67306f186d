"""Pages of documentation that recipes fill in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


class PageError(ValueError):
    """A page that has no place for what is to be written into it."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def insert(text: str, page: Path, mark: str) -> None:
    """Put text between the two comments of a page, `<!-- MARK:begin -->` and `<!-- MARK:end -->`.

    Raises
    ------
    PageError
        If the page has not exactly one of each, in this order.
    """
    begin, end = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
    before, *after = page.read_text(encoding="utf-8").split(begin)
    parts = after[0].split(end) if len(after) == 1 else []
    if len(parts) != 2:
        raise PageError(f"{page} needs one line {begin} and, after it, one line {end}, to say where the table goes.")
    page.write_text(f"{before}{begin}\n{text}\n{end}{parts[1]}", encoding="utf-8")
