"""Options of a command line that choose a style of labels."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial

from pyannote_pix2seq.simulation.labels import Labels


def add_labels(parser: ArgumentParser) -> None:
    """Add the options of a style of labels to a command line; `labels_of` reads them."""
    add = partial(parser.add_argument, type=float, default=0.0, metavar="SECONDS")
    add("--merge-pauses", help="label shorter pauses of a speaker as speech (default: 0)")
    add("--padding", help="labels begin earlier and end later than turns; below 0, the other way (default: 0)")


def labels_of(options: Namespace) -> Labels:
    """Style of labels that a command line asks for.

    Raises
    ------
    LabelsError
        As the constructor of `Labels` does.
    """
    return Labels(options.merge_pauses, options.padding)
