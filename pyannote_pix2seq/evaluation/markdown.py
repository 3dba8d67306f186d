"""Tables in Markdown, and the places of a page that they go into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pyannote_pix2seq.errors import Pix2SeqError


class PageError(Pix2SeqError, ValueError):
    """A page without the place that is to be filled."""


class Place:
    """The text between two comments of a page, `<!-- name:begin -->` and `<!-- name:end -->`.

    Parameters
    ----------
    page : Path
    name : str

    Raises
    ------
    PageError
        If the page cannot be read, or does not have both comments once, in this order.
    """

    def __init__(self, page: Path, name: str) -> None:
        self.page = page
        self._begin, self._end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        self._parts()

    def fill(self, text: str) -> None:
        """Replace the text; raises what the constructor raises."""
        before, after = self._parts()
        self.page.write_text(f"{before}{self._begin}\n{text}\n{self._end}{after}", encoding="utf-8")

    def _parts(self) -> tuple[str, str]:
        """The page before the first comment, and after the second."""
        try:
            text = self.page.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PageError(f"{self.page} cannot be read: {error}.") from error
        before, begin, rest = text.partition(self._begin)
        _, end, after = rest.partition(self._end)
        if not (begin and end) or self._begin in rest or self._end in before + after:
            raise PageError(f"{self.page} must have one line {self._begin} and after it one line {self._end}.")
        return before, after


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format cells as a Markdown table, in which what ends a cell is escaped."""
    lines = ([cell.replace("|", r"\|") for cell in row] for row in [head, ["---"] * len(head), *rows])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
