"""DER against difficulty, one axis at a time, and in several domains: the tables and pictures of docs/difficulty.md.

    python recipes/sweep.py --voices voices/ --noise noise/ --page docs/difficulty.md \\
        --peer "clustering=recipes/peers/clustering.py --once"

Every point has the same number of simulated conversations, with development voices. Along an axis, random numbers stay
the same: with noise and loudness, the same voices say the same words in the same room. The tables are printed; with
--page they go between the comments of that page, and pictures beside it. --into writes all measures to difficulty.csv.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.console.arguments import Parser, at_least_one, positive
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.console.label_options import add_labels, labels_of
from pyannote_pix2seq.console.material_options import add_material, noises_of
from pyannote_pix2seq.console.system_options import parse_systems
from pyannote_pix2seq.evaluation.comparison import ONE_SPEAKER, Evaluation, SystemScores, evaluate
from pyannote_pix2seq.evaluation.markdown import Place, table
from pyannote_pix2seq.evaluation.measures import components, intervals, measure
from pyannote_pix2seq.evaluation.scoreboard import write_csv
from pyannote_pix2seq.evaluation.scores import Score
from pyannote_pix2seq.evaluation.system import System
from pyannote_pix2seq.palette import COLOURS, INK, SLATE, SOUND, style_axes
from pyannote_pix2seq.protocol import annotate
from pyannote_pix2seq.simulation import Acoustics, FittedTurns, Noises, Simulator, Voices
from pyannote_pix2seq.simulation.difficulty import simulator
from pyannote_pix2seq.simulation.labels import Labels
from pyannote_pix2seq.simulation.turn_statistics import TurnStatistics
from pyannote_pix2seq.simulation.turns import Turns

DRAWS = 100
"""Number of draws of turns, of which the one closest to the target is taken."""
OVERLAP, SPEAKERS = 10.0, 3
"""Overlap, in % of the speech, and number of speakers, on the axes along which something else changes."""
ACOUSTICS = Acoustics(
    loudness=0.0,
    quiet_probability=0.0,
    pitch_probability=0.0,
    room_probability=1.0,
    distant_probability=0.0,
    rt60=(0.3, 0.3),
    noise_probability=1.0,
    signal_to_noise=(25.0, 25.0),
    crowd_probability=0.0,
    clipping_probability=0.0,
    peak=(-6.0, -6.0),
    telephone_probability=0.0,
    codec_probability=0.0,
)
"""Acoustics on the axes along which something else changes: a small room, little noise, no quiet speakers."""


@dataclass(frozen=True)
class Wished:
    """Turn-taking of AMI meetings: of many draws, the one that is closest to the target.

    Parameters
    ----------
    overlap : float
        % of the time with speech in which two or more speak. Defaults to 10.
    num_speakers : int
        Speakers who have turns. Defaults to 3.
    """

    overlap: float = OVERLAP
    num_speakers: int = SPEAKERS

    def draw(self, rng: np.random.Generator, duration: float) -> Turns:
        """See `TurnTaking.draw`."""
        turns = FittedTurns.ready("ami", num_speakers=(self.num_speakers, self.num_speakers))
        return min((turns.draw(rng, duration) for _ in range(DRAWS)), key=lambda drawn: self._miss(drawn, duration))

    def _miss(self, turns: Turns, duration: float) -> tuple[int, float]:
        """Differences from the target: in the number of speakers, and in points of overlap."""
        if not turns:
            return self.num_speakers, 100.0
        found = TurnStatistics(turns).stretch(0, duration)
        overlap = 100 * found.overlap / max(found.speech, 1e-9)
        return abs(found.num_speakers - self.num_speakers), abs(overlap - self.overlap)


class Axis(NamedTuple):
    """An axis of difficulty: its title, its points, and the turns and acoustics of each."""

    title: str
    points: tuple[float, ...]
    change: Callable[[float], tuple[Wished, dict[str, Any]]]


AXES = {
    "overlap": Axis("overlap, % of speech", (0, 5, 10, 20, 30, 40), lambda share: (Wished(overlap=share), {})),
    "noise": Axis(
        "speech over noise, dB", (30, 20, 10, 5, 0, -5), lambda ratio: (Wished(), {"signal_to_noise": (ratio, ratio)})
    ),
    "speakers": Axis("number of speakers", (1, 2, 3, 4, 5, 6), lambda number: (Wished(num_speakers=int(number)), {})),
    "loudness": Axis(
        "loudness of speakers, standard deviation in dB",
        (0, 3, 6, 9, 12),
        lambda deviation: (Wished(), {"loudness": float(deviation)}),
    ),
}

DOMAINS = {
    "read": ("Easy", "librispeech"),
    "non-native": ("Easy", "speechocean762"),
    "meeting": ("Meeting", None),
    "broadcast": ("Broadcast", None),
    "telephone": ("Telephone", None),
}
"""Difficulty (see docs/simulation.md), and corpus of the voices; None is all."""


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[System]]:
    parser = Parser(description=__doc__)
    add_material(parser)
    parser.add_argument("--conversations", type=at_least_one, default=20, help="at each point (default: 20)")
    parser.add_argument(
        "--duration", type=positive, default=30.0, help="of each conversation, in seconds (default: 30)"
    )
    parser.add_argument("--axes", nargs="*", choices=AXES, help="(default: all, or none beside --domains)")
    parser.add_argument("--domains", nargs="*", choices=DOMAINS, help="(default: all, or none beside --axes)")
    parser.add_argument("--every", type=at_least_one, default=1, help="use every n-th point of an axis (default: 1)")
    add_labels(parser)
    parser.add_argument("--page", type=Path, help="page whose tables and pictures are replaced: docs/difficulty.md")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="folder for difficulty.csv")
    options, systems = parse_systems(parser, arguments)
    is_all = options.axes is None and options.domains is None
    options.axes = [*(AXES if is_all else dict.fromkeys(options.axes or []))]  # each once
    options.domains = [*(DOMAINS if is_all else dict.fromkeys(options.domains or []))]
    if not (options.axes or options.domains):
        parser.error("Neither --axes nor --domains names anything. Name some, or leave both out for all.")
    if options.into and options.into.is_file():
        parser.error(f"--into {options.into} is a file. Name the folder that difficulty.csv is to be in.")
    return options, systems


def simulators(options: argparse.Namespace, noises: Noises | None) -> Iterator[tuple[str, str, Simulator]]:
    """Axis or "domain", point, and simulator of its conversations."""
    voices = Voices(options.voices, "dev")
    for name in options.axes:
        for point in AXES[name].points[:: options.every]:
            turns, changes = AXES[name].change(point)
            acoustics = replace(ACOUSTICS, noises=noises, bystanders=voices, **changes)
            yield name, f"{point:g}", Simulator(voices, turns, acoustics, options.duration)
    for name in options.domains:
        difficulty, corpus = DOMAINS[name]
        heard = Voices(options.voices, "dev", corpus)
        yield "domain", name, simulator(difficulty, heard, noises, options.duration)


def conversations(made: Iterable[tuple[str, str, Simulator]], number: int, labels: Labels) -> Iterator[dict[str, Any]]:
    """Files of every point; random numbers of a conversation are the same at all points of an axis."""
    for name, point, source in made:
        for index in range(number):
            conversation = source.describe(f"{point if name == 'domain' else name}-{index}")
            yield {
                "uri": f"{name}={point}/{index}",
                "annotation": annotate(conversation, labels),
                "waveform": source.render(conversation),
                "sample_rate": SAMPLE_RATE,
            }


def scores_at(result: SystemScores, name: str, point: str) -> list[Score]:
    return [score for score in result.scores if score.uri.startswith(f"{name}={point}/")]


def points_of(evaluation: Evaluation, name: str) -> list[str]:
    """Points of an axis that were measured, in their order."""
    uris = [score.uri for score in evaluation.results[0].scores]
    return list(dict.fromkeys(uri[len(name) + 1 :].split("/")[0] for uri in uris if uri.startswith(f"{name}=")))


def tabulate(evaluation: Evaluation, names: Sequence[str]) -> str:
    """One table for each axis: a row for each point, a column for each system."""
    blocks: list[str] = []
    numbers: list[int] = []  # of conversations: fewer where a system failed
    for name in names:
        points = points_of(evaluation, name)
        numbers += [len(scores_at(evaluation.results[0], name, point)) for point in points]
        rows = [[point, *(_cell(scores_at(result, name, point)) for result in evaluation.results)] for point in points]
        title = AXES[name].title if name in AXES else "domain"
        blocks.append(table([title, *(result.name for result in evaluation.results)], rows))
    num = " to ".join(map(str, sorted({min(numbers, default=0), max(numbers, default=0)})))
    seconds = evaluation.results[0].scores[0].duration
    head = (
        f"DER in % (false alarm / missed detection / confusion) of {num} conversations of {seconds:g} s, and 95 % of "
        f"bootstrap samples of them:"
    )
    return "\n\n".join([head, *blocks, *evaluation.failures])


def _cell(scores: list[Score]) -> str:
    low, high = intervals(scores, ["der"])["der"]
    return f"{components(scores).brief}, {low:.1f} to {high:.1f}"


def draw_axes(evaluation: Evaluation, names: Sequence[str], path: Path) -> None:
    """Draw a panel for each axis, a line for each system, and its bootstrap interval as a band."""
    figure = Figure(figsize=(13, 4.3 * -(-len(names) // 2) + 0.5), dpi=130, layout="constrained")
    panels = figure.subplots(-(-len(names) // 2), 2, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        points = points_of(evaluation, name)
        for result, (colour, style) in zip(evaluation.results, _styles(evaluation.results), strict=True):
            rates, (low, high) = _rates(result, name, points)
            axes.plot(points, rates, style, color=colour, label=result.name, linewidth=1.8, markersize=5)
            if result.memory:
                axes.fill_between(points, low, high, color=colour, alpha=0.13, linewidth=0)
        axes.set_xlabel(AXES[name].title, fontsize=10, color=INK)
        axes.margins(x=0.04)
        _finish(axes)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    _legend(figure, panels[0])
    figure.savefig(path)


def draw_domains(evaluation: Evaluation, path: Path) -> None:
    """Draw a group of bars for each domain."""
    figure = Figure(figsize=(11, 4.6), dpi=130, layout="constrained")
    axes = figure.subplots()
    points = points_of(evaluation, "domain")
    width = 0.8 / len(evaluation.results)
    for index, (result, (colour, _)) in enumerate(zip(evaluation.results, _styles(evaluation.results), strict=True)):
        rates, (low, high) = _rates(result, "domain", points)
        places = np.arange(len(points)) + (index - (len(evaluation.results) - 1) / 2) * width
        axes.bar(places, rates, 0.92 * width, color=colour, label=result.name, zorder=2)
        away = (np.maximum(rates - low, 0), np.maximum(high - rates, 0))
        axes.errorbar(places, rates, yerr=away, fmt="none", ecolor=INK, elinewidth=1, capsize=2, zorder=3)
    axes.set_xticks(range(len(points)), points)
    _finish(axes)
    _legend(figure, axes)
    figure.savefig(path)


def _rates(result: SystemScores, name: str, points: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(num_points,) DER, and (2, num_points) ends of its interval."""
    found = [scores_at(result, name, point) for point in points]
    rates = np.array([measure(scores)["der"] for scores in found])
    return rates, np.array([intervals(scores, ["der"])["der"] for scores in found]).T


def _styles(results: Sequence[SystemScores]) -> list[tuple[str, str]]:
    """Colour and line of each system; baselines are grey, dashed or dotted."""
    colours = cycle(COLOURS)
    greys = {True: (SOUND, ":"), False: (SLATE, "--")}
    return [(next(colours), "o-") if result.memory else greys[result.name == ONE_SPEAKER] for result in results]


def _finish(axes: Axes) -> None:
    axes.set_ylabel("DER, %", fontsize=10, color=INK)
    axes.set_ylim(bottom=0)
    style_axes(axes, "y", labelsize=9)


def _legend(figure: Figure, axes: Axes) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False, fontsize=9)


def run(options: argparse.Namespace, systems: Sequence[System]) -> int:
    """Evaluate systems at all points, print, write and draw what is found, and return the exit status."""
    shown = {"axes": options.axes, "domains": ["domain"] * bool(options.domains)}
    places = {part: Place(options.page, part) for part, names in shown.items() if options.page and names}
    if options.into:
        options.into.mkdir(parents=True, exist_ok=True)  # what cannot be written to is told before anybody is asked
    made = list(simulators(options, noises_of(options)))
    files = conversations(made, options.conversations, labels_of(options))
    evaluation = evaluate("difficulty", files, systems, options.threads)
    if not evaluation.results:
        raise SystemExit("\n".join(evaluation.failures))
    if options.into:
        write_csv([evaluation], options.into / "difficulty.csv")
    print(tabulate(evaluation, [name for names in shown.values() for name in names]))
    for part, place in places.items():
        place.fill(tabulate(evaluation, shown[part]))
    if "axes" in places:
        draw_axes(evaluation, options.axes, options.page.with_name("difficulty.png"))
    if "domains" in places:
        draw_domains(evaluation, options.page.with_name("domains.png"))
    return int(bool(evaluation.failures))


def main(arguments: Sequence[str] | None = None) -> int:
    options, systems = parse(arguments)
    with one_line_messages():
        return run(options, systems)


if __name__ == "__main__":
    raise SystemExit(main())
