"""Score diarization systems on registered protocols, side by side.

    python recipes/evaluate.py --registry database.yml Excerpts.SpeakerDiarization.All
    python recipes/evaluate.py --registry database.yml Excerpts.SpeakerDiarization.All --into scores/ \\
        --peer clustering=recipes/peers/clustering.py \\
        --peer "senko=senko/bin/python recipes/peers/senko_pipeline.py"

Collar 0, overlap scored, over the annotated part of each file: DER with its three parts, JER, number of speakers,
boundaries, calibration of the confidence, speed and memory, in total and by file, beside two baselines: perfect but
that all are one speaker, and perfect but never two at once. Each system has a process of its own. What is measured is
said in pyannote_pix2seq/evaluation/scores.py. What ours draws at random makes a difference: --seed 1 2 3 runs it with
each of these. With --into, scores.csv, scores.md and scores.png are written to a folder. Stop it when you like: with
--into, the same command goes on where it was. Until it is done and nothing has failed, recordings and answers stay in
FOLDER/unfinished; remove that if you change the code of a system meanwhile.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

from pyannote.database import FileFinder, ProtocolFile, registry

from pyannote_pix2seq.console.arguments import Parser
from pyannote_pix2seq.console.exit import one_line_errors
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.evaluation.comparison import Evaluation, evaluate
from pyannote_pix2seq.evaluation.lineup import parse_systems
from pyannote_pix2seq.evaluation.scoreboard import draw, markdown, write_csv


class ProtocolError(Pix2SeqError, ValueError):
    """A protocol, or a subset of it, that is not registered."""


def files_of(name: str, subset: str) -> Iterator[ProtocolFile]:
    """Files of a registered protocol.

    Raises
    ------
    ProtocolError
        If there are none.
    """
    try:
        protocol = registry.get_protocol(name, preprocessors={"audio": FileFinder()})
    except (KeyError, ValueError) as error:
        raise ProtocolError(
            f"There is no protocol {name}. There are: {', '.join(registered()) or 'none'}. Others need a --registry."
        ) from error
    try:
        files = getattr(protocol, subset)()
        first = list(islice(files, 1))
    except (AttributeError, NotImplementedError) as error:
        raise ProtocolError(f"{name} has no {subset} files. Choose another --subset.") from error
    except FileNotFoundError as error:
        raise ProtocolError(
            f"{name} is not there yet ({error}): its lists lie beside the database.yml once recipes/fetch_corpora.py "
            f"has fetched it or recipes/render.py rendered it, see protocols/README.md."
        ) from error
    return chain(first, files)


def register(path: Path) -> None:
    """Make the protocols of a database.yml known.

    Raises
    ------
    ProtocolError
        If the file cannot be used as one.
    """
    try:
        registry.load_database(path)
    except Exception as error:  # a file from anywhere may be wrong in any way
        raise ProtocolError(f"{path} cannot be used as a database.yml: {type(error).__name__}: {error}") from error


def registered() -> list[str]:
    """Names of all registered protocols."""
    databases = {name: registry.get_database(name) for name in registry.databases}
    return [
        f"{name}.{task}.{protocol}"
        for name, database in databases.items()
        for task in database.get_tasks()
        for protocol in database.get_protocols(task)
    ]


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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("protocol", nargs="+", help="e.g. AMI.SpeakerDiarization.mini")
    parser.add_argument(
        "--registry",
        type=Path,
        action="append",
        default=[],
        help="database.yml; may be given several times (default: as pyannote.database finds it)",
    )
    parser.add_argument("--subset", choices=("train", "development", "test"), default="test")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="write scores.csv, scores.md and scores.png")
    options, systems = parse_systems(parser, arguments)
    with one_line_errors():
        for path in options.registry:
            register(path)
        files = {name: files_of(name, options.subset) for name in options.protocol}
    unfinished = options.into / "unfinished" if options.into else None
    evaluations, finished = [], set()
    for name in files:
        place = unfinished / f"{name}.{options.subset}" if unfinished else None
        with one_line_errors():
            evaluations.append(evaluate(name, files[name], systems, options.threads, place))
        print(markdown(evaluations[-1]), flush=True)
        if place and not evaluations[-1].failures:
            finished.add(place)
    if unfinished:
        write(evaluations, options.into)
        clear(finished, unfinished)
    return int(any(evaluation.failures for evaluation in evaluations))


if __name__ == "__main__":
    raise SystemExit(main())
