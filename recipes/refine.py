"""Train the refinement of the speaker frontend: posteriors of its segmentation network, corrected using CAM++.

    python recipes/prepare_voices.py speech/manifest.tsv voices/
    python recipes/fetch_frontends.py fetched.pt
    python recipes/refine.py --voices voices/ --turns ami/ --noise noise/ --frontend fetched.pt --into refinement/

Conversations are made as for recipes/train.py, which comes next and takes refinement/frontend.pt. The outputs of
segmentation-3.0 and CAM++ are kept in refinement/heard (1.5 MB a minute: 5 GB by default), checkpoints in
refinement/checkpoints. It can be interrupted: the same command resumes.
"""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import torch
from torch.utils.data import DataLoader

from pyannote_pix2seq.checkpoints import load_checkpoint, load_frontend, save_weights
from pyannote_pix2seq.console.arguments import Parser, at_least_one, whole
from pyannote_pix2seq.console.conversation_options import (
    add_conversations,
    check_conversations,
    kind_given,
    protocol_of,
)
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.frontends import TOKEN_DURATION
from pyannote_pix2seq.protocol import origin
from pyannote_pix2seq.training.examples import ExampleCache
from pyannote_pix2seq.training.loaders import LateLoader, outlive_sigterm
from pyannote_pix2seq.training.refining import (
    NUM_TOKENS,
    FirstPieces,
    RandomPieces,
    RefinementFeatures,
    RefinementTraining,
)
from pyannote_pix2seq.training.run import RunError, check_settings, fit

SHORTEST = NUM_TOKENS * TOKEN_DURATION
"""Duration of a piece, in seconds, and so of the shortest conversation."""


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    add_conversations(parser)
    parser.add_argument("--frontend", type=Path, required=True, help="what recipes/fetch_frontends.py made")
    parser.add_argument(
        "--into", type=Path, required=True, help="folder for outputs of the networks, checkpoints and logs"
    )
    parser.add_argument("--steps", type=at_least_one, default=4000, help="training steps (default: 4000)")
    parser.add_argument(
        "--validate-every", type=at_least_one, default=500, help="steps between validations (default: 500)"
    )
    parser.add_argument("--batch-size", type=at_least_one, default=32, help="pieces of 10 s in a step (default: 32)")
    parser.add_argument(
        "--jobs", type=whole, default=2, help="processes that run the networks and draw pieces (default: 2)"
    )
    parser.add_argument("--seed", type=whole, default=0, help="of random numbers (default: 0)")
    options = parser.parse_args()
    check_conversations(parser, options)
    if options.duration < SHORTEST:
        parser.error(f"--duration {options.duration:g}: pieces of {SHORTEST} s are cut out of it. Make it longer.")
    return options


def listen(features: RefinementFeatures, options: argparse.Namespace) -> dict[str, ExampleCache]:
    """Compute and cache the outputs of segmentation and CAM++ for the conversations of each subset."""
    protocol, heard = protocol_of(options), {}
    for subset in ("train", "development"):
        folder = options.into / "heard" / subset
        heard[subset] = ExampleCache(folder, features, origin(protocol, subset), options.duration)
        heard[subset].fill(getattr(protocol, subset)(), options.jobs)
    return heard


def main() -> None:
    options = parse()
    features, written = RefinementFeatures(), options.into / "frontend.pt"
    with one_line_messages():
        if written.exists() and not (options.into / "heard").exists():
            raise RunError(f"{written} is not of a run in this folder, and would be replaced. Name another --into.")
        fetched = load_frontend(features, options.frontend)
        heard = listen(features, options)
        check_settings(options.into, seed=options.seed, batch_size=options.batch_size)
        torch.manual_seed(options.seed)
        refining = RefinementTraining(options.steps, options.validate_every, options.batch_size, options.seed)
        pieces, size = RandomPieces(heard["train"], refining), options.batch_size
        drawn = DataLoader(pieces, size, num_workers=options.jobs, worker_init_fn=outlive_sigterm)
        validated = DataLoader(FirstPieces(heard["development"]), size)
        last = fit(refining, options.into, options.steps, LateLoader(drawn), validated, devices=1)
        trained = load_checkpoint(last)["state_dict"]
        refined = {name: weight for name, weight in trained.items() if name.startswith("refinement.")}
        save_weights({**fetched, **refined}, written)  # the others as they were, mostly in half precision
    same = shlex.join([*kind_given(options), "--frontend", str(written)])
    print(f"Done: {written}. Train a model that listens to it with: python recipes/train.py {same} --into run/")


if __name__ == "__main__":
    main()
