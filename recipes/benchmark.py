"""How many times faster than real time a pipeline is.

    python recipes/benchmark.py [AUDIO] [--minutes 10] [--threads 2]
    python recipes/benchmark.py [AUDIO] --files 100 --jobs 2

AUDIO (by default the 30 s recording that comes with pyannote.audio) is repeated up to that duration; loading the
weights does not count. With --files, that many copies of AUDIO as it is are diarized by the command line, and all of it
counts: imports, weights, the start of its processes, and reading and writing files.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import pyannote.audio
import torch

import pyannote_pix2seq
from pyannote_pix2seq.audio.reader import Reader
from pyannote_pix2seq.audio.recording import load
from pyannote_pix2seq.console.arguments import Parser, at_least_one, positive
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.evaluation.peak_memory import peak_memory
from pyannote_pix2seq.evaluation.worker import read

A_DAY = 1440
"""Longest recording, in minutes: a day."""
COMMAND = (sys.executable, "-m", "pyannote_pix2seq", "diarize")
SAMPLE = Path(pyannote.audio.__file__).parent / "sample" / "sample.wav"


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("audio", nargs="?", type=Path, default=SAMPLE, help="a recording")
    parser.add_argument("--pipeline", default=str(pyannote_pix2seq.PRETRAINED), help="folder (default: ours)")
    parser.add_argument("--minutes", type=positive, help="duration of the audio (default: 10)")
    parser.add_argument("--threads", type=at_least_one, help="CPU threads (default: 2)")
    parser.add_argument("--files", type=at_least_one, metavar="N", help="diarize N copies of the recording instead")
    parser.add_argument("--jobs", type=at_least_one, default=1, metavar="N", help="processes that do so (default: 1)")
    parser.add_argument("--runs", type=at_least_one, default=3, help="timed runs (default: 3)")
    options = parser.parse_args()
    if options.files is not None and (options.minutes, options.threads) != (None, None):
        parser.error("--minutes and --threads are about one recording: leave them out, or --files.")
    if options.files is None and options.jobs > 1:
        parser.error(f"--jobs {options.jobs}: one recording is diarized by one process. Add --files.")
    options.minutes, options.threads = options.minutes or 10.0, options.threads or 2
    if options.minutes > A_DAY:
        parser.error(f"--minutes {options.minutes:g}: the recording is in memory; a day, {A_DAY}, is the most.")
    with one_line_messages():
        if options.files is None:
            benchmark(options)
        else:
            benchmark_batch(options)


def benchmark_batch(options: argparse.Namespace) -> None:
    minutes = options.files * Reader(options.audio).duration / 60
    with TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}{options.audio.suffix}" for number in range(options.files)]
        for file in files:
            file.symlink_to(options.audio.resolve())
        command = [*COMMAND, *map(str, files), "--into", f"{folder}/rttm", "--overwrite", "--model", options.pipeline]
        run = partial(diarize, [*command, "--jobs", str(options.jobs)])
        factors = [minutes / timed(run) for _ in range(options.runs)]
    how = f"{options.jobs} processes of one thread" if options.jobs > 1 else "1 process"
    print(f"{options.files} recordings of {60 * minutes / options.files:.0f} s by {how}: {summary(factors)}")


def diarize(command: Sequence[str]) -> None:
    """Run the command line.

    Raises
    ------
    Pix2SeqError
        If it fails: what was measured then is no speed.
    """
    if status := subprocess.run(command).returncode:
        raise Pix2SeqError(f"The command line ended with exit status {status}; what it said is above.")


def timed(work: Callable[[], Any]) -> float:
    """Minutes that work takes."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / 60


def summary(factors: Sequence[float]) -> str:
    """How many times faster than real time runs were, in words."""
    middle, runs = statistics.median(factors), len(factors)
    return f"{middle:.1f} times real time (median of {runs}, {min(factors):.1f} to {max(factors):.1f})"


def benchmark(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    pipeline = read(options.pipeline)
    audio = load(options.audio)
    pipeline(audio)  # warm up
    num_samples = round(60 * options.minutes * audio["sample_rate"])
    repeats = -(-num_samples // audio["waveform"].shape[1])
    audio["waveform"] = audio["waveform"].repeat(1, repeats)[:, :num_samples]
    factors = [options.minutes / timed(partial(pipeline, audio)) for _ in range(options.runs)]
    print(
        f"{options.minutes:g} minutes on {options.threads} threads: {summary(factors)}, "
        f"peak memory {peak_memory() / 1e9:.1f} GB"
    )


if __name__ == "__main__":
    main()
