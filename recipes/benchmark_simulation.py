"""How many times faster than real time conversations are simulated, on one core.

    python recipes/benchmark_simulation.py --voices voices/ --turns ami/ --noise noise/ --lhotse-python venv/bin/python

Measures the processor time of the fastest of --runs runs of each conversation, after a warm-up run, so that other work
on the machine matters as little as possible. With --lhotse-python, the simulator of lhotse renders the same number of
meetings and speakers, from the same utterances and measured in the same way: see recipes/peers/lhotse_meetings.py. With
--descriptions, that many conversations are described, and the peak memory is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import numpy as np
import soundfile

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.console.arguments import Parser, at_least_one, positive, whole
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.evaluation.peak_memory import peak_memory
from pyannote_pix2seq.simulation import Acoustics, Conversation, Noises, Simulator, TakenTurns, Voices

LHOTSE = Path(__file__).parent / "peers" / "lhotse_meetings.py"

ALWAYS = {field.name: 1.0 for field in fields(Acoustics) if field.name.endswith("_probability")}
RARELY = {**ALWAYS, "pitch_probability": Acoustics().pitch_probability}
NEVER = {name: 0.0 for name in ALWAYS}
LHOTSE_TOO = {"crowd_probability": 0.0, "pitch_probability": 0.0, "telephones": ("mulaw",), "codecs": ("mp3",)}
WAYS: dict[str, dict[str, Any]] = {
    "voices alone": NEVER,
    "as for training": {},
    "everything that lhotse has too": {**ALWAYS, **LHOTSE_TOO},
    "everything on": RARELY,
    "everything on, every voice at another pitch": ALWAYS,
    "everything on, opus instead of mp3 and vorbis": {**RARELY, "codecs": ("opus",)},
}
UTTERANCES, LONGEST = 30, 15.0
"""Regions of each voice that lhotse is given at most, and the longest duration of one, in seconds."""
TRIES = 5000
"""Most conversations that are described to find some with the right number of speakers."""
NOISE = 180
"""Seconds of each kind of noise that lhotse is given."""


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("--voices", type=Path, required=True, help="what recipes/prepare_voices.py made")
    parser.add_argument("--turns", type=Path, nargs="+", required=True, help="folders of RTTM files")
    parser.add_argument("--noise", type=Path, required=True, help="folder or manifest of noise recordings")
    parser.add_argument("--conversations", type=at_least_one, default=12, help="to render (default: 12)")
    parser.add_argument("--speakers", type=at_least_one, default=4, help="in each conversation (default: 4)")
    parser.add_argument(
        "--duration", type=positive, default=50.0, help="of each conversation, in seconds (default: 50)"
    )
    parser.add_argument("--runs", type=at_least_one, default=4, help="of each conversation (default: 4)")
    parser.add_argument("--lhotse-python", type=Path, help="a Python that has lhotse and torchaudio")
    parser.add_argument("--descriptions", type=whole, default=0, help="conversations to describe (default: 0)")
    return parser.parse_args()


def conversations_of(simulator: Simulator, num_speakers: int) -> Iterator[Conversation]:
    """Conversations with exactly `num_speakers` speakers."""
    described = (simulator.describe(f"Benchmark-{number:06d}") for number in range(TRIES))
    return (conversation for conversation in described if len(conversation.voices) == num_speakers)


def measure(simulator: Simulator, options: argparse.Namespace) -> float:
    """Speed of the simulation: seconds of conversation per second of one core."""
    chosen = islice(conversations_of(simulator, options.speakers), options.conversations)
    seconds = [fastest(simulator, conversation.uri, options.runs) for conversation in chosen]
    if len(seconds) < options.conversations:
        raise Pix2SeqError(
            f"--speakers {options.speakers}: so many people speak in {len(seconds)} of {TRIES} conversations. Ask for "
            f"fewer people, or for longer conversations (--duration)."
        )
    return len(seconds) * options.duration / sum(seconds)


def fastest(simulator: Simulator, uri: str, runs: int) -> float:
    """Least processor time that it takes to describe and render a conversation, in seconds."""
    times = []
    for _ in range(1 + runs):
        start = time.process_time()
        simulator.render(simulator.describe(uri))
        times.append(time.process_time() - start)
    return min(times[1:])


def describe_many(simulator: Simulator, number: int) -> str:
    """Describe and discard conversations, and report how much peak memory grows."""
    peaks = []
    start = time.process_time()
    for index in range(number):
        if index == number // 10:
            peaks.append(peak_memory())
        simulator.describe(f"Many-{index:06d}")
    peaks.append(peak_memory())
    seconds = time.process_time() - start
    grown = (peaks[-1] - peaks[0]) / 2**20
    return f"{number} described in {seconds:.0f} s; peak memory grew by {grown:.1f} MiB over the last nine tenths"


def write_utterances(voices: Voices, noise: Path, folder: Path) -> None:
    """Write the same speech for lhotse: one wav file per voice, its regions in speech.tsv; and recordings of noise."""
    lines = ["speaker\tpath\tstart\tseconds"]
    for speaker in voices.speakers:
        regions = [region[: int(LONGEST * SAMPLE_RATE)] for region in islice(voices.regions(speaker), UTTERANCES)]
        name, starts = quote(speaker, safe=""), np.cumsum([0, *map(len, regions)])
        soundfile.write(folder / f"{name}.wav", np.concatenate(regions), SAMPLE_RATE)
        lines += [
            f"{name}\t{name}.wav\t{start / SAMPLE_RATE}\t{len(region) / SAMPLE_RATE}"
            for start, region in zip(starts, regions, strict=False)
        ]
    (folder / "speech.tsv").write_text("\n".join(lines) + "\n")
    noises, rng = Noises(noise), np.random.default_rng(0)
    paths = {kind: f"noise-{quote(kind, safe='')}.wav" for kind in noises.kinds}
    for kind, path in paths.items():
        soundfile.write(folder / path, noises.draw(kind, rng, NOISE * SAMPLE_RATE), SAMPLE_RATE)
    (folder / "noise.tsv").write_text("\n".join(["path", *paths.values()]) + "\n")


def measure_lhotse(voices: Voices, options: argparse.Namespace) -> dict[str, float]:
    """Speed of lhotse's simulator: seconds of conversation per second of one core."""
    sizes = ["--meetings", options.conversations, "--speakers", options.speakers, "--seconds", options.duration]
    sizes += ["--runs", options.runs]
    with tempfile.TemporaryDirectory() as folder:
        write_utterances(voices, options.noise, Path(folder))
        command = [options.lhotse_python, LHOTSE, folder, *sizes, "--turns", *options.turns]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, env=environment, text=True)
    if done.returncode:
        needed = "pip install lhotse dill torchaudio scipy urllib3"
        raise SystemExit(f"{options.lhotse_python} could not simulate. It needs: {needed}")
    measured = json.loads(done.stdout.splitlines()[-1])
    return {name: measured["seconds"] / seconds for name, seconds in measured["times"].items()}


def run(options: argparse.Namespace) -> None:
    """Measure, and print each figure as soon as it is known."""
    voices, turns, noises = (
        Voices(options.voices, "train"),
        TakenTurns.from_rttms(*options.turns),
        Noises(options.noise),
    )
    if options.descriptions:  # before anything is rendered: that takes more memory
        usual = Acoustics(noises=noises, bystanders=voices)
        print(describe_many(Simulator(voices, turns, usual, options.duration), options.descriptions), flush=True)
    print(f"{options.conversations} conversations of {options.speakers} people, {options.duration:g} s each")
    for name, changes in WAYS.items():
        acoustics = Acoustics(noises=noises, bystanders=voices, **changes)
        simulator = Simulator(voices, turns, acoustics, options.duration)
        print(f"{name}: {measure(simulator, options):.0f} times real time on one core", flush=True)
    if options.lhotse_python is not None:
        for name, speed in measure_lhotse(voices, options).items():
            print(f"lhotse, {name}: {speed:.0f} times real time on one core", flush=True)


def main() -> None:
    with one_line_messages():
        run(parse())


if __name__ == "__main__":
    main()
