"""Tables of tab-separated values, such as manifests of recordings."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from pyannote_pix2seq.errors import Pix2SeqError


def read_table(
    path: Path, columns: Sequence[str], error: type[Pix2SeqError], has_quotes: bool = True
) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a table whose first line names its columns.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Those that it must have, with something in every row; there may be others.
    error : type of Pix2SeqError
        What is raised if it does not.
    has_quotes : bool
        Whether double quotes are around cells rather than in them.

    Yields
    ------
    row : (str, dict of str to str)
        Where it is, such as "noise.tsv, line 2", for errors about it; and its cells by column.
    """
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_MINIMAL if has_quotes else csv.QUOTE_NONE)
        try:
            if missing := [column for column in columns if column not in (rows.fieldnames or ())]:
                raise error(
                    f"{path} has no column {', '.join(missing)}. Its first line must name its columns, separated by "
                    f"tabs: {' and '.join(columns)}, and others if you like."
                )
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if missing := [column for column in columns if not row[column]]:
                    raise error(f"{where} has no {', '.join(missing)}. Every row needs {' and '.join(columns)}.")
                yield where, row
        except csv.Error as problem:
            raise error(
                f"{path} cannot be read beyond line {rows.line_num} ({problem}). Give a table of tab-separated values."
            ) from problem
