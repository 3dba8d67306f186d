"""Train a Pix2Seq model on conversations made from single-speaker speech.

    python recipes/prepare_voices.py speech/manifest.tsv voices/
    python recipes/fetch_frontends.py frontend.pt
    python recipes/train.py --voices voices/ --turns ami/ --noise noise/ --frontend frontend.pt --into run/

Nothing but the voices and the turns is needed: without --noise all noise is generated. --difficulty NAME, in the place
of --turns, takes a kind of conversation of docs/simulation.md. Audio tokens are computed first and kept in run/tokens
(this is what takes long), then the model is trained; checkpoints are kept in run/checkpoints. Stop it when you like:
the same command goes on where it was. At the end, recipes/export.py makes a pipeline of the last checkpoint.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import torch  # noqa: E402
from lightning import Trainer  # noqa: E402
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar, WeightAveraging  # noqa: E402
from lightning.pytorch.loggers import CSVLogger  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.optim.swa_utils import get_ema_multi_avg_fn  # noqa: E402

from pyannote_pix2seq.model import Pix2Seq  # noqa: E402
from pyannote_pix2seq.pipeline import load_model  # noqa: E402
from pyannote_pix2seq.protocol import SyntheticProtocol  # noqa: E402
from pyannote_pix2seq.simulation import Acoustics, Noises, Simulator, TakenTurns, Voices  # noqa: E402
from pyannote_pix2seq.simulation.difficulty import DIFFICULTIES, simulators  # noqa: E402
from pyannote_pix2seq.simulation.labels import Labels  # noqa: E402
from pyannote_pix2seq.task import SequenceDiarization  # noqa: E402

LAST = "last.ckpt"
AVERAGING = 0.998
"""The weights that are validated and kept are a running mean over some 500 steps, over fewer at first: `average`."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", type=Path, required=True, help="what recipes/prepare_voices.py made")
    conversation = parser.add_mutually_exclusive_group(required=True)
    conversation.add_argument(
        "--turns",
        type=Path,
        nargs="+",
        help="folders of RTTM files; named twice, drawn from twice as often",
    )
    conversation.add_argument("--difficulty", choices=DIFFICULTIES, help="kind of conversation")
    parser.add_argument("--noise", type=Path, help="folder or manifest of noise recordings")
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--frontend", type=Path, help="what recipes/fetch_frontends.py made; without it, `mel` is learned"
    )
    model.add_argument("--initial", type=Path, help="checkpoint, or model of a pipeline, to start from")
    parser.add_argument("--into", type=Path, required=True, help="folder for audio tokens, checkpoints and logs")
    parser.add_argument("--conversations", type=int, default=4000, help="for training (default: 4000)")
    parser.add_argument("--development", type=int, default=40, help="conversations for validation (default: 40)")
    parser.add_argument("--duration", type=float, default=50.0, help="of a conversation, in seconds (default: 50)")
    Labels.add_options(parser)
    parser.add_argument(
        "--hesitations", type=float, default=0.0, help="short pauses a second within turns of --turns (default: 0)"
    )
    parser.add_argument("--steps", type=int, default=4000, help="of training (default: 4000)")
    parser.add_argument("--validate-every", type=int, default=500, help="steps (default: 500)")
    parser.add_argument(
        "--batch-size", type=int, default=16, help="windows in a step, over all processes (default: 16)"
    )
    parser.add_argument("--precision", default="bf16-mixed", help="of Lightning's Trainer (default: bf16-mixed)")
    parser.add_argument("--jobs", type=int, default=2, help="processes that compute audio tokens (default: 2)")
    parser.add_argument("--processes", type=int, default=1, help="that train side by side (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    options = parser.parse_args()
    if options.difficulty and options.hesitations:
        parser.error(
            f"--difficulty {options.difficulty} decides how people speak. Leave out --hesitations, or give --turns in "
            f"the place of --difficulty."
        )
    return options


def make_protocol(options: argparse.Namespace) -> SyntheticProtocol:
    """Training conversations of the train voices, validation conversations of the dev voices."""
    noises = Noises(options.noise) if options.noise else None
    labels = Labels.of(options)
    sizes = {"num_train": options.conversations, "num_development": options.development, "num_test": 0}
    if options.difficulty:
        made = simulators(options.difficulty, options.voices, noises, options.duration)
        return SyntheticProtocol(options.difficulty, **made, labels=labels, **sizes)
    turns = TakenTurns.from_rttms(*options.turns, hesitations=options.hesitations)
    taken = [
        Simulator(voices, turns, Acoustics(noises=noises, bystanders=voices), duration)
        for voices, duration in (
            (Voices.load(options.voices, "train"), options.duration),
            (Voices.load(options.voices, "dev"), 30.0),
        )
    ]
    return SyntheticProtocol("Meeting", *taken, labels=labels, **sizes)


def make_model(options: argparse.Namespace, task: SequenceDiarization) -> Pix2Seq:
    torch.manual_seed(options.seed)
    if options.initial:
        model = load_model(str(options.initial), token=None, cache_dir=None)
        model.task = task
        return model
    model = Pix2Seq(frontend="speaker" if options.frontend else "mel", task=task)
    if options.frontend:
        model.frontend.load_state_dict(torch.load(options.frontend, weights_only=True))
    model.build()  # all layers have to be there when the trainer begins to average weights
    return model


def average(averaged: list[Tensor], weights: list[Tensor], num_steps: Tensor | int) -> None:
    """Move averaged weights towards those of a step: fast at first, or they would long be those of the beginning."""
    decay = min(AVERAGING, (1 + int(num_steps)) / (10 + int(num_steps)))
    get_ema_multi_avg_fn(decay)(averaged, weights, num_steps)


def main() -> None:
    options = parse()
    checkpoints = options.into / "checkpoints"
    task = SequenceDiarization(
        make_protocol(options),
        options.into / "tokens",
        stretch=options.duration,
        batch_size=options.batch_size // options.processes,
        steps_per_epoch=options.validate_every,
        num_workers=options.jobs,
        seed=options.seed,
    )
    trainer = Trainer(
        accelerator="auto",
        devices=options.processes,
        max_steps=options.steps,
        precision=options.precision,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        logger=CSVLogger(options.into, name="logs"),
        callbacks=[
            ModelCheckpoint(checkpoints, filename="last", every_n_train_steps=100, enable_version_counter=False),
            TQDMProgressBar(refresh_rate=10),
            WeightAveraging(multi_avg_fn=average),
        ],
    )
    last = checkpoints / LAST
    trainer.fit(make_model(options, task), ckpt_path=last if last.exists() else None, weights_only=False)
    trainer.save_checkpoint(last)
    print(f"Done: {last}. Make a pipeline of it with: python recipes/export.py {last} pipeline/")


if __name__ == "__main__":
    main()
