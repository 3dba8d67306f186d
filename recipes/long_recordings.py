"""How pipelines do on long recordings: the table of docs/long.md.

    python recipes/long_recordings.py --voices voices/ --noise noise/ --into long/ \\
        --peer "clustering=recipes/peers/clustering.py --once"

Makes a meeting for each number of speakers (voices of the split dev) in FOLDER, and diarizes it, and the first minutes
of it, with each strategy of our pipeline and with each peer, as evaluate.py does. Ten minutes may be easier or harder
than the hours that follow: with --pieces, several of them, evenly spread over the meeting, are diarized one by one
instead, and their errors are added up. Every run has its own process, to measure its peak memory; it first diarizes the
first minute of the meeting, so that one-time work does not count. Existing recordings are kept, and so are results of a
system whose files have not changed on audio that has not. Changes to the code of this package, or to files that the
command of a peer does not name, such as clustering.yaml, are not noticed: after those, use another folder. --docs
writes the table between two comments of that file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import numpy as np
import soundfile
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.audio.writing import write
from pyannote_pix2seq.console.arguments import Parser, at_least_one, positive
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.console.label_options import add_labels, labels_of
from pyannote_pix2seq.console.material_options import add_material, noises_of
from pyannote_pix2seq.console.system_options import parse_systems
from pyannote_pix2seq.digest import file_digest
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.evaluation.comparison import evaluate
from pyannote_pix2seq.evaluation.markdown import Place, table
from pyannote_pix2seq.evaluation.measures import components, measure
from pyannote_pix2seq.evaluation.system import System
from pyannote_pix2seq.locking import alone
from pyannote_pix2seq.rendering import record
from pyannote_pix2seq.simulation import Voices
from pyannote_pix2seq.simulation.difficulty import simulator
from pyannote_pix2seq.strategies.strategy import STRATEGIES

COLUMNS = ("minutes", "people", "pipeline", "DER, %", "false alarm / missed / confusion", "found", "x real time", "GB")


class NoAnswerError(Pix2SeqError):
    """A meeting that a system failed to diarize."""


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[System]]:
    parser = Parser(description=__doc__)
    add_material(parser)
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="for recordings and results")
    parser.add_argument(
        "--minutes", type=positive, nargs="+", default=[10, 60, 240], help="durations (default: 10 60 240)"
    )
    parser.add_argument(
        "--speakers", type=at_least_one, nargs="+", default=[2, 4, 8, 12], help="of each meeting (default: 2 4 8 12)"
    )
    parser.add_argument(
        "--pieces",
        type=at_least_one,
        default=1,
        help="pieces of the longest meeting for each shorter duration (default: 1)",
    )
    add_labels(parser)
    parser.add_argument("--docs", type=Path, help="page to write the table to, such as docs/long.md")
    parser.set_defaults(strategy=STRATEGIES)
    options, systems = parse_systems(parser, arguments)
    shorter, longest = sorted({*options.minutes} - {max(options.minutes)}), max(options.minutes)
    if options.pieces > 1 and not shorter:
        parser.error(f"--pieces {options.pieces}: --minutes {longest:g} is all there is. Name a shorter one.")
    if options.pieces > 1 and options.pieces * shorter[-1] > longest:
        parser.error(
            f"--pieces {options.pieces} of {shorter[-1]:g} minutes would overlap: the meeting lasts {longest:g}, "
            f"which has room for {longest // shorter[-1]:g}."
        )
    return options, systems


def cut(audio: Path, whole: Annotation, start: float, seconds: float, folder: Path) -> Path:
    """Write a part of a recording, and of the reference of the whole."""
    part = folder / f"{audio.stem}@{start:g}s.wav"
    first, last = (round(time * SAMPLE_RATE) for time in (start, start + seconds))
    samples, _ = soundfile.read(audio, start=first, stop=last, dtype="int16")
    reference = Annotation(uri=part.stem)
    for turn, track, speaker in whole.crop(Segment(start, start + seconds)).itertracks(yield_label=True):
        reference[Segment(turn.start - start, turn.end - start), track] = speaker
    with alone(folder, is_patient=True):
        with atomic_write(part) as file:
            write(file, samples)
        with atomic_write(part.with_suffix(".rttm")) as file:
            file.write_text(reference.to_rttm(), encoding="utf-8")
    return part


def parts(whole: Path, longest: float, seconds: float, options: argparse.Namespace) -> list[Path]:
    """The whole recording, or parts of it: the first at its beginning, the others evenly spread."""
    if seconds == longest:
        return [whole]
    reference = load_rttm(whole.with_suffix(".rttm"))[whole.stem]
    starts = np.linspace(0, longest - seconds, options.pieces).round().tolist()
    return [cut(whole, reference, start, seconds, options.into / f"{seconds / 60:g}min") for start in starts]


def files(audio: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The first minute of a meeting, which only warms systems up, and all of its parts."""
    references = {path.stem: load_rttm(path.with_suffix(".rttm")).get(path.stem, Annotation()) for path in audio}
    samples, _ = soundfile.read(audio[0], frames=60 * SAMPLE_RATE, dtype="float32", always_2d=True)
    opening = {"waveform": samples.T, "sample_rate": SAMPLE_RATE, "annotated": Timeline([Segment(0, 60)])}
    yield {"uri": f"{audio[0].stem}, first minute", "annotation": references[audio[0].stem], **opening}
    for path in audio:
        yield {"uri": path.stem, "annotation": references[path.stem], "audio": path}


def run(audio: Sequence[Path], system: System, threads: int) -> dict[str, Any]:
    """Let a system diarize parts of a meeting, each on its own, and score it.

    Raises
    ------
    NoAnswerError
        If it does not diarize all of them.
    """
    evaluation = evaluate(audio[0].stem, files(audio), [system], threads)
    uris = {path.stem for path in audio}
    scores = [score for score in evaluation.results[0].scores if score.uri in uris] if evaluation.results else []
    if len(scores) < len(audio):
        raise NoAnswerError(" ".join(evaluation.failures))
    errors = components(scores)
    found, people = (fmean(numbers) for numbers in zip(*(score.num_speakers for score in scores), strict=True))
    return {
        "people": people,
        "found": found,
        "false alarm": errors.false_alarm,
        "missed": errors.missed_detection,
        "confusion": errors.confusion,
        "factor": measure(scores)["speed"],
        "memory": evaluation.results[0].peak_memory / 1e9,
    }


def result(audio: Sequence[Path], given: Sequence[tuple[str, str]], system: System, threads: int) -> dict[str, Any]:
    """Result of `run`, computed once for each audio and reference (`given`), state of the system and threads."""
    digest = hashlib.sha256(f"{system.fingerprint} {threads} {given}".encode()).hexdigest()[:8]
    path = audio[0].with_name(f"{audio[0].stem}.{system.name}.{digest}.json")
    if not path.exists():
        with atomic_write(path) as part:
            part.write_text(json.dumps(run(audio, system, threads)) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def row(minutes: float, name: str, result: dict[str, Any]) -> list[str]:
    errors = [result[part] for part in ("false alarm", "missed", "confusion")]
    parts = " / ".join(f"{error:.1f}" for error in errors)
    start = [f"{minutes:g}", f"{result['people']:.3g}", name, f"{sum(errors):.1f}", parts]
    return [*start, f"{result['found']:.3g}", f"{result['factor']:.1f}", f"{result['memory']:.2f}"]


def compare(options: argparse.Namespace, systems: Sequence[System]) -> int:
    """Let systems diarize all meetings, print the table, and return the exit status."""
    place = Place(options.docs, "long") if options.docs else None
    voices = Voices(options.voices, "dev")
    noises = noises_of(options)
    labels, longest = labels_of(options), 60 * max(options.minutes)
    meetings_of = {
        number: simulator("Meeting", voices, noises, longest, (number, number)) for number in options.speakers
    }
    rows, failures = [], []
    for minutes, speakers in product(options.minutes, options.speakers):
        meetings = meetings_of[speakers]
        meeting = meetings.describe(f"{speakers}speakers-{longest:g}s")
        whole = record(meeting, meetings, options.into / f"{longest / 60:g}min", labels)
        audio = parts(whole, longest, 60 * minutes, options)
        given = [(file_digest(path), file_digest(path.with_suffix(".rttm"))) for path in audio]
        for system in systems:
            try:
                rows.append(row(minutes, system.name, result(audio, given, system, options.threads)))
                print(*rows[-1], sep="  ", flush=True)
            except NoAnswerError as error:
                failures.append(f"{minutes:g} minutes: {error}")
    text = table(COLUMNS, rows)
    print(text, *failures, sep="\n")
    if place:
        place.fill(text)
    return int(bool(failures))


def main(arguments: Sequence[str] | None = None) -> int:
    options, systems = parse(arguments)
    with one_line_messages():
        return compare(options, systems)


if __name__ == "__main__":
    raise SystemExit(main())
