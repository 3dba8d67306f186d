"""Adapt the voices of a pipeline to rooms, noise and other speakers.

    python recipes/adapt.py pipeline/ --voices voices/ --turns ami/ --noise noise/ --into adaptation/

Comes after recipes/export.py. CAM++, which tells voices in the speaker frontend, was trained on recordings of one
speaker. Here a copy of its last layers is trained on simulated conversations, to tell the voice of each speaker as
CAM++ does from clean speech of the same speaker (`training/adapting.py`). The pipeline, with the mean of these weights
before and after, is written to adaptation/pipeline, checkpoints to adaptation/checkpoints. Names were not fitted to its
voices: recipes/compensate.py comes next. It can be interrupted: the same command resumes.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from pyannote_pix2seq.checkpoints import MODEL, WEIGHTS, load_checkpoint, load_model, save_weights
from pyannote_pix2seq.console.arguments import Parser, at_least_one, whole
from pyannote_pix2seq.console.conversation_options import add_kind, check_conversations, simulators_of
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.frontends import SpeakerFrontend
from pyannote_pix2seq.network.compensation import ChannelCompensation
from pyannote_pix2seq.protocol import SyntheticProtocol, origin
from pyannote_pix2seq.training.adapting import AdaptationTraining, FixedLessons, RandomLessons, together
from pyannote_pix2seq.training.lessons import Teacher
from pyannote_pix2seq.training.loaders import LateLoader, outlive_sigterm
from pyannote_pix2seq.training.run import RunError, check_settings, fit

ADAPTED = "pipeline"
"""Folder that is written."""


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("pipeline", type=Path, help="folder that recipes/export.py made")
    add_kind(parser, duration=30.0)
    parser.add_argument(
        "--into", type=Path, required=True, metavar="FOLDER", help="for the adapted pipeline, checkpoints and logs"
    )
    parser.add_argument("--steps", type=at_least_one, default=1000, help="training steps (default: 1000)")
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
    parser.add_argument("--jobs", type=whole, default=1, help="processes that simulate, for each of these (default: 1)")
    parser.add_argument("--seed", type=whole, default=0, help="of random numbers (default: 0)")
    options = parser.parse_args()
    check_conversations(parser, options)
    if not (options.pipeline / MODEL / WEIGHTS).is_file():
        parser.error(f"{options.pipeline} is not the folder of a pipeline. Name one that recipes/export.py made.")
    return options


def frontend_of(pipeline: Path) -> SpeakerFrontend:
    """Frontend of a pipeline.

    Raises
    ------
    RunError
        If its voices are not those of CAM++.
    """
    frontend = load_model(pipeline / MODEL / WEIGHTS).frontend
    if not isinstance(frontend, SpeakerFrontend):
        raise RunError(
            f"The frontend of {pipeline} is a {type(frontend).__name__}, whose voices are learned with the model. Only "
            f"those of a SpeakerFrontend, of `recipes/train.py --frontend`, are adapted."
        )
    return frontend


def loaders(options: argparse.Namespace, adapting: AdaptationTraining, teachers: list[Teacher]) -> list[Any]:
    """Loaders of training and of validation lessons."""
    common: dict[str, Any] = {"collate_fn": together, "worker_init_fn": outlive_sigterm, "num_workers": options.jobs}
    lessons = RandomLessons(teachers[0], adapting), FixedLessons(teachers[1], options.development)
    return [LateLoader(DataLoader(each, options.batch_size, **common)) for each in lessons]


@rank_zero_only
def write(adapting: AdaptationTraining, options: argparse.Namespace) -> None:
    """Write the pipeline with adapted weights; its compensation is none, as if it had never been fitted."""
    written = options.into / ADAPTED
    shutil.copytree(options.pipeline, written, dirs_exist_ok=True)
    checkpoint = load_checkpoint(options.pipeline / MODEL / WEIGHTS)
    weights, prefix = checkpoint["state_dict"], "frontend."
    heard = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
    adapted = {prefix + name: weight for name, weight in adapting.adapted(heard).items()}
    none = ChannelCompensation(adapting.frontend.voice_dim).state_dict()
    uncompensated = {f"compensation.{name}": value for name, value in none.items()}
    save_weights({**checkpoint, "state_dict": {**weights, **adapted, **uncompensated}}, written / MODEL / WEIGHTS)
    print(f"Done: {written}. Have it recognise enrolled speakers: python recipes/compensate.py {written} ...")


def main() -> None:
    options = parse()
    with one_line_messages():
        frontend = frontend_of(options.pipeline)
        simulators = simulators_of(options)
        settings = {name: getattr(options, name) for name in ("seed", "batch_size", "processes")}
        made_of = origin(SyntheticProtocol("Lessons", *simulators), "train")
        check_settings(options.into, **settings, frontend=frontend.fingerprint, conversations=made_of)
        adapting = AdaptationTraining(frontend, options.steps, options.validate_every, options.batch_size, options.seed)
        train, validation = loaders(options, adapting, [Teacher(each, frontend) for each in simulators])
        adapting.measure_means([lesson for batch in validation for lesson in batch])
        last = fit(adapting, options.into, options.steps, train, validation, devices=options.processes)
        adapting.load_state_dict(load_checkpoint(last)["state_dict"])
        write(adapting, options)


if __name__ == "__main__":
    main()
