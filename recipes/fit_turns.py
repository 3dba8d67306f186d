"""Fit turn-taking to RTTM files.

    python recipes/fit_turns.py ami/ ami.json
    python recipes/fit_turns.py ami/ ami.json --hold-out 2

Then `FittedTurns.load("ami.json")` draws who speaks when. The ready fits of the package were made with `--hold-out`:
see docs/simulation.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pyannote_pix2seq.console.arguments import Parser, at_least_one
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.simulation import FittedTurns
from pyannote_pix2seq.simulation.rttm import find_rttms, in_thirds

SUFFIX = ".json"
"""Of what is written: where it is forgotten, the last RTTM file must not be taken for it, and be replaced."""


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("rttms", type=Path, nargs="+", metavar="RTTMS", help="folders and files")
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write, .json")
    parser.add_argument("--hold-out", type=int, choices=range(3), help="third of the recordings to leave out")
    parser.add_argument("--kinds", type=at_least_one, default=16, help="number of kinds of recordings (default: 16)")
    parser.add_argument("--moods", type=at_least_one, default=12, help="number of moods of conversations (default: 12)")
    options = parser.parse_args()
    if options.out.suffix != SUFFIX:
        parser.error(
            f"{options.out} would be written, as it comes last, and is no {SUFFIX} file. Put the file to write behind "
            f"the recordings, for instance turns{SUFFIX}."
        )
    return options


def fit(options: argparse.Namespace) -> str:
    """Fit turn-taking and save it; return a line about what it was fitted to."""
    files = find_rttms(*options.rttms)
    held_out = [] if options.hold_out is None else in_thirds(files)[options.hold_out]
    used = [file for file in files if file not in held_out]
    turns = FittedTurns.fit(*used, num_kinds=options.kinds, num_moods=options.moods)
    turns.save(options.out)
    return f"{options.out}: {turns!r}; {len(held_out)} files held out"


def main() -> None:
    options = parse()
    with one_line_messages():
        print(fit(options))


if __name__ == "__main__":
    main()
