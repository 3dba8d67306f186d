"""Recordings that a command is to diarize."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class UsageError(Exception):
    """A command that cannot be obeyed; the message is all that the user needs to read."""


class Job(NamedTuple):
    """A recording to diarize.

    Attributes
    ----------
    file : Path
    uri : str
        Its name.
    folder : Path or None
        Where its turns are written; None is stdout.
    """

    file: Path
    uri: str
    folder: Path | None

    def path(self, suffix: str) -> Path:
        """A file that is written about it."""
        return (self.folder or Path()) / f"{self.uri}{suffix}"

    @property
    def is_done(self) -> bool:
        """Whether its turns were written before."""
        return self.folder is not None and self.path(".rttm").is_file()

    @property
    def is_drawn(self) -> bool:
        """Whether its turns were drawn before."""
        return self.folder is not None and self.path(".png").is_file()


@dataclass
class Tally:
    """How many files there are, and what became of them."""

    total: int
    skipped: int
    diarized: int = 0
    drawn: int = 0
    failed: int = 0

    def __str__(self) -> str:
        text = f"{self.diarized} of {self.total} files diarized"
        if self.drawn:
            text += f", {self.drawn} drawn as their RTTM was there already"
        if self.skipped:
            text += f", {self.skipped} skipped as their RTTM was there already (see --overwrite)"
        return f"{text}, {self.failed} failed" if self.failed else text


def plan(files: Sequence[Path], folder: Path | None) -> list[Job]:
    """What there is to do.

    Raises
    ------
    UsageError
        If a name cannot be written, or two files would be written to the same one.
    """
    from pyannote_pix2seq.audio import LazyFile

    jobs: dict[str, Job] = {}
    for file in files:
        job = Job(file, LazyFile(file)["uri"], folder)
        if not job.uri.isprintable():
            raise UsageError(f"{str(file)!r} has a name that cannot be written in RTTM. Rename it.")
        if job.uri in jobs and jobs[job.uri].file.resolve() == file.resolve():
            raise UsageError(f"{file} is named twice. Name it once.")
        if job.uri in jobs:
            raise UsageError(
                f"{jobs[job.uri].file} and {file} would both be written to {job.path('.rttm')}. "
                f"Rename one of them, or write them to different folders."
            )
        jobs[job.uri] = job
    return list(jobs.values())
