"""Make a pipeline recognise enrolled speakers in other rooms, through telephones and in noise.

    python recipes/compensate.py pipeline/ --voices voices/ --noise noise/ --into heard/

Comes after recipes/export.py. Conversations of all difficulties, and one speaker at a time close to a microphone, are
simulated from training voices and heard by the frontend of the pipeline. How the voice of a speaker differs from
conversation to conversation is fitted (`training/compensating.py`), and written into the weights of the pipeline, which
is otherwise as it was. Audio tokens are kept in FOLDER (0.2 MB a conversation). It can be interrupted: the same command
resumes.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

from pyannote_pix2seq import PRETRAINED
from pyannote_pix2seq.checkpoints import MODEL, WEIGHTS, load_checkpoint, load_model, save_weights
from pyannote_pix2seq.console.arguments import Parser, at_least_one, positive, whole
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.console.material_options import add_material, noises_of
from pyannote_pix2seq.frontends import Frontend
from pyannote_pix2seq.protocol import SyntheticProtocol, origin
from pyannote_pix2seq.simulation import Simulator, Voices
from pyannote_pix2seq.simulation.difficulty import DIFFICULTIES, simulator
from pyannote_pix2seq.training.compensating import check_has_voices, fit, heard_voices
from pyannote_pix2seq.training.examples import ExampleCache

SAME_PERSON: dict[str, Any] = {"speed": (1.0, 1.0), "pitch_probability": 0.0}
"""A voice that is played faster, or higher, is another speaker's."""


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("pipeline", type=Path, help="folder that recipes/export.py made")
    add_material(parser)
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="for what is heard")
    parser.add_argument("--split", default="train", help="of the voices (default: train)")
    parser.add_argument(
        "--difficulties",
        nargs="+",
        choices=DIFFICULTIES,
        default=list(DIFFICULTIES),
        metavar="NAME",
        help="kinds of conversations (default: all)",
    )
    parser.add_argument("--conversations", type=at_least_one, default=300, help="of each kind (default: 300)")
    parser.add_argument("--duration", type=positive, default=30.0, help="of each, in seconds (default: 30)")
    parser.add_argument("--jobs", type=whole, default=2, help="processes that simulate and listen (default: 2)")
    options = parser.parse_args()
    if not (options.pipeline / MODEL / WEIGHTS).is_file():
        parser.error(f"{options.pipeline} is not the folder of a pipeline. Name one that recipes/export.py made.")
    if PRETRAINED.resolve().parent in (options.pipeline / MODEL).resolve().parents:
        parser.error(
            f"{options.pipeline} is part of the package, whose own weights are not changed. Copy the folder "
            f"(cp -rL {options.pipeline} pipeline/), and name the copy."
        )
    return options


def simulators(options: argparse.Namespace) -> dict[str, Simulator]:
    """Simulators by name: of all difficulties, and of speakers who are alone."""
    voices, noises = Voices(options.voices, options.split), noises_of(options)
    made = {name: simulator(name, voices, noises, options.duration) for name in options.difficulties}
    made["Alone"] = simulator("Easy", voices, noises, options.duration, (1, 1))
    for one in made.values():
        one.acoustics = replace(one.acoustics, **SAME_PERSON)
    return made


def heard(options: argparse.Namespace, frontend: Frontend) -> ExampleCache:
    """What the frontend hears of all conversations."""
    sizes = {"num_train": options.conversations, "num_development": 0, "num_test": 0}
    protocols = [SyntheticProtocol(name, made, made, **sizes) for name, made in simulators(options).items()]
    sources = "; ".join(origin(protocol, "train") for protocol in protocols)
    cache = ExampleCache(options.into, frontend, sources, options.duration)
    cache.fill([file for protocol in protocols for file in protocol.train()], options.jobs)
    return cache


def main() -> None:
    options = parse()
    weights = options.pipeline / MODEL / WEIGHTS
    with one_line_messages():
        frontend = load_model(weights).frontend
        check_has_voices(frontend)
        cache = heard(options, frontend)
        voices = heard_voices((cache[index] for index in range(len(cache))), frontend)
        fitted = {f"compensation.{name}": value for name, value in fit(voices).state_dict().items()}
        checkpoint = load_checkpoint(weights)
        save_weights({**checkpoint, "state_dict": {**checkpoint["state_dict"], **fitted}}, weights)
    print(
        f"{len(voices.speakers)} voices of {len(set(voices.speakers))} speakers in {len(cache)} conversations: names "
        f"are given from a similarity of {fitted['compensation.least']:.2f} on."
    )


if __name__ == "__main__":
    main()
