"""Options of a command line that say what conversations are made of."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from pyannote_pix2seq.simulation import Noises


def add_material(parser: ArgumentParser) -> None:
    """Add the options that name voices and noise; `noises_of` reads the latter."""
    parser.add_argument("--voices", type=Path, required=True, help="what recipes/prepare_voices.py made")
    parser.add_argument(
        "--noise", type=Path, help="folder or manifest of noise recordings (default: all noise is generated)"
    )


def noises_of(options: Namespace) -> Noises | None:
    """Noise recordings that a command line names; None where all noise is to be generated."""
    return Noises(options.noise) if options.noise else None
