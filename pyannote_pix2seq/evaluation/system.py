"""Diarization systems, each in a process of its own: any Python, any package, even any language.

A system is a command. It is called as `COMMAND recordings.json answers.jsonl`:

    recordings.json   [{"uri": "a", "audio": "/folder/000000.wav", "sha256": "..."}, ...], 16 kHz mono 16-bit wav
    answers.jsonl     one `Answer` per line, written as soon as there is one

What a system prints is not read. This module needs nothing but the standard library, so that a system can import
`respond` with the Python of another environment. This package is all that such a Python finds of ours: what else is
installed beside it stays out of the way of the packages of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.evaluation.process import run
from pyannote_pix2seq.numeric import is_number

REFERENCES = "references.json"
"""Beside recordings.json: {uri: [[start, end, speaker], ...]}, for oracle systems, which are given the reference."""

WORKER = (sys.executable, "-m", f"{__package__}.worker")
"""Command that runs a pipeline."""

Turns = Sequence[tuple[float, float, str]]


class UnknownSystemError(Pix2SeqError, ValueError):
    """A system that is not known, or cannot be called."""


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


@dataclass(frozen=True)
class System:
    """A diarization system.

    Attributes
    ----------
    name : str
    command : tuple of str
    """

    name: str
    command: tuple[str, ...]

    @classmethod
    def of_pipeline(cls, pipeline: str, strategy: str | None = None, seed: int | None = None) -> System:
        """System for anything that `Pipeline.from_pretrained` takes: a folder, a config.yaml or a name on a hub.

        With a strategy or a seed, which become part of the name, the pipeline has to be one of ours.

        Raises
        ------
        UnknownSystemError
            If there is a folder of that name without a config.yaml.
        """
        _check_folder(Path(pipeline))
        name, options = Path(pipeline).name, []
        if strategy is not None:
            name, options = f"{name} {strategy}", ["--strategy", strategy]
        if seed is not None:
            name, options = f"{name} seed {seed}", [*options, "--seed", str(seed)]
        return cls(name, (*WORKER, pipeline, *options))

    @classmethod
    def of_peer(cls, text: str) -> System:
        """System for `NAME=COMMAND`; a command that is a .py file or the folder of a pipeline is run by this Python.

        Raises
        ------
        UnknownSystemError
            If the text is not of this form, or there is no such command, file or folder of a pipeline.
        """
        name, _, command = text.partition("=")
        try:
            words = shlex.split(command)
        except ValueError as error:  # an unclosed quotation
            raise UnknownSystemError(f"The peer {text!r} cannot be read: {error}.") from error
        if not name or not words:
            raise UnknownSystemError(
                f"The peer {text!r} is not NAME=COMMAND, e.g. clustering=recipes/peers/clustering.py."
            )
        if not (os.path.exists(words[0]) or shutil.which(words[0])):
            raise UnknownSystemError(f"The peer {name} is {words[0]}: no file or folder here, and no command.")
        _check_folder(Path(words[0]))
        python = [sys.executable] if words[0].endswith(".py") else WORKER if Path(words[0]).is_dir() else []
        return cls(name, (*python, *words))

    @property
    def fingerprint(self) -> str:
        """Short hash of the command, and of the files and folders that it names, without notes (.md).

        It does not cover code that is merely imported, such as this package.
        """
        digest = hashlib.sha256()
        for word in self.command:
            inside = Path(word).rglob("*") if os.path.isdir(word) else [Path(word)]
            files = [path for path in sorted(inside) if os.path.isfile(path) and path.suffix != ".md"]
            for content in [path.read_bytes() for path in files] or [word.encode()]:
                digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()[:16]

    def answer(self, recordings: Path, threads: int) -> dict[str, Answer]:
        """Let the system diarize the recordings for which there are no turns from it yet.

        Its answers stay beside the recordings, in `{digest}.jsonl` and `{digest}.given.jsonl`. They are not used for
        another system, for other recordings or references, or with another number of threads. Recordings on which it
        failed are tried again.

        Parameters
        ----------
        recordings : Path
            A recordings.json.
        threads : int
            That the system may use (OMP_NUM_THREADS).

        Returns
        -------
        answers : dict
            By uri, one for each recording: an error where the system gave none.
        """
        listed = json.loads(recordings.read_text())
        kept = recordings.with_name(f"{self._question(listed, recordings.with_name(REFERENCES), threads)}.jsonl")
        asked, given = kept.with_suffix(".asked.json"), kept.with_suffix(".given.jsonl")
        done = {uri: each for uri, each in (_answers(kept) | _answers(given)).items() if each.error is None}
        with atomic_write(kept) as part:
            part.write_text("".join(f"{json.dumps(asdict(each))}\n" for each in done.values()))
        left = [recording for recording in listed if recording["uri"] not in done]
        reason = self._run(left, asked, given, threads) if left else ""
        answers = _answers(given) | done
        return {each["uri"]: answers.get(each["uri"], Answer(each["uri"], error=reason)) for each in listed}

    def _question(self, listed: Sequence[dict[str, str]], truth: Path, threads: int) -> str:
        """Short hash of all that an answer depends on, wherever the recordings lie."""
        heard = [[each["uri"], each.get("sha256")] for each in listed]
        parts = [self.name, self.fingerprint, threads, heard, truth.read_text() if truth.exists() else None]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def _run(self, left: Sequence[dict[str, str]], recordings: Path, answers: Path, threads: int) -> str:
        """Call the system with what is left; return the error for recordings without an answer."""
        recordings.write_text(json.dumps(left))
        answers.write_text("")
        try:
            status = run([*self.command, str(recordings), str(answers)], threads)
        except OSError as error:
            return f"{self.name} cannot be called: {error}"
        return f"{self.name} gave no answer and ended with exit status {status}; its own messages are above"


def check_names(systems: Iterable[System]) -> None:
    """Refuse systems of one name, of which one would take the place of the other.

    Raises
    ------
    UnknownSystemError
        If two have the same.
    """
    times = Counter(system.name for system in systems)
    if twice := sorted(name for name, number in times.items() if number > 1):
        raise UnknownSystemError(
            f"Two systems are called {', '.join(twice)}. Give folders and peers different names, and no strategy or "
            f"seed twice."
        )


def _check_folder(path: Path) -> None:
    if path.is_dir() and not (path / "config.yaml").is_file():
        raise UnknownSystemError(
            f"The folder {path} has no config.yaml, so there is no pipeline in it. recipes/export.py makes one."
        )


def _answers(path: Path) -> dict[str, Answer]:
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
    _forget_peak()
    start = time.perf_counter()
    try:
        turns, confidence = diarize(recording["audio"])
        return Answer(recording["uri"], turns, confidence, time.perf_counter() - start, peak_memory())
    except Exception as error:  # a system may raise or return anything
        return Answer(recording["uri"], error=f"{type(error).__name__}: {error}")


def _forget_peak() -> None:
    """Reset the peak of `peak_memory`, where possible: see clear_refs in proc(5)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Peak memory of this process, in bytes; since `_forget_peak`, where possible.

    On Linux, `ru_maxrss` starts from the memory of the parent at the fork; VmHWM does not.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most
