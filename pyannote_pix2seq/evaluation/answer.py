"""Answers of diarization systems: how a system is asked, and what it answers.

A system is a command. It is called as `COMMAND recordings.json answers.jsonl`:

    recordings.json   [{"uri": "a", "audio": "/folder/000000.wav", "sha256": "..."}, ...], 16 kHz mono 16-bit wav
    answers.jsonl     one `Answer` per line, written as soon as there is one

What a system prints is not read. This module needs nothing but the standard library, so that a system can import
`respond` with the Python of another environment. This package is all that such a Python finds of ours: what else is
installed beside it stays out of the way of the packages of its own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyannote_pix2seq.evaluation.peak_memory import forget_peak, peak_memory
from pyannote_pix2seq.numeric import is_number

REFERENCES = "references.json"
"""Beside recordings.json: {uri: [[start, end, speaker], ...]}, for oracle systems, which are given the reference."""

Turns = Sequence[tuple[float, float, str]]


@dataclass(frozen=True)
class Answer:
    """Output of a system for one recording.

    Attributes
    ----------
    uri : str
    turns : sequence of (float, float, str)
        Start and end in seconds, and speaker.
    confidence : sequence of float, optional
        Of each turn; None where a system gives none.
    seconds : float
        Time taken, reading the recording included.
    memory : int
        Peak memory of the process for this recording, in bytes, or since it started, where the kernel cannot reset the
        peak; 0: not measured.
    error : str, optional
        Why there are no turns.
    """

    uri: str
    turns: Turns = ()
    confidence: Sequence[float] | None = None
    seconds: float = 0.0
    memory: int = 0
    error: str | None = None

    def __post_init__(self) -> None:
        times = [time for start, end, _ in self.turns for time in (start, end)]
        sure = [] if self.confidence is None else list(self.confidence)
        if not all(map(is_number, [*times, *sure, self.seconds, self.memory])):
            raise ValueError("times, confidences, seconds and memory have to be finite numbers")
        if not all(start <= end for start, end, _ in self.turns) or not all(0 <= value <= 1 for value in sure):
            raise ValueError("turns do not end before they begin, and confidences are from 0 to 1")
        if not all(isinstance(speaker, (str, int)) for _, _, speaker in self.turns):
            raise ValueError("speakers have to have names")
        if self.confidence is not None and len(sure) != len(self.turns):
            raise ValueError(f"{len(sure)} confidences were given for {len(self.turns)} turns")


def read_answers(path: Path) -> dict[str, Answer]:
    """The last answer to each recording; lines that cannot be read, such as unfinished ones, are skipped."""
    answers = {}
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(KeyError, TypeError, ValueError):
            content = json.loads(line)
            answers[content["uri"]] = _answer(content)
    return answers


def _answer(content: dict[str, Any]) -> Answer:
    """An answer, or an error that says what is wrong with it."""
    try:
        return Answer(**content)
    except (TypeError, ValueError) as error:
        return Answer(content["uri"], error=f"its answer cannot be used: {error}")


def respond(diarize: Callable[[str], tuple[Turns, Sequence[float] | None]], recordings: str, answers: str) -> None:
    """Act as a system: diarize every recording, even if others fail.

    The first recording is diarized twice, so that one-time costs do not count. The process ends before the next
    recording if its parent has ended.

    Parameters
    ----------
    diarize : callable
        (path of a wav file) -> turns, and confidence of each or None.
    recordings, answers : str
        The two files that a system is called with.
    """
    listed, asked_by = json.loads(Path(recordings).read_text()), os.getppid()
    with open(answers, "w", encoding="utf-8") as file:
        for recording in listed[:1]:
            _attempt(diarize, recording)
        for number, recording in enumerate(listed, 1):
            if os.getppid() != asked_by:  # the parent was killed: nobody will read the answers
                raise SystemExit(f"{recordings}: nobody waits for answers any more")
            answer = _attempt(diarize, recording)
            print(json.dumps(asdict(answer), default=float), file=file, flush=True)  # for NumPy's numbers
            print(f"{number} of {len(listed)}: {answer.uri}, {answer.seconds:.1f} s", file=sys.stderr)


def _attempt(diarize: Callable[[str], tuple[Turns, Sequence[float] | None]], recording: dict[str, Any]) -> Answer:
    forget_peak()
    start = time.perf_counter()
    try:
        turns, confidence = diarize(recording["audio"])
        sure = None if confidence is None else list(confidence)  # which may be an array
        return Answer(recording["uri"], list(turns), sure, time.perf_counter() - start, peak_memory())
    except Exception as error:  # a system may raise or return anything
        return Answer(recording["uri"], error=f"{type(error).__name__}: {error}")
