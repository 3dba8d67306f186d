"""Adapt the speaker embedding network of the speaker frontend to conversations: to rooms, noise and other speakers.

    python recipes/prepare_voices.py speech/manifest.tsv voices/
    python recipes/fetch_frontends.py fetched.pt
    python recipes/refine.py --voices voices/ --turns ami/ --noise noise/ --frontend fetched.pt --into refinement/
    python recipes/adapt.py --voices voices/ --turns ami/ --noise noise/ --frontend refinement/frontend.pt \\
        --into adaptation/

CAM++, which tells voices, was trained on recordings of one speaker. Here it is trained on simulated conversations, to
tell the voice of each speaker as it does from clean speech of the same speaker (`training/adapting.py`). New
conversations are made for each step, as for recipes/train.py, which comes next and takes adaptation/frontend.pt: the
mean of the weights before and after. Checkpoints are kept in adaptation/checkpoints. It can be interrupted: the same
command resumes.
"""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from pyannote_pix2seq.checkpoints import load_checkpoint, load_frontend, save_weights
from pyannote_pix2seq.console.arguments import Parser, at_least_one, whole
from pyannote_pix2seq.console.conversation_options import add_kind, check_conversations, kind_given, simulators_of
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.frontends import SpeakerFrontend
from pyannote_pix2seq.protocol import SyntheticProtocol, origin
from pyannote_pix2seq.training.adapting import (
    AdaptationTraining,
    FixedLessons,
    LessonLoader,
    RandomLessons,
    together,
)
from pyannote_pix2seq.training.lessons import Teacher
from pyannote_pix2seq.training.loaders import outlive_sigterm
from pyannote_pix2seq.training.run import RunError, check_settings, fit


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    add_kind(parser, duration=30.0)
    parser.add_argument(
        "--frontend", type=Path, required=True, help="what recipes/refine.py (or fetch_frontends.py) made"
    )
    parser.add_argument(
        "--into", type=Path, required=True, metavar="FOLDER", help="for the adapted frontend, checkpoints and logs"
    )
    parser.add_argument("--steps", type=at_least_one, default=400, help="training steps (default: 400)")
    parser.add_argument(
        "--validate-every", type=at_least_one, default=100, help="steps between validations (default: 100)"
    )
    parser.add_argument(
        "--development", type=at_least_one, default=40, help="conversations for validation (default: 40)"
    )
    parser.add_argument(
        "--batch-size", type=at_least_one, default=4, help="conversations in a step, of each process (default: 4)"
    )
    parser.add_argument("--processes", type=at_least_one, default=1, help="parallel training processes (default: 1)")
    parser.add_argument("--jobs", type=whole, default=2, help="processes that simulate, for each of these (default: 2)")
    parser.add_argument("--seed", type=whole, default=0, help="of random numbers (default: 0)")
    options = parser.parse_args()
    check_conversations(parser, options)
    return options


def check_into(into: Path) -> None:
    """Refuse a folder of recipes/refine.py, and one with a frontend.pt that would be replaced, of no run that is there.

    Raises
    ------
    RunError
        If it is such a folder.
    """
    if (into / "heard").exists():
        raise RunError(f"{into} is the folder of a run of recipes/refine.py. Name another --into.")
    if (into / "frontend.pt").exists() and not (into / "checkpoints").exists():
        raise RunError(
            f"{into / 'frontend.pt'} is not of a run in this folder. Name another --into, or remove that file."
        )


def loaders(options: argparse.Namespace, adapting: AdaptationTraining, teachers: list[Teacher]) -> list[Any]:
    """Loaders of training and of validation lessons."""
    common: dict[str, Any] = {"collate_fn": together, "worker_init_fn": outlive_sigterm, "num_workers": options.jobs}
    lessons = RandomLessons(teachers[0], adapting), FixedLessons(teachers[1], options.development)
    return [LessonLoader(DataLoader(each, options.batch_size, **common)) for each in lessons]


@rank_zero_only
def write(adapting: AdaptationTraining, before: dict[str, torch.Tensor], options: argparse.Namespace) -> None:
    """Write the adapted frontend."""
    written = options.into / "frontend.pt"
    save_weights(adapting.adapted(before), written)
    same = shlex.join([*kind_given(options), "--frontend", str(written)])
    print(f"Done: {written}. Train a model that listens to it with: python recipes/train.py {same} --into run/")


def main() -> None:
    options = parse()
    frontend = SpeakerFrontend()
    with one_line_messages():
        check_into(options.into)
        before = load_frontend(frontend, options.frontend)
        simulators = simulators_of(options)
        settings = {name: getattr(options, name) for name in ("seed", "batch_size", "processes")}
        made_of = origin(SyntheticProtocol("Lessons", *simulators), "train")
        check_settings(options.into, **settings, frontend=frontend.fingerprint, conversations=made_of)
        adapting = AdaptationTraining(frontend, options.steps, options.validate_every, options.batch_size, options.seed)
        train, validation = loaders(options, adapting, [Teacher(each, frontend) for each in simulators])
        adapting.measure_means(lesson for batch in validation for lesson in batch)
        last = fit(adapting, options.into, options.steps, train, validation, devices=options.processes)
        adapting.load_state_dict(load_checkpoint(last)["state_dict"])
        write(adapting, before, options)


if __name__ == "__main__":
    main()
