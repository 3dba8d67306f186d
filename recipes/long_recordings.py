"""How pipelines do on long recordings: the table of docs/long.md.

    python recipes/long_recordings.py --voices voices/ --noise noise/ --into long/ \\
        --peer "clustering=recipes/peers/clustering.py --once"

Makes a meeting of so many people (voices of the split dev) in FOLDER, and lets our pipeline diarize its first minutes
with each strategy, and peers as evaluate.py does: shorter recordings are beginnings of the longest one. Every run is a
process of its own, so that its peak memory is its own; it hears the first minute of the meeting first, so that what
only has to be done once does not count. What was made before is not made again, nor is a system run again none of whose
files has changed; code of this package is not looked at: after changing that, use another folder. --docs writes the
table between two comments of that file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import soundfile  # noqa: E402
from pyannote.database.util import load_rttm  # noqa: E402

from pyannote_pix2seq.all_or_nothing import all_or_nothing  # noqa: E402
from pyannote_pix2seq.arguments import STRATEGIES  # noqa: E402
from pyannote_pix2seq.audio import SAMPLE_RATE  # noqa: E402
from pyannote_pix2seq.contest import hold  # noqa: E402
from pyannote_pix2seq.page import Place, table  # noqa: E402
from pyannote_pix2seq.rendering import record  # noqa: E402
from pyannote_pix2seq.scores import components, measure  # noqa: E402
from pyannote_pix2seq.simulation import Noises, Voices  # noqa: E402
from pyannote_pix2seq.simulation.difficulty import simulator  # noqa: E402
from pyannote_pix2seq.simulation.labels import Labels  # noqa: E402
from pyannote_pix2seq.system import System, parse_systems  # noqa: E402

COLUMNS = ("minutes", "people", "pipeline", "DER, %", "false alarm / missed / confusion", "found", "x real time", "GB")


class NoAnswerError(Exception):
    """A meeting that a system did not diarize."""


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[System]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", type=Path, required=True, help="what recipes/prepare_voices.py made")
    parser.add_argument("--noise", type=Path, help="folder or manifest of noise recordings")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="of recordings and results")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60, 240])
    parser.add_argument("--speakers", type=int, nargs="+", default=[2, 4, 8, 12])
    Labels.add_options(parser)
    parser.add_argument("--docs", type=Path, help="file with two comments, for instance docs/long.md")
    parser.set_defaults(strategy=STRATEGIES)
    return parse_systems(parser, arguments)


def files(audio: Path) -> Iterator[dict[str, Any]]:
    """The first minute of a meeting, and all of it."""
    reference = load_rttm(audio.with_suffix(".rttm"))[audio.stem]
    samples, _ = soundfile.read(audio, frames=60 * SAMPLE_RATE, dtype="float32", always_2d=True)
    opening = {"waveform": samples.T, "sample_rate": SAMPLE_RATE}
    yield {"uri": f"{audio.stem}, first minute", "annotation": reference, **opening}
    yield {"uri": audio.stem, "annotation": reference, "audio": audio}


def run(audio: Path, system: System, threads: int) -> dict[str, Any]:
    """Let a system diarize a meeting, and measure it.

    Raises
    ------
    NoAnswerError
        If it does not.
    """
    contest = hold(audio.stem, files(audio), [system], threads)
    scores = [score for score in contest.entries[0].scores if score.uri == audio.stem] if contest.entries else []
    if not scores:
        raise NoAnswerError(" ".join(contest.failures))
    errors, (found, people) = components(scores), scores[0].num_speakers
    return {
        "people": people,
        "found": found,
        "false alarm": errors.false_alarm,
        "missed": errors.missed_detection,
        "confusion": errors.confusion,
        "factor": measure(scores)["speed"],
        "memory": contest.entries[0].memory / 1e9,
    }


def result(audio: Path, system: System, threads: int) -> dict[str, Any]:
    """What `run` says, once for each reference and each state of the system."""
    reference = audio.with_suffix(".rttm").read_text(encoding="utf-8")
    digest = hashlib.sha256(f"{system.fingerprint} {reference}".encode()).hexdigest()[:8]
    path = audio.with_name(f"{audio.stem}.{system.name}.{digest}.json")
    if not path.exists():
        with all_or_nothing(path) as part:
            part.write_text(json.dumps(run(audio, system, threads)) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def row(minutes: float, name: str, result: dict[str, Any]) -> list[str]:
    errors = [result[part] for part in ("false alarm", "missed", "confusion")]
    parts = " / ".join(f"{error:.1f}" for error in errors)
    start = [f"{minutes:g}", str(result["people"]), name, f"{sum(errors):.1f}", parts]
    return [*start, str(result["found"]), f"{result['factor']:.1f}", f"{result['memory']:.2f}"]


def main(arguments: Sequence[str] | None = None) -> int:
    options, systems = parse(arguments)
    place = Place(options.docs, "long") if options.docs else None
    voices = Voices.load(options.voices, "dev")
    noises = Noises(options.noise) if options.noise else None
    rows, failures = [], []
    longest = 60 * max(options.minutes)
    for minutes, speakers in product(options.minutes, options.speakers):
        meetings = simulator("Meeting", voices, noises, longest, (speakers, speakers))
        meeting = meetings.describe(f"{speakers}speakers-{longest:g}s").beginning(60 * minutes)
        audio = record(meeting, meetings, options.into / f"{minutes:g}min", Labels.of(options))
        for system in systems:
            try:
                rows.append(row(minutes, system.name, result(audio, system, options.threads)))
                print(*rows[-1], sep="  ", flush=True)
            except NoAnswerError as error:
                failures.append(f"{minutes:g} minutes: {error}")
    text = table(COLUMNS, rows)
    print(text, *failures, sep="\n")
    if place:
        place.fill(text)
    return int(bool(failures))


if __name__ == "__main__":
    raise SystemExit(main())
