"""How pipelines do on long recordings: the table of docs/long.md.

    python recipes/long_recordings.py --voices voices/ --noise noise/ --into long/

Makes meetings of that many minutes and people (voices of the split dev) in FOLDER, and diarizes each with each strategy
and with the pipelines of other folders (--peer NAME=FOLDER), every run in a process of its own, so that its peak memory
is its own. What was made or run before is not done again. --docs writes the table between two comments of that file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import soundfile  # noqa: E402
import torch  # noqa: E402
from pyannote.audio import Pipeline  # noqa: E402
from pyannote.core import Segment, Timeline  # noqa: E402
from pyannote.database.util import load_rttm  # noqa: E402

import pyannote_pix2seq  # noqa: E402
from pyannote_pix2seq.page import Place, table  # noqa: E402
from pyannote_pix2seq.pipeline import STRATEGIES  # noqa: E402
from pyannote_pix2seq.rendering import record  # noqa: E402
from pyannote_pix2seq.report import der_components  # noqa: E402
from pyannote_pix2seq.simulation import Noises, Voices  # noqa: E402
from pyannote_pix2seq.simulation.difficulty import simulator  # noqa: E402
from pyannote_pix2seq.system import peak_memory  # noqa: E402

COLUMNS = ("minutes", "people", "pipeline", "DER, %", "false alarm / missed / confusion", "found", "x real time", "GB")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", type=Path, required=True, help="what recipes/prepare_voices.py made")
    parser.add_argument("--noise", type=Path, help="folder or manifest of noise recordings")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="of recordings and results")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60, 240])
    parser.add_argument("--speakers", type=int, nargs="+", default=[2, 4, 8, 12])
    parser.add_argument("--strategy", nargs="*", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--pipeline", default=str(pyannote_pix2seq.PRETRAINED), help="folder (default: ours)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=FOLDER", help="another pipeline")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--docs", type=Path, help="file with two comments, for instance docs/long.md")
    parser.add_argument("--run", nargs=3, metavar=("WAV", "FOLDER", "STRATEGY"), help=argparse.SUPPRESS)
    return parser.parse_args()


def run(audio: Path, pipeline: str, strategy: str, threads: int) -> dict[str, Any]:
    """Diarize one recording in this process, and measure it."""
    torch.set_num_threads(threads)
    loaded = Pipeline.from_pretrained(pipeline)
    if strategy:
        loaded.strategy = strategy
    start = time.perf_counter()
    hypothesis = loaded({"audio": audio, "uri": audio.stem}).speaker_diarization
    seconds = time.perf_counter() - start
    duration = soundfile.info(audio).duration
    reference = load_rttm(audio.with_suffix(".rttm"))[audio.stem]
    errors = der_components(reference, hypothesis, Timeline([Segment(0, duration)]))
    return {
        "people": len(reference.labels()),
        "found": len(hypothesis.labels()),
        "false alarm": errors.false_alarm,
        "missed": errors.missed_detection,
        "confusion": errors.confusion,
        "factor": duration / seconds,
        "memory": peak_memory() / 1e9,
    }


def measure(audio: Path, name: str, pipeline: str, strategy: str, options: argparse.Namespace) -> dict[str, Any]:
    """What `run` says in a process of its own, once."""
    path = audio.with_name(f"{audio.stem}.{name}.json")
    if not path.exists():
        given = ("--voices", options.voices, "--into", options.into, "--threads", options.threads)
        command = [sys.executable, __file__, *map(str, given), "--run", str(audio), pipeline, strategy]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
        path.write_text(result + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def row(minutes: float, name: str, result: dict[str, Any]) -> list[str]:
    errors = [result[part] for part in ("false alarm", "missed", "confusion")]
    parts = " / ".join(f"{error:.1f}" for error in errors)
    start = [f"{minutes:g}", str(result["people"]), name, f"{sum(errors):.1f}", parts]
    return [*start, str(result["found"]), f"{result['factor']:.1f}", f"{result['memory']:.2f}"]


def main() -> None:
    options = parse()
    if options.run:
        print(json.dumps(run(Path(options.run[0]), *options.run[1:], options.threads)))
        return
    place = Place(options.docs, "long") if options.docs else None
    options.into.mkdir(parents=True, exist_ok=True)
    voices = Voices.load(options.voices, "dev")
    noises = Noises(options.noise) if options.noise else None
    pipelines = [(strategy, options.pipeline, strategy) for strategy in options.strategy]
    pipelines += [(*peer.split("=", 1), "") for peer in options.peer]
    rows = []
    for minutes, speakers in product(options.minutes, options.speakers):
        meetings = simulator("Meeting", voices, noises, 60 * minutes, (speakers, speakers))
        audio = record(meetings.describe(f"meeting-{minutes:g}min-{speakers}speakers"), meetings, options.into)
        for name, pipeline, strategy in pipelines:
            rows.append(row(minutes, name, measure(audio, name, pipeline, strategy, options)))
            print(*rows[-1], sep="  ", flush=True)
    text = table(COLUMNS, rows)
    print(text)
    if place:
        place.fill(text)


if __name__ == "__main__":
    main()
