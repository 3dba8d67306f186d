"""Diarization systems, each in a process of its own: any Python, any package, even any language.

See `answer.py` for how a system is called, and what it has to do.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.digest import file_digest
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.evaluation.answer import REFERENCES, Answer, read_answers
from pyannote_pix2seq.evaluation.process import run
from pyannote_pix2seq.sources import ModelError, check_exists

WORKER = (sys.executable, "-m", f"{__package__}.worker")
"""Command that runs a pipeline."""


class UnknownSystemError(Pix2SeqError, ValueError):
    """A system that is not known, or cannot be called."""


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
            If there is nothing of that name here, and no hub can have it, or a folder of it has no config.yaml.
        """
        try:
            check_exists(pipeline)
        except ModelError as error:
            raise UnknownSystemError(str(error)) from error
        _check_folder(Path(pipeline))
        name, options = os.path.basename(os.path.abspath(pipeline)), []  # not that of "."
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
            If the text is not of this form, the name has a slash, or there is no such command, file or folder of a
            pipeline.
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
        if "/" in name:
            raise UnknownSystemError(
                f"A peer is called {name!r}. Files are named after it, so it cannot have a slash; NAME=COMMAND may be "
                f"{name.replace('/', '-')}={command}."
            )
        if not (os.path.exists(words[0]) or shutil.which(words[0])):
            raise UnknownSystemError(f"The peer {name} is {words[0]}: no file or folder here, and no command.")
        _check_folder(Path(words[0]))
        if not shutil.which(words[0]):
            words[0] = os.path.abspath(words[0])  # or `run.sh` of this folder would be sought among commands
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
            digests = [file_digest(path) for path in files] or [hashlib.sha256(os.fsencode(word)).hexdigest()]
            digest.update(bytes.fromhex("".join(digests)))
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
        done = {uri: each for uri, each in (read_answers(kept) | read_answers(given)).items() if each.error is None}
        with atomic_write(kept) as part:
            part.write_text("".join(f"{json.dumps(asdict(each))}\n" for each in done.values()))
        left = [recording for recording in listed if recording["uri"] not in done]
        reason = self._run(left, asked, given, threads) if left else ""
        answers = read_answers(given) | done
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
