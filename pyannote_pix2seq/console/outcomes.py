"""What becomes of a recording that a command diarizes, in this process or in another."""

from __future__ import annotations

import json
import warnings
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Literal, NamedTuple

from pyannote_pix2seq.console.arguments import PROGRAM
from pyannote_pix2seq.console.jobs import Job
from pyannote_pix2seq.console.lock import locked
from pyannote_pix2seq.console.results import DiskError, write_results
from pyannote_pix2seq.errors import Pix2SeqError, reason

if TYPE_CHECKING:
    from pyannote.core import Annotation

    from pyannote_pix2seq.output import Pix2SeqOutput


Kind = Literal["diarized", "drawn", "taken", "failed"]


class Outcome(NamedTuple):
    """Outcome of a job.

    Attributes
    ----------
    kind : {"diarized", "drawn", "taken", "failed"}
        "drawn": only a picture was missing. "taken": another process is at it, or was faster.
    lines : list of str
        Warnings, and why it failed.
    """

    kind: Kind
    lines: list[str]


def attempt(find_turns: Callable[[Job], Pix2SeqOutput], options: Namespace, job: Job) -> Outcome:
    """Diarize a recording, or draw what was diarized before, and write what is found.

    Raises
    ------
    DiskError
        If nothing can be written any more. Whatever else is wrong is an outcome.
    """
    with warnings.catch_warnings(record=True) as caught:
        ignore_needless_warnings()
        kind: Kind = "failed"
        failures: list[str] = []
        try:
            kind = _done(find_turns, options, job)
        except DiskError:
            raise
        except Exception as error:  # whatever is wrong with one file must not stop the others
            failures = [_complaint(error, job)]
    return Outcome(kind, [*(f"{PROGRAM}: {warning.message}" for warning in caught), *failures])


def ignore_needless_warnings() -> None:
    """Ignore warnings about what is not needed here."""
    warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly")
    warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")  # of a file name in a picture
    warnings.filterwarnings("ignore", message="A worker (stopped|was restarted) while")  # loky: it took 0.3 GB more


def is_kept(job: Job, options: Namespace) -> bool:
    """Whether an earlier run wrote the turns of a job, and they stay."""
    return job.has(".rttm") and not options.overwrite


def is_done(job: Job, options: Namespace) -> bool:
    """Whether there is nothing left to do for a job."""
    return is_kept(job, options) and (job.has(".png") or not options.picture)


def _done(find_turns: Callable[[Job], Pix2SeqOutput], options: Namespace, job: Job) -> Kind:
    with locked(job) as is_free:
        if not is_free or is_done(job, options):
            return "taken"
        if is_kept(job, options):
            write_results({".png": _picture(_read_turns(job), job)}, job)
            return "drawn"
        _check_others(options, job)
        write_results(_contents(find_turns(job), options, job), job)
        return "diarized"


def _check_others(options: Namespace, job: Job) -> None:
    """Refuse to replace what may be of another program: where this one has written anything, there is an RTTM."""
    suffixes = {".png": options.picture, ".json": options.json}
    there = [str(job.path(suffix)) for suffix, is_wanted in suffixes.items() if is_wanted and job.has(suffix)]
    if there and not options.overwrite:
        raise Pix2SeqError(
            f"{job.file} was left out: there is {' and '.join(there)} already, but no {job.path('.rttm')}. Name "
            f"another folder, move it away, or replace it with --overwrite."
        )


def _complaint(error: Exception, job: Job) -> str:
    """What is wrong with a recording, in a line that names it."""
    says_which = isinstance(error, Pix2SeqError) and str(job.file) in str(error)
    return str(error) if says_which else f"{job.file}: {reason(error)}"


def _contents(output: Pix2SeqOutput, options: Namespace, job: Job) -> dict[str, bytes]:
    """Contents of a recording's output files, by suffix; the RTTM comes last, as it marks the job as done."""
    turns = output.speaker_diarization
    if not turns and job.folder is None:
        warnings.warn(f"{job.file}: nobody is heard to speak, so its RTTM is empty.", stacklevel=2)
    picture = {".png": _picture(turns, job)} if options.picture else {}
    details = {".json": json.dumps(output.serialize(), indent=2).encode() + b"\n"} if options.json else {}
    return {**picture, **details, ".rttm": turns.to_rttm().encode()}


def _picture(turns: Annotation, job: Job) -> bytes:
    from pyannote_pix2seq.audio.reader import Reader
    from pyannote_pix2seq.report import timeline

    picture = BytesIO()
    timeline(turns, picture, audio=Reader(job.recording))
    return picture.getvalue()


def _read_turns(job: Job) -> Annotation:
    """Turns that an earlier run wrote for a recording; none if the RTTM is empty."""
    from pyannote.core import Annotation
    from pyannote.database.util import load_rttm

    path = job.path(".rttm")
    with suppress(ValueError):
        written = load_rttm(path)
        turns = written.get(job.uri, Annotation(uri=job.uri))
        if written.keys() <= {job.uri} and bool(turns) == bool(path.stat().st_size):
            return turns
    raise Pix2SeqError(f"{path} holds something else than turns of {job.uri}. Move it away, or add --overwrite.")
