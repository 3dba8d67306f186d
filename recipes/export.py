"""Export a checkpoint as a pipeline: a folder for `Pipeline.from_pretrained`.

    python recipes/export.py run/checkpoints/last.ckpt pipeline/

A folder that holds anything else is refused, and a pipeline is replaced only with --overwrite.

What only training needs is left out. Weights that float16 can hold without loss are stored as such; --float16 rounds
the others, except those of a frozen frontend. No strategy is written: the pipeline chooses it, depending on whether its
model has speaker embeddings that are pretrained.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from textwrap import shorten
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import torch
import yaml
from torch import Tensor

from pyannote_pix2seq.atomic import atomic_write, part_of
from pyannote_pix2seq.checkpoints import MODEL, WEIGHTS, load_checkpoint, load_model, save_weights
from pyannote_pix2seq.console.arguments import Parser
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.frontends import Frontend
from pyannote_pix2seq.pipeline import Pix2SeqDiarization

KEPT = (
    "state_dict",
    "hyper_parameters",
    "pytorch-lightning_version",
    "pyannote.audio",
    "epoch",
    "global_step",
)
DECODING = {"method": "consensus", "temperature": 0.8, "num_samples": 32, "threshold": 0.45}
"""See docs/log.md, 2026-11-25, 2026-11-26 and 2026-11-29."""


def compact(weight: Tensor, is_rounded: bool = False) -> Tensor:
    """Convert a weight to half precision if that loses nothing, or if it `is_rounded`."""
    half = weight.half()
    fits = is_rounded or torch.equal(half.to(weight.dtype), weight)
    return half if weight.is_floating_point() and fits else weight


def configuration() -> dict[str, Any]:
    """Contents of the config.yaml of a pipeline, which lies beside its model."""
    return {
        "dependencies": {name: version(name) for name in ("pyannote.audio", "pyannote-pix2seq")},
        "pipeline": {
            "name": f"{Pix2SeqDiarization.__module__}.{Pix2SeqDiarization.__qualname__}",
            "params": {"model": f"$model/{MODEL}", "decoding": DECODING},
        },
    }


def exported(checkpoint: Path, frontend: Frontend, is_rounded: bool) -> dict[str, Any]:
    """The part of a checkpoint that a model is loaded from; pretrained weights are never rounded."""
    everything = load_checkpoint(checkpoint)
    frozen = ("frontend.",) if frontend.frozen else ()
    weights = {
        name: compact(weight, is_rounded and not name.startswith(frozen))
        for name, weight in everything["state_dict"].items()
    }
    return {**{key: everything[key] for key in KEPT}, "state_dict": weights}


def check(folder: Path, is_replaced: bool) -> None:
    """Refuse a folder of something else, and that of a pipeline unless it is to be replaced.

    Raises
    ------
    ArgumentError
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if names and not is_of_pipeline(folder):
        raise ArgumentError(
            f"{folder} is to be the folder of a pipeline, and holds {shorten(', '.join(names), 80)}, which is none. "
            f"Name another folder, or an empty one."
        )
    if names and not is_replaced:
        raise ArgumentError(f"{folder} holds a pipeline already. Name another folder, or replace it with --overwrite.")


def is_of_pipeline(folder: Path) -> bool:
    """Whether a folder holds a pipeline of this package, or the beginning of one that was interrupted."""
    config, weights = folder / "config.yaml", folder / MODEL / WEIGHTS
    if config.is_file():
        return Pix2SeqDiarization.__qualname__ in config.read_text(encoding="utf-8", errors="replace")
    files = {path for path in folder.rglob("*") if path.is_file()}
    return files <= {part_of(config), weights, part_of(weights)}


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="e.g. run/checkpoints/last.ckpt")
    parser.add_argument("into", type=Path, help="folder of the pipeline")
    parser.add_argument("--float16", action="store_true", help="round trained weights to float16, too")
    parser.add_argument("--overwrite", action="store_true", help="replace a pipeline in that folder")
    options = parser.parse_args()
    if not options.checkpoint.is_file():
        parser.error(f"{options.checkpoint} is not a file. Name a checkpoint, such as recipes/train.py makes.")
    if options.into.is_file():
        parser.error(f"{options.into} is a file. Name the folder that the pipeline is to be in.")
    weights, config = options.into / MODEL / WEIGHTS, options.into / "config.yaml"
    with one_line_messages():
        check(options.into, options.overwrite)
        model = load_model(options.checkpoint)
        weights.parent.mkdir(parents=True, exist_ok=True)
        save_weights(exported(options.checkpoint, model.frontend, options.float16), weights)
        with atomic_write(config) as part:
            part.write_text(yaml.safe_dump(configuration(), sort_keys=False))
    print(f"{options.into}: {weights.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
