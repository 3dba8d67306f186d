"""Train a Pix2Seq model on conversations simulated from single-speaker speech.

    python recipes/prepare_voices.py speech/manifest.tsv voices/
    python recipes/fetch_frontends.py fetched.pt
    python recipes/refine.py --voices voices/ --turns ami/ --noise noise/ --frontend fetched.pt --into refinement/
    python recipes/train.py --voices voices/ --turns ami/ --noise noise/ --frontend refinement/frontend.pt --into run/

Nothing but the voices and the turns is needed: without --noise all noise is generated. --difficulty NAME, instead of
--turns, takes a kind of conversation of docs/simulation.md. Audio tokens are computed first and kept in run/tokens
(this is what takes long), then the model is trained; checkpoints are kept in run/checkpoints. It can be interrupted:
the same command resumes. Then recipes/export.py makes a pipeline of the last checkpoint.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pyannote_pix2seq.checkpoints import MODEL, load_checkpoint, load_frontend, load_model
from pyannote_pix2seq.console.arguments import Parser, at_least_one, positive, whole
from pyannote_pix2seq.console.conversation_options import add_conversations, check_conversations, protocol_of
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.frontends.bfloat16 import has_bfloat16
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.network.compensation import ChannelCompensation
from pyannote_pix2seq.origin import weights_digest
from pyannote_pix2seq.protocol import SyntheticProtocol, origin
from pyannote_pix2seq.task import SequenceDiarization
from pyannote_pix2seq.training.checks import PRECISIONS
from pyannote_pix2seq.training.run import check_settings, fit

AVERAGING = 0.998
"""Decay of the running mean of the weights, which is validated and kept: over some 500 steps, fewer at first, see
`average`."""


def model_of(path: str) -> Path:
    """The model of a pipeline, given the folder that recipes/export.py made; anything else as it is."""
    is_pipeline = Path(path, "config.yaml").is_file() and Path(path, MODEL).is_dir()
    return Path(path, MODEL) if is_pipeline else Path(path)


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    add_conversations(parser)
    parser.add_argument(
        "--frontend",
        type=Path,
        help="what recipes/refine.py or fetch_frontends.py made; with neither this nor --initial, one is learned",
    )
    parser.add_argument(
        "--initial",
        type=model_of,
        help="checkpoint, or folder of a pipeline, to start from; --frontend replaces its own",
    )
    parser.add_argument("--into", type=Path, required=True, help="folder for audio tokens, checkpoints and logs")
    parser.add_argument("--steps", type=at_least_one, default=4000, help="training steps (default: 4000)")
    parser.add_argument(
        "--validate-every", type=at_least_one, default=500, help="steps between validations (default: 500)"
    )
    parser.add_argument(
        "--batch-size", type=at_least_one, default=16, help="windows in a step, over all processes (default: 16)"
    )
    parser.add_argument(
        "--learning-rate", type=positive, default=1e-3, help="largest one, after a warm-up (default: 0.001)"
    )
    parser.add_argument(
        "--num-samples",
        type=whole,
        default=0,
        help="minimise the errors of so many sequences that are drawn for each window, 2 or more, instead of "
        "cross-entropy: for a model that has been trained, with a learning rate of 0.0001 (default: 0, none)",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of Lightning's Trainer (default: bf16-mixed, or 32-true on devices without bfloat16)",
    )
    parser.add_argument(
        "--jobs",
        type=whole,
        default=2,
        help="processes that compute audio tokens (or render, for a GPU) and draw windows (default: 2)",
    )
    parser.add_argument("--processes", type=at_least_one, default=1, help="parallel training processes (default: 1)")
    parser.add_argument("--seed", type=whole, default=0, help="of random numbers (default: 0)")
    options = parser.parse_args()
    check_conversations(parser, options)
    if options.batch_size % options.processes:
        parser.error(
            f"--processes {options.processes} cannot share --batch-size {options.batch_size} evenly. Make the batch a "
            f"multiple of the processes."
        )
    return options


def make_model(options: argparse.Namespace, task: SequenceDiarization) -> Pix2Seq:
    torch.manual_seed(options.seed)
    if options.initial:
        model = load_model(options.initial)
        model.task = task
    else:
        model = Pix2Seq(frontend="speaker" if options.frontend else "voiced_mel", task=task)
        model.build()  # all layers have to be there when the trainer begins to average weights
    if options.frontend:
        load_frontend(model.frontend, options.frontend)
    if options.frontend or not model.frontend.frozen:
        model.compensation = ChannelCompensation(model.frontend.voice_dim)  # that of the initial model is of its voices
    return model


def settings(options: argparse.Namespace, model: Pix2Seq, protocol: SyntheticProtocol) -> dict[str, Any]:
    """What a run begins with, and goes on with; compensation of channels is no part of training."""
    weights = {name: weight for name, weight in model.state_dict().items() if not name.startswith("compensation.")}
    return {
        "seed": options.seed,
        "batch_size": options.batch_size,
        "processes": options.processes,
        "initial_weights": options.initial and weights_digest(weights),
        "learning_rate": options.learning_rate,
        "num_samples": options.num_samples,
        "num_conversations": options.conversations,
        "frontend": model.frontend.fingerprint,
        "conversations": origin(protocol, "train"),
        "development": origin(protocol, "development"),
    }


def average(averaged: list[Tensor], weights: list[Tensor], num_steps: Tensor | int) -> None:
    """Move averaged weights towards those of a step; faster at first, so that initial weights are soon forgotten."""
    decay = min(AVERAGING, (1 + int(num_steps)) / (10 + int(num_steps)))
    get_ema_multi_avg_fn(decay)(averaged, weights, num_steps)


@rank_zero_only
def say_done(last: Path) -> None:
    print(f"Done: {last}, of step {load_checkpoint(last)['global_step']}.")
    print(f"Make a pipeline of it with: python recipes/export.py {last} pipeline/")


def main() -> None:
    options = parse()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with one_line_messages():
        protocol = protocol_of(options)
        task = SequenceDiarization(
            protocol,
            options.into / "tokens",
            stretch=options.duration,
            batch_size=options.batch_size // options.processes,
            steps_per_epoch=options.validate_every,
            num_workers=options.jobs,
            num_samples=options.num_samples,
            learning_rate=options.learning_rate,
            seed=options.seed,
        )
        model = make_model(options, task)
        check_settings(options.into, **settings(options, model, protocol))
        last = fit(
            model,
            options.into,
            options.steps,
            callbacks=[WeightAveraging(multi_avg_fn=average)],
            accelerator="auto",
            devices=options.processes,
            precision=options.precision or ("bf16-mixed" if has_bfloat16(device) else "32-true"),
        )
        say_done(last)


if __name__ == "__main__":
    main()
