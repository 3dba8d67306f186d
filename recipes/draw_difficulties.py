"""Draw and measure the difficulties, and styles of labels: the pictures and the table of docs/simulation.md.

    python recipes/draw_difficulties.py --voices voices/ --noise noise/ --into docs/

FOLDER/difficulties.png shows the beginning of one conversation of each difficulty, FOLDER/labels.png one conversation
in several styles of labels. The table, of development conversations, is printed and goes between two comments of
FOLDER/simulation.md; with --pipeline, its last column is the error rate of a pipeline.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pyannote.audio import Pipeline
from pyannote.core import Annotation, Segment
from pyannote.database import ProtocolFile

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.console.arguments import Parser, at_least_one
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.console.material_options import add_material, noises_of
from pyannote_pix2seq.der import error_rate
from pyannote_pix2seq.evaluation.markdown import Place, table
from pyannote_pix2seq.palette import FAINT, INK, SOUND, style_axes
from pyannote_pix2seq.protocol import SyntheticProtocol, annotate
from pyannote_pix2seq.report import draw_lane, speakers_of
from pyannote_pix2seq.simulation import Simulator
from pyannote_pix2seq.simulation.difficulty import DIFFICULTIES, simulators
from pyannote_pix2seq.simulation.labels import HEARD, Labels

SHOWN = 40.0
"""Seconds that are shown of each difficulty."""
CLOSE = 13.0
"""Seconds that are shown of a conversation in several styles of labels."""
FRAME, BAND = 512, 4
"""Samples of a frame, and number of frequencies that are averaged into one band."""
HEAT = colormaps["magma"].resampled(12)
MERGED = Labels(merge_pauses=0.5)
STYLES = {
    "exact": HEARD,
    "pauses under 0.5 s merged": MERGED,
    "loose: 0.2 s longer": Labels(padding=0.2),
    "tight: 0.2 s shorter": Labels(padding=-0.2),
    "merged and loose": Labels(merge_pauses=0.5, padding=0.2),
}


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    add_material(parser)
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="folder of simulation.md")
    parser.add_argument(
        "--conversations", type=at_least_one, default=100, help="measured per difficulty (default: 100)"
    )
    parser.add_argument("--pipeline", help="folder of a pipeline to score")
    parser.add_argument("--scored", type=at_least_one, default=10, help="of these, scored with it (default: 10)")
    return parser.parse_args()


def draw_difficulties(protocols: dict[str, SyntheticProtocol], path: Path) -> None:
    """Draw spectrogram and turns of the first development conversation of each protocol."""
    figure = Figure(figsize=(12, 2.1 * len(protocols)), dpi=110, layout="constrained")
    panels = figure.subplots(2 * len(protocols), 1, sharex=True, height_ratios=[3, 2] * len(protocols))
    for (name, protocol), spectrum, lanes in zip(protocols.items(), panels[::2], panels[1::2], strict=True):
        file = protocol.file("development", 0)
        draw_spectrum(spectrum, file["waveform"][0].numpy(), file["sample_rate"])
        draw_turns(lanes, file["annotation"])
        spectrum.set_title(f"{name}: {DIFFICULTIES[name].about}", loc="left", fontsize=10, color=INK)
    finish(figure, panels, (0.0, SHOWN), path)


def draw_labels(simulator: Simulator, uri: str, path: Path) -> None:
    """Draw the clean speech of a conversation, and its labels in each style, where short pauses are the most."""
    conversation = simulator.describe(uri)
    clean = simulator.tracks(conversation).sum(axis=0)
    figure = Figure(figsize=(12, 0.8 * (len(STYLES) + 1)), dpi=110, layout="constrained")
    panels = figure.subplots(1 + len(STYLES), 1, sharex=True)
    panels[0].plot(np.arange(len(clean))[::16] / SAMPLE_RATE, clean[::16], color=SOUND, linewidth=0.5)
    panels[0].set_yticks([])
    panels[0].set_title("what is said", loc="left", fontsize=9, color=FAINT)
    for axes, (name, style) in zip(panels[1:], STYLES.items(), strict=True):
        draw_turns(axes, annotate(conversation, style), name)
    start = most_different(annotate(conversation, HEARD), annotate(conversation, MERGED))
    finish(figure, panels, (start, start + CLOSE), path)


def most_different(exact: Annotation, merged: Annotation) -> float:
    """Where the part of `CLOSE` seconds begins that has the most turns more in one annotation than in the other."""

    def num_turns(annotation: Annotation, start: float) -> int:
        return len(annotation.crop(Segment(start, start + CLOSE)))

    starts = [max(turn.start - 0.5, 0.0) for turn in exact.itersegments()]
    return max(starts, key=lambda start: num_turns(exact, start) - num_turns(merged, start), default=0.0)


def draw_spectrum(axes: Axes, waveform: np.ndarray, sample_rate: int) -> None:
    """Draw a spectrogram, in dB with a range of 80 dB; as coarse as keeps the picture small."""
    frames = waveform[: len(waveform) // FRAME * FRAME].reshape(-1, FRAME) * np.hanning(FRAME)
    power = np.square(np.abs(np.fft.rfft(frames)[:, 1:])).reshape(len(frames), -1, BAND).mean(axis=-1)
    decibels = 10 * np.log10(power.T + 1e-12)
    # (num_bands, num_frames)
    extent = (0, frames.size / sample_rate, 0, sample_rate / 2000)
    look = {"vmin": decibels.max() - 80, "cmap": HEAT, "interpolation": "nearest"}
    axes.imshow(decibels, origin="lower", aspect="auto", extent=extent, **look)
    axes.set_ylabel("kHz", fontsize=8, color=FAINT)
    axes.set_yticks([0, 4, 8])


def draw_turns(axes: Axes, annotation: Annotation, name: str = "") -> None:
    """Draw turns with a row and a colour for each speaker, in order of appearance; names of speakers say nothing."""
    draw_lane(axes, name, annotation, speakers_of(annotation))
    axes.set_yticks([])


def finish(figure: Figure, panels: Sequence[Axes], seconds: tuple[float, float], path: Path) -> None:
    for axes in panels:
        style_axes(axes)
    panels[-1].set_xlim(*seconds)
    panels[-1].set_xlabel("s", fontsize=8, color=FAINT)
    figure.savefig(path)


def row(name: str, files: list[ProtocolFile], pipeline: Pipeline | None, num_scored: int) -> list[str]:
    """A row of the table: medians over conversations, and the error rate of the first ones."""
    annotations = [file["annotation"] for file in files]
    spoken = np.array([annotation.get_timeline().support().duration() for annotation in annotations])
    overlap = np.array([annotation.get_overlap().duration() for annotation in annotations])
    duration = np.array([file["annotated"].duration() for file in files])
    lengths = [segment.duration for annotation in annotations for segment in annotation.itersegments()]
    heard = [len(annotation.labels()) for annotation in annotations]
    cells = [
        name,
        DIFFICULTIES[name].about,
        f"{min(heard)} to {max(heard)}",
        f"{np.median(100 * spoken / duration):.0f} %",
        f"{np.median(100 * overlap / np.maximum(spoken, 1e-9)):.1f} %",
        f"{np.median(lengths):.1f} s",
    ]
    if pipeline is not None:
        rates = error_rate(pipeline, files[:num_scored])
        cells.append(rates.brief.replace(" (", " % (", 1))
    return cells


def tabulate(protocols: dict[str, SyntheticProtocol], options: argparse.Namespace) -> str:
    """Describe the development conversations of each protocol in a Markdown table."""
    pipeline = Pipeline.from_pretrained(options.pipeline) if options.pipeline else None
    head = ["", "what it stands for", "speakers", "speech", "overlap", "turn", *(["DER"] if pipeline else [])]
    rows = []
    for name, protocol in protocols.items():
        files = list(islice(protocol.development(), options.conversations))
        rows.append(row(name, files, pipeline, options.scored))
    return table(head, rows)


def draw(options: argparse.Namespace) -> None:
    """Draw the pictures, print the table and put it into the page."""
    place = Place(options.into / "simulation.md", "difficulties")
    noises = noises_of(options)
    made: dict[str, dict[str, Any]] = {name: simulators(name, options.voices, noises) for name in DIFFICULTIES}
    protocols = {name: SyntheticProtocol(name, **each) for name, each in made.items()}
    draw_difficulties(protocols, options.into / "difficulties.png")
    draw_labels(made["Easy"]["development"], protocols["Easy"].uri("development", 0), options.into / "labels.png")
    text = tabulate(protocols, options)
    print(text)
    place.fill(text)


def main() -> None:
    with one_line_messages():
        draw(parse())


if __name__ == "__main__":
    main()
