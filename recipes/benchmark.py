"""How many times faster than real time a pipeline is, not counting the loading of its weights.

    python recipes/benchmark.py [AUDIO] [--minutes 10] [--threads 2]

AUDIO (by default the 30 s recording that comes with pyannote.audio) is repeated up to that duration.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import pyannote.audio
import torch

import pyannote_pix2seq
from pyannote_pix2seq.audio.recording import load
from pyannote_pix2seq.console.arguments import Parser, at_least_one, positive
from pyannote_pix2seq.console.exit import one_line_errors
from pyannote_pix2seq.evaluation.system import peak_memory
from pyannote_pix2seq.evaluation.worker import read

A_DAY = 1440
"""Longest recording, in minutes: a day."""
SAMPLE = Path(pyannote.audio.__file__).parent / "sample" / "sample.wav"


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("audio", nargs="?", type=Path, default=SAMPLE, help="a recording")
    parser.add_argument("--pipeline", default=str(pyannote_pix2seq.PRETRAINED), help="folder (default: ours)")
    parser.add_argument("--minutes", type=positive, default=10.0, help="duration of the audio (default: 10)")
    parser.add_argument("--threads", type=at_least_one, default=2, help="CPU threads (default: 2)")
    parser.add_argument("--runs", type=at_least_one, default=3, help="timed runs (default: 3)")
    options = parser.parse_args()
    if options.minutes > A_DAY:
        parser.error(f"--minutes {options.minutes:g}: the recording is in memory; a day, {A_DAY}, is the most.")
    with one_line_errors():
        benchmark(options)


def benchmark(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    pipeline = read(options.pipeline)
    audio = load(options.audio)
    pipeline(audio)  # warm up
    num_samples = round(60 * options.minutes * audio["sample_rate"])
    repeats = -(-num_samples // audio["waveform"].shape[1])
    audio["waveform"] = audio["waveform"].repeat(1, repeats)[:, :num_samples]
    factors = []
    for _ in range(options.runs):
        start = time.perf_counter()
        pipeline(audio)
        factors.append(60 * options.minutes / (time.perf_counter() - start))
    memory = peak_memory() / 1e9
    print(
        f"{options.minutes:g} minutes on {options.threads} threads: {statistics.median(factors):.1f} times real time "
        f"(median of {options.runs}, {min(factors):.1f} to {max(factors):.1f}), peak memory {memory:.1f} GB"
    )


if __name__ == "__main__":
    main()
