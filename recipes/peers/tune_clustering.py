"""Choose the hyper-parameters of clustering.py: those of a small grid with the lowest DER on a protocol.

    python recipes/peers/tune_clustering.py Excerpts.SpeakerDiarization.All \\
        --registry protocols/excerpts.yml --subset test

Writes clustering.yaml beside this file. Collar 0, overlap scored. Of equally good points, the first of the grid is
taken.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from clustering import TUNED, load_frontend, make

from pyannote_pix2seq.audio.recording import load
from pyannote_pix2seq.console.arguments import Parser
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.der import DerComponents, error_rate
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.evaluation.registered import files_of, register

STEPS = (0.1, 0.2)
METHODS = ("centroid", "average")
THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
SMALLEST_CLUSTERS = (1, 4, 8, 12, 20)
PAUSES = (0.0, 0.25, 0.5, 1.0)
"""Shorter pauses of one speaker are filled (`min_duration_off`), in seconds."""


def grid() -> Iterator[dict[str, Any]]:
    """Hyper-parameters as `Pipeline.instantiate` takes them."""
    for method, threshold, smallest, pause in product(METHODS, THRESHOLDS, SMALLEST_CLUSTERS, PAUSES):
        clustering = {"method": method, "threshold": threshold, "min_cluster_size": smallest}
        yield {"segmentation": {"min_duration_off": pause}, "clustering": clustering}


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("protocol", help="e.g. AMI.SpeakerDiarization.mini")
    parser.add_argument("--registry", type=Path, help="database.yml (default: as pyannote.database finds it)")
    parser.add_argument(
        "--subset", choices=("train", "development", "test"), default="development", help="(default: development)"
    )
    parser.add_argument("--frontend", type=Path, help="made by recipes/fetch_frontends.py (default: ours)")
    parser.add_argument(
        "--into", type=Path, default=TUNED, help="file to write (default: clustering.yaml beside this file)"
    )
    options = parser.parse_args()
    with one_line_messages():
        tune(options)


def tune(options: argparse.Namespace) -> None:
    """Try all of the grid, and write the hyper-parameters with the lowest DER."""
    if not options.into.parent.is_dir():  # which would be told after hours
        raise Pix2SeqError(f"--into {options.into}: there is no folder {options.into.parent}. Make it first.")
    if options.registry:
        register(options.registry)
    references = list(files_of(options.protocol, options.subset))
    frontend = load_frontend(options.frontend)
    found: list[tuple[DerComponents, dict[str, object]]] = []
    for step in STEPS:
        pipeline = make(frontend, step, once=True)
        pipeline.training = True  # networks run once for each file and step: their outputs stay in the files
        files = [{**load(f), "annotation": f["annotation"], "annotated": f["annotated"]} for f in references]
        for parameters in grid():
            rates = error_rate(pipeline.instantiate(parameters), files)
            found.append((rates, {"segmentation_step": step, "parameters": parameters}))
            rates, best = min(found, key=lambda each: each[0].total)
            if best is found[-1][1]:
                print(rates, best, flush=True)
    command, text = shlex.join(["python", *sys.argv]), yaml.safe_dump(best, sort_keys=False)
    options.into.write_text(f"# {command}\n# {rates}\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()
