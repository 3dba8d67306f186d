"""The command line: `pyannote-pix2seq diarize talk.wav > talk.rttm`.

PyTorch and pyannote.audio are imported by the functions that use them, so that `--help` does not wait for them.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from tqdm import tqdm

from pyannote_pix2seq import PRETRAINED, __version__

if TYPE_CHECKING:
    from pyannote_pix2seq.pipeline import Pix2SeqDiarization

PROGRAM = "pyannote-pix2seq"

ABOUT = """\
Who speaks when? Speaker diarization written as a language, token by token.

  pyannote-pix2seq diarize talk.wav > talk.rttm
  pyannote-pix2seq diarize --help
"""
PRIVACY = """\
pyannote.audio reports its usage over the network unless PYANNOTE_METRICS_ENABLED=0.
This command sets it to 0, unless your environment sets it to something else.
"""
DIARIZE = """\
Write who speaks when, as RTTM: to stdout for one file, to DIR/NAME.rttm for each of many.

  pyannote-pix2seq diarize talk.wav > talk.rttm
  pyannote-pix2seq diarize *.mp3 --into turns --picture --max-speakers 4
"""
RESUME = """\
NAME is the file's name without folder, suffix and spaces. A file that is there already is
skipped, so the same command goes on with a batch that was killed: what is written is
always whole. A recording that cannot be read does not stop the others.

exit status: 0 all is well, 1 some file failed, 2 the command makes no sense, 130 Ctrl-C
"""
VOCABULARY = """\
How many tokens does it take to write times to a wanted precision?

  pyannote-pix2seq vocabulary --window 30 --speakers 8
  pyannote-pix2seq vocabulary --window 60 --speakers 4 --error 0.02 0.04
"""


class UsageError(Exception):
    """A command that cannot be obeyed; its message is all that the user needs to read."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Defaults to those of the process.

    Returns
    -------
    status : int
        What the process exits with: 0, 1 if a file failed, 2 if the command cannot be obeyed, 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        After `--help` and `--version`, and with status 2 for options that do not exist.
    """
    os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")
    warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly")  # nor is it needed
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except UsageError as error:
        _say(f"{PROGRAM}: {error}")
        return 2
    except OSError as error:  # a full disk, a folder that may not be written
        _say(f"{PROGRAM}: {error}")
        return 1
    except KeyboardInterrupt:
        _say("Interrupted. With --into, the same command goes on where this one stopped.")
        return 130


def diarize(options: argparse.Namespace) -> int:
    """Diarize files; the status to exit with."""
    _check_options(options)
    jobs = _plan(options.files, options.into)
    todo = [job for job in jobs if options.overwrite or not job.is_done]
    tally = Tally(total=len(jobs), skipped=len(jobs) - len(todo))
    pipeline = _load_pipeline(options) if todo else None
    try:
        for job in tqdm(todo, unit="file", disable=_is_hidden(options.quiet or len(todo) == 1)):
            tally.count(_diarize_one(pipeline, job, options))
    finally:
        if options.into:
            _say(str(tally))
    return 1 if tally.failed else 0


def vocabulary(options: argparse.Namespace) -> int:
    """Print how precise vocabularies are; the status to exit with."""
    from pyannote_pix2seq.vocabulary import VocabularyError, quantization_report

    errors = {"errors": options.error} if options.error else {}
    try:
        print(quantization_report(options.window, options.speakers, **errors))
    except VocabularyError as error:
        raise UsageError(str(error)) from error
    return 0


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
        """File that is written about it."""
        return (self.folder or Path()) / f"{self.uri}{suffix}"

    @property
    def is_done(self) -> bool:
        """Whether its turns have been written before."""
        return self.folder is not None and self.path(".rttm").exists()


@dataclass
class Tally:
    """How many files there are, and what became of them."""

    total: int
    skipped: int
    diarized: int = 0
    failed: int = 0

    def count(self, is_diarized: bool) -> None:
        """One more file."""
        self.diarized += is_diarized
        self.failed += not is_diarized

    def __str__(self) -> str:
        text = f"{self.diarized} of {self.total} files diarized"
        if self.skipped:
            text += f", {self.skipped} skipped (their RTTM was there already; --overwrite writes it again)"
        return f"{text}, {self.failed} failed" if self.failed else text


def _check_options(options: argparse.Namespace) -> None:
    """Refuse what makes no sense together."""
    if options.num_speakers is not None and (options.min_speakers, options.max_speakers) != (None, None):
        raise UsageError("--num-speakers says how many there are: leave out --min-speakers and --max-speakers.")
    if options.into is not None:
        return
    if len(options.files) > 1:
        raise UsageError(f"{len(options.files)} files need a folder to be written to: add --into DIR.")
    for name in ("picture", "overwrite"):
        if getattr(options, name):
            raise UsageError(f"--{name} is about files, but the turns go to stdout: add --into DIR.")


def _plan(files: Sequence[Path], folder: Path | None) -> list[Job]:
    """What is to be done, if no two files have the same name."""
    from pyannote_pix2seq.audio import _name

    jobs: dict[str, Job] = {}
    for file in files:
        job = Job(file, _name({"audio": file}), folder)
        if not job.uri.isprintable():
            raise UsageError(f"{str(file)!r} has characters that RTTM cannot hold. Rename it.")
        if job.uri in jobs:
            raise UsageError(
                f"{jobs[job.uri].file} and {file} would both be written to {job.path('.rttm')}. "
                f"Rename one of them, or use a folder for each."
            )
        jobs[job.uri] = job
    return list(jobs.values())


def _load_pipeline(options: argparse.Namespace) -> Pix2SeqDiarization:
    """The pipeline that `--model`, `--device` and `--strategy` ask for, if it can obey the number of speakers."""
    import torch

    from pyannote_pix2seq.pipeline import SpeakerCountError, SpeakerLimits

    pipeline = _read_pipeline(options.model)
    pipeline.legacy = False
    if options.strategy:
        pipeline.decoding = replace(pipeline.decoding, strategy=options.strategy)
    try:
        capacity = pipeline.model.vocabulary.num_speakers
        SpeakerLimits.check(options.num_speakers, options.min_speakers, options.max_speakers, capacity)
        pipeline.to(torch.device(options.device))
    except SpeakerCountError as error:
        raise UsageError(str(error)) from error
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch was built without CUDA
        raise UsageError(f"--device {options.device} cannot be used, cpu always can: {error}") from error
    return pipeline


def _read_pipeline(path: Path) -> Pix2SeqDiarization:
    """Read a pipeline's folder, or its config.yaml."""
    from pyannote.audio import Pipeline

    from pyannote_pix2seq.pipeline import Pix2SeqDiarization

    config = path / "config.yaml" if path.is_dir() else path
    if not config.is_file():
        raise UsageError(
            f"There is no pipeline {path}: {config} does not exist. recipes/export.py makes such a folder; "
            f"without --model, the one that comes with this package is used."
        )
    try:
        pipeline = Pipeline.from_pretrained(config)
    except Exception as error:  # a file from anywhere: nothing about it is certain
        raise UsageError(f"{config} cannot be used: {type(error).__name__}: {error}") from error
    if not isinstance(pipeline, Pix2SeqDiarization):
        raise UsageError(f"{config} is a {type(pipeline).__name__}, but has to be a Pix2SeqDiarization.")
    return pipeline


def _diarize_one(pipeline: Pix2SeqDiarization, job: Job, options: argparse.Namespace) -> bool:
    """Diarize one recording and write what was found; False, and a message, if it cannot be."""
    from pyannote_pix2seq.audio import AudioError, load

    speakers = {name: getattr(options, name) for name in ("num_speakers", "min_speakers", "max_speakers")}
    try:
        audio = load({"audio": job.file, "uri": job.uri})
        with _progress(job.uri, options.quiet) as hook:
            turns = pipeline(audio, hook=hook, **speakers).speaker_diarization
    except AudioError as error:
        _say(str(error))
        return False
    if job.folder is None:
        sys.stdout.write(turns.to_rttm())
        return True
    if options.picture:
        from pyannote_pix2seq.report import timeline

        with _atomically(job.path(".png")) as part:
            timeline(turns, part, audio=audio)
    with _atomically(job.path(".rttm")) as part:  # last: it says that all is done
        part.write_text(turns.to_rttm(), encoding="utf-8")
    return True


@contextmanager
def _atomically(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when all is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _progress(name: str, quiet: bool) -> Iterator[Callable[..., None]]:
    """A pipeline's hook that draws a bar of chunks."""
    with tqdm(desc=name, unit="chunk", leave=False, disable=_is_hidden(quiet)) as bar:

        def hook(step: str, artifact: Any, file: Any, total: int | None = None, completed: int = 0) -> None:
            if total is not None:
                bar.total = total
                bar.update(completed - bar.n)

        yield hook


def _is_hidden(quiet: bool) -> bool | None:
    """Whether there is no progress bar; with None, tqdm hides it where stderr is no terminal."""
    return True if quiet else None


def _say(message: str) -> None:
    """One line on stderr, above any progress bar."""
    tqdm.write(" ".join(line.strip() for line in message.splitlines()), file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Unknown options and missing arguments are one line."""

    def __init__(self, **options: Any) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(allow_abbrev=False, formatter_class=formatter, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description=ABOUT, epilog=PRIVACY)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    _add_diarize(commands)
    _add_vocabulary(commands)
    return parser


def _add_diarize(commands: Any) -> None:
    command = commands.add_parser(
        "diarize", help="write who speaks when", description=DIARIZE, epilog=f"{RESUME}\n{PRIVACY}"
    )
    command.set_defaults(run=diarize)
    add = command.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="a recording: wav, flac, ogg, mp3...")
    add("--into", type=Path, metavar="DIR", help="folder of what is written; made if need be")
    add("--picture", action="store_true", help="also draw DIR/NAME.png")
    add("--overwrite", action="store_true", help="write again what is there already")
    add("--num-speakers", type=int, metavar="N", help="there are exactly N speakers")
    add("--min-speakers", type=int, metavar="N", help="there are N speakers or more")
    add("--max-speakers", type=int, metavar="N", help="there are N speakers or fewer")
    add(
        "--model",
        type=Path,
        default=PRETRAINED,
        metavar="PATH",
        help="folder of a pipeline, or its config.yaml (default: what comes with this package)",
    )
    add("--device", default="cpu", help="cpu (default), cuda, cuda:1...")
    strategies = ("greedy", "sample", "beam")
    add("--strategy", choices=strategies, help="how the turns are written (default: as the pipeline says)")
    add(
        "--quiet",
        action="store_true",
        help="no progress bar; there is none either where stderr is no terminal",
    )


def _add_vocabulary(commands: Any) -> None:
    command = commands.add_parser("vocabulary", help="tokens that a precision takes", description=VOCABULARY)
    command.set_defaults(run=vocabulary)
    add = command.add_argument
    add("--window", type=_seconds, required=True, metavar="SECONDS", help="longest audio to write about")
    add("--speakers", type=int, required=True, metavar="N", help="speakers that have a name")
    add("--error", type=_seconds, nargs="+", metavar="SECONDS", help="largest acceptable errors of a time")


def _seconds(text: str) -> float:
    """A duration, for argparse."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text} was given; it has to be a number of seconds above 0")
    return seconds
