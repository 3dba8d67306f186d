"""Recordings that a command diarizes."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pyannote_pix2seq.atomic import part_of
from pyannote_pix2seq.errors import Pix2SeqError

LONGEST_NAME = 255
"""Longest name of a file, in bytes."""


class UsageError(Pix2SeqError):
    """A command line that cannot be carried out; the message is all that the user needs to read."""


class Job(NamedTuple):
    """A recording to diarize.

    Attributes
    ----------
    file : Path
    uri : str
        Name of the recording.
    folder : Path or None
        Where its turns are written; None is stdout.
    channel : int or None
        Channel to diarize; None is the mean of all.
    """

    file: Path
    uri: str
    folder: Path | None
    channel: int | None

    @property
    def recording(self) -> dict[str, Any]:
        """The recording as a pipeline takes it."""
        return {"audio": self.file, "uri": self.uri, "channel": self.channel}

    def path(self, suffix: str) -> Path:
        """Path of an output file about the recording."""
        return (self.folder or Path()) / f"{self.uri}{suffix}"

    def has(self, suffix: str) -> bool:
        """Whether an output file with that suffix exists; the RTTM is written last, and marks a job as done."""
        return self.folder is not None and self.path(suffix).is_file()


@dataclass
class Tally:
    """Number of files, in total and by outcome.

    It is not exact while other processes work: they may have done more than they have said.
    """

    total: int
    skipped: int
    lacking: int = 0
    diarized: int = 0
    drawn: int = 0
    taken: int = 0
    failed: int = 0
    is_exact: bool = True

    def count(self, kind: str) -> None:
        """Count a file by what became of it, see `Outcome`."""
        setattr(self, kind, getattr(self, kind) + 1)

    def __str__(self) -> str:
        text = f"{'' if self.is_exact else 'at least '}{self.diarized} of {self.total} files diarized"
        if self.drawn:
            text += f", {self.drawn} drawn as their RTTM was there already"
        if self.taken:
            text += f", {self.taken} left to another process that writes to the same folder"
        if self.skipped:
            text += f", {self.skipped} skipped as their RTTM was there already (see --overwrite)"
        if self.lacking:
            text += f", {self.lacking} of these without JSON, which --overwrite makes"
        return f"{text}, {self.failed} failed" if self.failed else text


def plan(files: Sequence[Path], folder: Path | None, channel: int | None = None) -> tuple[list[Job], list[str]]:
    """Plan the jobs of a command.

    Parameters
    ----------
    files : sequence of Path
        One that is given twice is diarized once.
    folder : Path or None
        Where turns are written; None is stdout.
    channel : int, optional
        Channel of each file to diarize.

    Returns
    -------
    jobs : list of Job
    refused : list of str
        What is wrong with each of the other files: its name cannot be read back, or is the same as another recording's,
        or it is no recording and has the name of one.
    """
    from pyannote_pix2seq.audio.recording import LazyFile

    named = (Job(file, LazyFile(file)["uri"], folder, channel) for file in files)
    jobs = {(job.uri, os.path.realpath(job.file)): job for job in named}.values()
    shared = {uri for uri, number in Counter(job.uri for job in jobs).items() if number > 1}
    others = {job: problem for job in jobs if job.uri in shared and (problem := _unreadable(job))}
    namesakes = Counter(job.uri for job in jobs if job not in others)
    complaints = {job: others.get(job) or _complaint(job, namesakes[job.uri] > 1) for job in jobs}
    return [job for job in jobs if not complaints[job]], [text for text in complaints.values() if text]


def _unreadable(job: Job) -> str:
    """Why a file cannot be opened as a recording; empty if it can."""
    from pyannote_pix2seq.audio.files import decoded
    from pyannote_pix2seq.audio.samples import AudioError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come once it is diarized
        try:
            with decoded(job.file, job.uri):
                return ""
        except AudioError as error:
            return str(error)


def _complaint(job: Job, has_namesake: bool) -> str:
    """What is wrong with the name of a file; empty if nothing is."""
    from pyannote_pix2seq.annotation import survives_rttm

    if not os.path.isdir(job.file) and not survives_rttm(job.uri):
        return (
            f"{str(job.file)!r} has a name that cannot be read back from RTTM, where unprintable characters, a quote "
            f"in front and words such as NA are lost. Rename it."
        )
    if job.folder is not None and len(os.fsencode(part_of(job.path(".rttm")).name)) > LONGEST_NAME:
        return f"{job.file}: its name is too long for one with .rttm behind it. Rename it."
    if has_namesake:
        return (
            f"{job.file} would be written to {job.path('.rttm')}, as another file would. Rename it, or write them to "
            f"different folders."
        )
    return ""
