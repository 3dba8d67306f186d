"""Options of a command line that choose the systems to compare."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from itertools import product, starmap

from pyannote_pix2seq import PRETRAINED
from pyannote_pix2seq.console.arguments import at_least_one, whole
from pyannote_pix2seq.evaluation.system import System, UnknownSystemError, check_names
from pyannote_pix2seq.strategies.strategy import STRATEGIES


def parse_systems(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None
) -> tuple[argparse.Namespace, list[System]]:
    """Parse a command line that also chooses the systems to compare; the program ends if they are not valid.

    Returns
    -------
    options : argparse.Namespace
        `threads` is how many each system may use.
    systems : list of System
        Pipelines first; ours unless others are named.
    """
    add = parser.add_argument
    add("--pipeline", action="append", metavar="FOLDER", help="for Pipeline.from_pretrained (default: ours) *")
    add("--strategy", nargs="+", choices=STRATEGIES, help="run each pipeline with each of these")
    add("--seed", nargs="+", type=whole, help="run each pipeline with each of these random seeds")
    add("--peer", action="append", default=[], metavar="NAME=COMMAND", help="another system, or NAME=FOLDER *")
    add("--threads", type=at_least_one, default=2, help="CPU threads of each system (default: 2)")
    parser.epilog = "* may be given several times; see pyannote_pix2seq/evaluation/answer.py and recipes/peers/"
    options = parser.parse_args(arguments)
    try:
        pipelines = options.pipeline or [str(PRETRAINED)], options.strategy or [None], options.seed or [None]
        return options, _systems(starmap(System.of_pipeline, product(*pipelines)), options.peer)
    except UnknownSystemError as error:
        parser.error(str(error))


def _systems(pipelines: Iterable[System], peers: Sequence[str]) -> list[System]:
    systems = [*pipelines, *map(System.of_peer, peers)]
    check_names(systems)
    return systems
