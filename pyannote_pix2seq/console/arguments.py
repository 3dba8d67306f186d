"""Arguments of the command line, and its help."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import Any, NoReturn

from pyannote_pix2seq import PRETRAINED, __version__
from pyannote_pix2seq.decoding.options import METHODS
from pyannote_pix2seq.strategies.strategy import STRATEGIES

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
Write who speaks when, as RTTM: to stdout for one file, or to DIR/NAME.rttm for each of many.

  pyannote-pix2seq diarize talk.wav > talk.rttm
  pyannote-pix2seq diarize *.mp3 --into turns --picture --max-speakers 4
  pyannote-pix2seq diarize talk.wav --known alice=alice.wav --known bob=bob.wav > talk.rttm
"""
RESUME = """\
NAME is the file's name without its folder and suffix, and with underscores for white space.

A file whose RTTM is in DIR already is skipped, whatever options it was written with, and no RTTM
is ever half written: if a batch is killed, the same command resumes it. The same command can run
several times at once, and shares the files (on several machines if DIR is on a file system that
has locks); with --overwrite, some may be diarized more than once. A file that cannot be read does
not stop the others.

exit status: 0 success; 1 a file failed; 2 the command cannot be carried out; 130 Ctrl-C;
143 SIGTERM
"""
ENROL = """\
Enrol speakers from recordings of each of them alone, in a small file that contains no audio.

  pyannote-pix2seq enrol alice=alice.wav bob=bob1.wav bob=bob2.wav --into people.npz
  pyannote-pix2seq enrol people.npz carol=carol.wav --into more.npz
  pyannote-pix2seq enrol people.npz carol=carol.wav --into people.npz --overwrite
  pyannote-pix2seq diarize talk.wav --known people.npz > talk.rttm
"""
VOCABULARY = """\
How many tokens does it take to write times with a given precision?

  pyannote-pix2seq vocabulary --window 30 --speakers 8
  pyannote-pix2seq vocabulary --window 60 --speakers 4 --error 0.02 0.04
"""
ENROLLED = ".npz"
"""Suffix of enrolment files."""


class Parser(argparse.ArgumentParser):
    """Argument parser without abbreviated options, with one-line error messages and help laid out as it is written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message.rstrip('.')}; see {self.prog} --help\n")


class CommandParser(Parser):
    """Argument parser of a program that has several commands."""

    def parse_args(self, *given: Any, **more: Any) -> Any:
        """Parse a whole command line; the error about an unknown option names the help of the given command.

        What a shell makes of `*.wav` may begin with a dash, too, so of files, it says how to give them.
        """
        options, unknown = self.parse_known_args(*given, **more)
        if unknown:
            self.prog = f"{self.prog} {options.command}"
            files = [f"./{name}" for name in unknown if os.path.exists(name)]
            way_out = f"; write files as {' '.join(files)}" if files else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{way_out}")
        return options


def make_parser() -> CommandParser:
    """The parser of the whole command line; `command` is the name of the command."""
    parser = CommandParser(prog=PROGRAM, description=ABOUT, epilog=PRIVACY)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    _add_diarize(commands)
    _add_enrol(commands)
    _add_vocabulary(commands)
    return parser


def _add_diarize(commands: Any) -> None:
    epilog = f"{RESUME}\n{PRIVACY}"
    command = commands.add_parser("diarize", help="write who speaks when", description=DIARIZE, epilog=epilog)
    add = command.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="a recording: wav, flac, ogg, mp3...")
    add("--into", type=Path, metavar="DIR", help="output folder; created if it does not exist")
    add("--picture", action="store_true", help="also draw a timeline, DIR/NAME.png")
    add(
        "--json",
        action="store_true",
        help="also write DIR/NAME.json, with the confidence of each turn, for files that are not skipped",
    )
    add("--overwrite", action="store_true", help="diarize again what is in DIR; its old pictures and JSON are removed")
    _add_channel(command, "FILE")
    add("--num-speakers", type=at_least_one, metavar="N", help="there are exactly N speakers")
    add("--min-speakers", type=at_least_one, metavar="N", help="there are N speakers or more")
    add("--max-speakers", type=at_least_one, metavar="N", help="there are N speakers or fewer")
    known = (
        "a recording of one speaker alone, whose turns get that name, or an enrolment file made by `enrol` (may be "
        "given several times)"
    )
    add("--known", type=_known, action="append", default=[], metavar="NAME=FILE or PEOPLE.npz", help=known)
    _add_pipeline(command)
    add("--strategy", choices=STRATEGIES, help="how chunks are read, see docs/long.md (default: that of the pipeline)")
    add("--decoding", choices=METHODS, help="method of decoding (default: that of the pipeline)")
    jobs = "processes that diarize recordings at the same time, with one thread and about 1.2 GB each (default: 1)"
    add("--jobs", type=at_least_one, default=1, metavar="N", help=jobs)
    add("--quiet", action="store_true", help="no progress bar (there is none anyway if stderr is not a terminal)")


def _add_enrol(commands: Any) -> None:
    command = commands.add_parser("enrol", help="enrol speakers", description=ENROL, epilog=PRIVACY)
    add = command.add_argument
    people = "a recording of one speaker alone, or an enrolment file, all of whose speakers are included"
    add("people", nargs="+", type=_known, metavar="NAME=FILE or PEOPLE.npz", help=people)
    add("--into", type=Path, required=True, metavar="PEOPLE.npz", help="enrolment file to write, for --known")
    add(
        "--overwrite",
        action="store_true",
        help="replace that file; its speakers are kept only if it is also given as input",
    )
    _add_channel(command, "the recordings")
    _add_pipeline(command)


def _add_channel(command: Any, source: str) -> None:
    kept = f"use channel N of {source}, counted from 0 (default: the mean of all)"
    command.add_argument("--channel", type=whole, metavar="N", help=kept)


def _add_pipeline(command: Any) -> None:
    model = "folder of a pipeline, or its config.yaml (default: that of this package)"
    command.add_argument("--model", type=Path, default=PRETRAINED, metavar="PATH", help=model)
    command.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1...")


def _add_vocabulary(commands: Any) -> None:
    command = commands.add_parser("vocabulary", help="print how many tokens a precision takes", description=VOCABULARY)
    add = command.add_argument
    add("--window", type=_seconds, required=True, metavar="SECONDS", help="longest audio that a sequence can describe")
    add("--speakers", type=at_least_one, required=True, metavar="N", help="number of speakers that can be named")
    add("--error", type=_seconds, nargs="+", metavar="SECONDS", help="largest acceptable errors of times")


def _known(text: str) -> tuple[str, Path] | Path:
    """Parse NAME=FILE, or a file of enrolled speakers."""
    return Path(text) if text.endswith(ENROLLED) and "=" not in text else _person(text)


def _person(text: str) -> tuple[str, Path]:
    """Parse NAME=FILE."""
    name, is_there, file = text.partition("=")
    if not (name and is_there and file):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=FILE, for instance alice=alice.wav, nor a file of people, which ends in {ENROLLED}"
        )
    if file.endswith(ENROLLED):
        raise argparse.ArgumentTypeError(
            f"{file!r} is no recording but people with names: give {file} alone; or, if {text!r} is all of the file's "
            f"name, rename it"
        )
    return name, Path(file)


def _seconds(text: str) -> float:
    """Parse a duration, in seconds."""
    try:
        return positive(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0") from None


def positive(text: str) -> float:
    """Parse an option that is a finite number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def not_negative(text: str) -> float:
    """Parse an option that is a finite number, 0 or more."""
    number = _number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 0 or more")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def whole(text: str) -> int:
    """Parse an option that is a whole number from 0 to 2**63 - 1, such as a count or a seed."""
    number = _whole(text)
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a whole number from 0 to 2**63 - 1")
    return number


def at_least_one(text: str) -> int:
    """Parse an option that is a whole number, 1 or more."""
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a whole number, 1 or more")
    return number


def _whole(text: str) -> int:
    """Parse a whole number; -1 for anything else, and for numbers of 20 digits or more."""
    return int(text) if text.isdecimal() and len(text) < 20 else -1
