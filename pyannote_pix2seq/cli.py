"""The command line: `pyannote-pix2seq diarize talk.wav > talk.rttm`.

PyTorch and pyannote.audio are imported by the functions that use them, so that `--help` need not wait.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from pyannote_pix2seq.console.arguments import ENROLLED, PROGRAM, make_parser
from pyannote_pix2seq.console.exit import exit_on_sigterm, one_line_warnings, replace_closed_stderr, say
from pyannote_pix2seq.console.jobs import Job, Tally, UsageError, plan
from pyannote_pix2seq.console.outcomes import attempt, ignore_needless_warnings, is_done, is_kept
from pyannote_pix2seq.console.progress import bar_of_steps, is_hidden
from pyannote_pix2seq.console.results import print_result
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.sources import ModelError

if TYPE_CHECKING:
    from pyannote_pix2seq.enrolment import Enrolment
    from pyannote_pix2seq.output import Pix2SeqOutput
    from pyannote_pix2seq.pipeline import Pix2SeqDiarization


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Defaults to those of the process.

    Returns
    -------
    status : int
        Exit status: 0; 1 if a file failed; 2 if the command cannot be carried out; 130 on Ctrl-C.

    Raises
    ------
    SystemExit
        After `--help` and `--version`, with status 2 for options that do not exist, and with status 143 on SIGTERM.
    """
    os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")
    replace_closed_stderr()
    options = make_parser().parse_args(arguments)
    try:
        with one_line_warnings(PROGRAM), exit_on_sigterm():
            ignore_needless_warnings()
            return {"diarize": diarize, "enrol": enrol, "vocabulary": vocabulary}[options.command](options)
    except UsageError as error:
        say(f"{PROGRAM}: {error}")
        return 2
    except (OSError, Pix2SeqError) as error:  # a full disk, a process that was killed
        say(f"{PROGRAM}: {error}")
        return 1
    except KeyboardInterrupt:
        goes_on = options.command == "diarize" and options.into is not None
        say("Interrupted. The same command does the rest." if goes_on else "Interrupted.")
        return 130


def diarize(options: Namespace) -> int:
    """Diarize files, and return the exit status."""
    _check(options)
    jobs, refused = plan(options.files, options.into, options.channel)
    if options.into is None and len(jobs) + len(refused) > 1:
        raise UsageError(f"{len(jobs) + len(refused)} files need a folder to write to: add --into DIR.")
    todo = [job for job in jobs if not is_done(job, options)]
    lacking = sum(options.json and is_kept(job, options) and not job.has(".json") for job in jobs)
    tally = Tally(len(jobs) + len(refused), skipped=len(jobs) - len(todo), lacking=lacking, failed=len(refused))
    if todo:
        find_turns = _diarizer(options)
        _make(options.into)
    for line in refused:
        say(line)
    try:
        if todo:
            _run(find_turns, todo, options, tally)
    finally:
        if options.into is not None:
            say(str(tally))
    return 1 if tally.failed else 0


def enrol(options: Namespace) -> int:
    """Enrol speakers and save them to a file, and return the exit status."""
    _check_file(options.into, options.overwrite)
    people = _people(_read_pipeline(options), options.people, options.channel)
    people.save(options.into)
    return 0


def vocabulary(options: Namespace) -> int:
    """Print the quantisation errors of vocabularies, and return the exit status."""
    from pyannote_pix2seq.vocabulary import VocabularyError, quantization_report

    errors = {"errors": options.error} if options.error else {}
    try:
        print_result(quantization_report(options.window, options.speakers, **errors) + "\n")
    except VocabularyError as error:
        raise UsageError(str(error)) from error
    return 0


def _check(options: Namespace) -> None:
    """Refuse options that contradict each other."""
    if options.num_speakers is not None and (options.min_speakers, options.max_speakers) != (None, None):
        raise UsageError("--num-speakers says it all: leave out --min-speakers and --max-speakers.")
    if options.into is None and (options.picture or options.json or options.overwrite):
        raise UsageError("--picture, --json and --overwrite are about a folder to write to: add --into DIR.")


def _check_file(file: Path, overwrite: bool) -> None:
    """Refuse a file that cannot be one of people or cannot be written, and one that would be lost."""
    if file.suffix != ENROLLED:
        raise UsageError(f"--into {file}: files of people end in {ENROLLED}, so that --known knows them.")
    if file.is_dir():
        raise UsageError(f"--into {file} is a folder. Name a file to write.")
    if file.exists() and not overwrite:
        names = _names(file)
        added = f", or add to it: enrol {file} NAME=FILE --into {file} --overwrite" if names else ""
        who = shorten(", ".join(names), 200) or "nobody that can be read"
        raise UsageError(
            f"--into {file} is there already, and holds {who}. Name another file, replace it with --overwrite{added}."
        )
    _make(next(folder for folder in file.absolute().parents if folder.exists()))  # the others are made in the end


def _names(file: Path) -> list[str]:
    """Names of the people in a file; none if it cannot be read."""
    from pyannote_pix2seq.enrolment import Enrolment, EnrolmentError

    try:
        return [str(person.name) for person in Enrolment.load(file)]
    except EnrolmentError:
        return []


def _run(find_turns: Callable[[Job], Pix2SeqOutput], jobs: Sequence[Job], options: Namespace, tally: Tally) -> None:
    """Diarize recordings; those that fail are reported and counted."""
    from pyannote_pix2seq.parallel import parallel_map

    said: set[str] = set()
    tally.is_exact = min(options.jobs, len(jobs)) == 1
    with closing(parallel_map(partial(attempt, find_turns, options), jobs, options.jobs)) as outcomes:
        for outcome in tqdm(outcomes, total=len(jobs), unit="file", disable=is_hidden(options.quiet or len(jobs) == 1)):
            for line in outcome.lines:
                if line not in said:
                    say(line)
            said.update(outcome.lines)
            tally.count(outcome.kind)
    tally.is_exact = True


def _make(folder: Path | None) -> None:
    """Create the output folder, if one is given, and check that it is writable."""
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(f"--into {folder} cannot be a folder to write to: {error}") from error


def _diarizer(options: Namespace) -> Callable[[Job], Pix2SeqOutput]:
    """Function that diarizes a job with the pipeline that the options ask for and the speakers of `--known`."""
    from pyannote_pix2seq.limits import SpeakerLimits

    pipeline = _read_pipeline(options, options.strategy, options.decoding)
    pipeline.legacy = False
    try:
        SpeakerLimits.check(options.num_speakers, options.min_speakers, options.max_speakers)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return partial(_find_turns, pipeline, _people(pipeline, options.known), options)


def _people(
    pipeline: Pix2SeqDiarization, known: Sequence[tuple[str, Path] | Path], channel: int | None = None
) -> Enrolment:
    """Known speakers: those loaded from files, and those enrolled now from recordings, or from one channel of these."""
    from pyannote_pix2seq.audio.samples import AudioError
    from pyannote_pix2seq.enrolment import Enrolment, EnrolmentError

    recordings: dict[str, list[dict[str, Any]]] = {}
    for name, file in (each for each in known if isinstance(each, tuple)):
        recordings.setdefault(name, []).append({"audio": file, "channel": channel})
    try:
        saved = [person for path in known if isinstance(path, Path) for person in Enrolment.load(path)]
        people = Enrolment([*saved, *pipeline.enrol(recordings)])
        people.check(pipeline.model.frontend)
    except (EnrolmentError, AudioError) as error:
        raise UsageError(str(error)) from error
    return people


def _read_pipeline(options: Namespace, strategy: str | None = None, decoding: str | None = None) -> Pix2SeqDiarization:
    """Load a pipeline from its folder or config.yaml, and move it to the requested device."""
    import torch

    from pyannote_pix2seq.loading import load_diarization

    try:
        pipeline = load_diarization(options.model, strategy, {"method": decoding})
    except ModelError as error:
        raise UsageError(str(error)) from error
    try:
        return pipeline.to(torch.device(options.device))
    except (RuntimeError, AssertionError) as error:  # AssertionError: a PyTorch without CUDA
        raise UsageError(f"--device {options.device} cannot be used here, cpu can: {error}") from error


def _find_turns(pipeline: Pix2SeqDiarization, people: Enrolment, options: Namespace, job: Job) -> Pix2SeqOutput:
    limits = {name: getattr(options, name) for name in ("num_speakers", "min_speakers", "max_speakers")}
    with bar_of_steps(job.uri, options.quiet or options.jobs > 1) as hook:
        output: Any = pipeline(job.recording, known=people, hook=hook, **limits)
    return output
