"""Reading turns from RTTM files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pyannote_pix2seq.errors import missing
from pyannote_pix2seq.simulation.seed import seed_of
from pyannote_pix2seq.simulation.turns import Turns, TurnsError, in_order_of_appearance
from pyannote_pix2seq.vocabulary import Triplet


def read_rttm(path: Path) -> dict[str, Turns]:
    """Read turns from Rich Transcription Time Marked lines (NIST RT-09 evaluation plan, appendix A).

        SPEAKER uri channel start duration <NA> <NA> speaker <NA> <NA>

    Parameters
    ----------
    path : Path
        Lines of another type than SPEAKER, comments (;;) and empty lines are skipped.

    Returns
    -------
    recordings : dict of str to list of Triplet
        Turns of each uri, sorted; speakers are numbered in order of appearance.

    Raises
    ------
    TurnsError
        If there is no such file, it cannot be read, or a line is malformed; the message names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise TurnsError(missing(path, "file or folder")) from error  # callers take folders, too
    except (OSError, UnicodeDecodeError) as error:
        raise TurnsError(f"{path} cannot be read as RTTM: {error}.") from error
    recordings: dict[str, Turns] = {}
    names: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            uri, start, seconds, speaker = fields[1], float(fields[3]), float(fields[4]), fields[7]
        except (IndexError, ValueError) as error:
            raise TurnsError(f"{path}, line {number}: {line!r} is not an RTTM line ({error}).") from error
        if not (0 <= start < np.inf and 0 <= seconds < np.inf):
            raise TurnsError(
                f"{path}, line {number}: start {start} and duration {seconds} have to be numbers of seconds, 0 or "
                f"more. Mend the line, or leave it out."
            )
        name = names.setdefault((uri, speaker), len(names))
        recordings.setdefault(uri, []).append(Triplet(start, start + seconds, name))
    return {uri: in_order_of_appearance(turns) for uri, turns in recordings.items()}


def find_rttms(*paths: Path | str) -> list[Path]:
    """RTTM files of folders, sorted, and files as they are given.

    Raises
    ------
    TurnsError
        If there is none in a folder.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        found = sorted(path.glob("*.rttm")) if path.is_dir() else [path]
        if not found:
            raise TurnsError(f"No .rttm file in {path}. Give folders of them, or files.")
        files += found
    return files


def in_thirds(files: Iterable[Path]) -> list[list[Path]]:
    """Split files into three parts, the same every time, to fit to two of them and to measure on the third.

    Meetings of the same people stay together: their names differ by nothing but a letter after a number, as ES2005a and
    ES2005b.
    """
    thirds: list[list[Path]] = [[], [], []]
    for file in files:
        thirds[seed_of(re.sub(r"(?<=\d)[a-z]$", "", file.stem)) % 3].append(file)
    return thirds
