"""Render simulated conversations, for tools that want files: wav, rttm, uem and lst.

    python recipes/render.py --voices voices/ --into protocols/synthetic Easy Meeting Broadcast Telephone Crowd
    pyannote-audio benchmark PIPELINE Synthetic.SpeakerDiarization.Crowd results/ --registry protocols/database.yml

Each NAME becomes a folder in FOLDER, and FOLDER/database.yml registers all that are there. It can be interrupted: the
same command resumes. When a protocol is complete, it is read back and checked. The same voices and the same noise give
the same bytes on every run.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

from pyannote_pix2seq.console.arguments import Parser, at_least_one, positive, whole
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.console.label_options import add_labels, labels_of
from pyannote_pix2seq.console.material_options import add_material, noises_of
from pyannote_pix2seq.protocol import SUBSETS, SyntheticProtocol
from pyannote_pix2seq.rendering import render
from pyannote_pix2seq.simulation import Noises, Voices
from pyannote_pix2seq.simulation.difficulty import DIFFICULTIES, TRAINING_SECONDS, simulators
from pyannote_pix2seq.verification import REGISTRY


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("names", nargs="+", metavar="NAME", help=f"difficulties: {', '.join(DIFFICULTIES)}")
    add_material(parser)
    add("--into", type=Path, required=True, metavar="FOLDER", help="output folder")
    for subset in SUBSETS:
        add(f"--{subset}", type=whole, default=100, metavar="N", help="conversations (default: 100)")
    add(
        "--train-duration",
        type=positive,
        default=TRAINING_SECONDS,
        metavar="SECONDS",
        help="of each training conversation (default: 50)",
    )
    add_labels(parser)
    add("--jobs", type=at_least_one, default=2, help="parallel processes (default: 2)")
    return parser.parse_args(arguments)


def make_protocol(name: str, options: argparse.Namespace, noises: Noises | None) -> SyntheticProtocol:
    """Make the protocol of a difficulty, of a finite size."""
    of_subsets: dict[str, Any] = simulators(name, options.voices, noises, options.train_duration)
    sizes = {f"num_{subset}": getattr(options, subset) for subset in SUBSETS}
    return SyntheticProtocol(name, **of_subsets, **sizes, labels=labels_of(options))


def origin_of(name: str, options: argparse.Namespace, noises: Noises | None) -> dict[str, Any]:
    """Provenance of a rendered protocol: all that it depends on except its size."""
    return {
        "difficulty": asdict(DIFFICULTIES[name]),
        "labels": str(labels_of(options)),
        "voices": Voices(options.voices, "train").digest,
        "noise": noises and noises.digest,
        "train_duration": options.train_duration,
    }


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    with one_line_messages():
        noises = noises_of(options)
        protocols = {name: make_protocol(name, options, noises) for name in options.names}
        for name, protocol in protocols.items():
            hours = render(protocol, options.into, origin_of(name, options, noises), options.jobs)
            print(f"{protocol}: {hours:.2f} h, rendered and verified", flush=True)
    print(f"{options.into / REGISTRY} registers all that is in {options.into}.")


if __name__ == "__main__":
    main()
