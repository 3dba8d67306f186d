"""How often enrolled speakers get their names, and strangers get none: a table of docs/long.md.

    python recipes/enrolment.py --voices voices/ --noise noise/ --into enrolment/

Makes meetings of five speakers (of fewer, if they are short) in FOLDER/Meeting, or other conversations (--difficulty)
in a folder of that name, and enrols three of them with 10 s each: a clean recording of the same voice, at the same
speed and pitch, of speech that is not in the meeting. No speaker is in two meetings while there are voices left. Each
meeting is diarized with each strategy. Existing recordings are kept, and so are results of a pipeline whose files have
not changed on audio that has not. --docs writes the table between two comments of that file.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import numpy as np
import torch
from pyannote.core import Annotation
from pyannote.database.util import load_rttm

import pyannote_pix2seq
from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.audio.writing import write
from pyannote_pix2seq.console.arguments import Parser, at_least_one, positive
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.console.label_options import add_labels, labels_of
from pyannote_pix2seq.console.material_options import add_material, noises_of
from pyannote_pix2seq.digest import file_digest
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.evaluation.markdown import Place, table
from pyannote_pix2seq.evaluation.naming import Naming, naming
from pyannote_pix2seq.evaluation.system import System
from pyannote_pix2seq.loading import load_diarization
from pyannote_pix2seq.locking import alone
from pyannote_pix2seq.protocol import voice_label
from pyannote_pix2seq.rendering import record
from pyannote_pix2seq.simulation import Conversation, Simulator, Voices
from pyannote_pix2seq.simulation.difficulty import DIFFICULTIES, simulator
from pyannote_pix2seq.strategies.strategy import STRATEGIES
from pyannote_pix2seq.vocabulary import Triplet

PEOPLE, KNOWN, SECONDS = 5, 3, 10.0
"""Speakers of a meeting, how many of them are enrolled, and seconds of speech that each is enrolled with."""
COLUMNS = (
    "meeting",
    "pipeline",
    "the known: right / wrong / no name / missed",
    "right of found",
    "strangers: a name (alone) / no name / missed",
    "a name (alone) of found",
)


@dataclass(frozen=True)
class Meeting:
    """A recording, and the recordings that speakers are enrolled with, by their labels in the reference."""

    audio: Path
    known: dict[str, Path]

    @property
    def reference(self) -> Annotation:
        return load_rttm(self.audio.with_suffix(".rttm"))[self.audio.stem]

    @cached_property
    def digest(self) -> str:
        """Short hash of all audio, and of who says what of it."""
        heard = [("", self.audio), *self.known.items()]
        return hashlib.sha256(repr([(name, file_digest(path)) for name, path in heard]).encode()).hexdigest()[:8]


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    add_material(parser)
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="for recordings and results")
    parser.add_argument("--split", default="dev", help="of the voices (default: dev)")
    parser.add_argument("--meetings", type=at_least_one, default=3, help="number of them (default: 3)")
    parser.add_argument("--minutes", type=positive, default=20, help="of each meeting (default: 20)")
    parser.add_argument(
        "--difficulty", choices=DIFFICULTIES, default="Meeting", help="kind of conversation (default: Meeting)"
    )
    parser.add_argument("--strategy", nargs="+", choices=STRATEGIES, default=list(STRATEGIES), help="(default: both)")
    parser.add_argument("--pipeline", default=str(pyannote_pix2seq.PRETRAINED), help="folder (default: ours)")
    parser.add_argument("--threads", type=at_least_one, default=2, help="CPU threads (default: 2)")
    add_labels(parser)
    parser.add_argument("--docs", type=Path, help="page to write the table to, such as docs/long.md")
    return parser.parse_args()


def simulators(options: argparse.Namespace) -> list[Simulator]:
    """Simulators of the recordings for enrolment and of the meetings, with different speech of the same voices."""
    noises = noises_of(options)
    return [
        simulator(options.difficulty, half, noises, 60 * options.minutes, (PEOPLE, PEOPLE))
        for half in halves(Voices(options.voices, options.split))
    ]


def halves(voices: Voices) -> tuple[Voices, Voices]:
    """Different speech of the same voices, of as many as a meeting needs."""
    apart = voices.apart(SECONDS)
    if (enough := len(apart[0].speakers)) < PEOPLE:
        raise Pix2SeqError(
            f"{enough} of {len(voices.speakers)} voices in split {voices.split!r} of {voices.folder} can be enrolled; "
            f"a meeting needs {PEOPLE}. Each needs twice {SECONDS:g} s of speech, once to be enrolled with and once to "
            f"speak. Prepare longer recordings or more voices, or name another --split."
        )
    return apart


def meetings(options: argparse.Namespace, apart: Simulator, together: Simulator) -> Iterator[Meeting]:
    """Meetings, simulated if they are not there yet."""
    speakers = cycle(np.random.default_rng(0).permutation(together.voices.speakers).tolist())
    for number in range(1, options.meetings + 1):
        described = together.describe(f"{options.split}-{options.minutes:g}min-{number}")
        voices = tuple(islice(speakers, PEOPLE))[: len(described.voices)]
        conversation = recast(described, voices)
        if len(voices) < KNOWN:
            raise Pix2SeqError(
                f"{len(voices)} people speak in meeting {number}; {KNOWN} of them are to be enrolled. Make meetings "
                f"longer: --minutes."
            )
        audio = record(conversation, together, options.into, labels_of(options))
        known = {voice_label(voices[k]): enrolled(conversation, k, apart, options.into) for k in range(KNOWN)}
        yield Meeting(audio, known)


def recast(conversation: Conversation, voices: tuple[str, ...]) -> Conversation:
    """The same conversation of other people, who are not in the crowd around it."""
    scene = conversation.scene
    if scene is not None:
        scene = replace(scene, crowd=tuple(voice for voice in scene.crowd if voice not in voices))
    return replace(conversation, voices=voices, scene=scene)


def enrolled(conversation: Conversation, speaker: int, other: Simulator, folder: Path) -> Path:
    """Write the recording for a speaker's enrolment, alone and close to a microphone; it is written again each time."""
    uri = f"{conversation.uri}-{conversation.voices[speaker]}"
    solo = replace(conversation, uri=uri, duration=SECONDS, turns=(Triplet(0, SECONDS, speaker),))
    path = folder / f"{quote(uri, safe='')}.wav"
    with alone(folder, is_patient=True), atomic_write(path) as part:
        write(part, other.tracks(solo)[speaker])
    return path


def diarized(meeting: Meeting, strategy: str, pipeline: str) -> Annotation:
    """Diarization of a meeting by a pipeline, computed once for each state of its files and of the audio."""
    made_of = f"{strategy}.{System.of_pipeline(pipeline).fingerprint}.{meeting.digest}"
    path = meeting.audio.with_suffix(f".{made_of}.rttm")
    if not path.exists():
        audio = {"audio": meeting.audio, "uri": meeting.audio.stem}
        output: Any = load_diarization(pipeline, strategy)(audio, known=meeting.known)
        with atomic_write(path) as part:
            part.write_text(output.speaker_diarization.to_rttm(), encoding="utf-8")
    return load_rttm(path).get(meeting.audio.stem, Annotation())


def row(name: str, strategy: str, people: Naming, strangers: Naming) -> list[str]:
    """A row of the table: shares in %."""
    alone = strangers.wrong - strangers.beside
    called = [
        f"{percent(strangers.wrong, whole)} ({percent(alone, whole)})" for whole in (strangers.total, strangers.found)
    ]
    return [
        name,
        strategy,
        " / ".join(
            percent(part, people.total) for part in (people.right, people.wrong, people.nameless, people.missed)
        ),
        percent(people.right, people.found),
        " / ".join([called[0], *(percent(part, strangers.total) for part in (strangers.nameless, strangers.missed))]),
        called[1],
    ]


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"


def main() -> None:
    options = parse()
    with one_line_messages():
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """Simulate meetings, diarize them, and print the table."""
    place = Place(options.docs, "enrolment") if options.docs else None
    options.into /= options.difficulty
    options.into.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    rows = []
    totals = {strategy: (Naming(), Naming()) for strategy in options.strategy}
    for number, meeting in enumerate(meetings(options, *simulators(options)), 1):
        for strategy, (people, strangers) in totals.items():
            found = naming(meeting.reference, diarized(meeting, strategy, options.pipeline), meeting.known)
            totals[strategy] = people + found[0], strangers + found[1]
            rows.append(row(str(number), strategy, *found))
            print(*rows[-1], sep="  ", flush=True)
    rows += [row("all", strategy, *total) for strategy, total in totals.items()]
    text = table(COLUMNS, rows)
    print(text)
    if place:
        place.fill(text)


if __name__ == "__main__":
    main()
