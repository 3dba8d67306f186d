"""Compare simulated turn-taking with real: a table and a picture.

    python recipes/compare_turns.py --corpus ami AMI/ 2 --corpus voxconverse VOXCONVERSE/ 1

Each corpus is the name of a ready fit, a folder of RTTM files, and the third of them (0, 1 or 2) that was held out when
the fit was made (recipes/fit_turns.py). Simulated conversations are compared with that third; turns are taken from the
other two. Then every third is compared with a new fit to the other two. The table goes between two comments of
docs/simulation.md, the picture beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import ks_2samp

from pyannote_pix2seq.console.arguments import Parser, at_least_one
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.evaluation.markdown import Place, table
from pyannote_pix2seq.palette import BLUE, FAINT, GREEN, INK, ORANGE, SOUND, style_axes
from pyannote_pix2seq.simulation import FittedTurns, PlainTurns, TakenTurns, TurnTaking
from pyannote_pix2seq.simulation.rttm import find_rttms, in_thirds, read_rttm
from pyannote_pix2seq.simulation.turn_statistics import BACKCHANNEL, CHORUS, STRETCH, TAKES, characteristics, habits
from pyannote_pix2seq.simulation.turns import Turns

THIRDS = ("0", "1", "2")
DURATION = 600.0
"""Duration of a simulated conversation, in seconds."""

TITLES = {
    "overlap": f"overlap, % of {STRETCH:g} s",
    "speech": f"speech, % of {STRETCH:g} s",
    "length": "turn, seconds",
    "gap": "gap to the next turn, seconds",
    "speakers": f"speakers in {STRETCH:g} s",
}
HABITS = {**{name: name for name in (*TAKES, BACKCHANNEL)}, CHORUS: "backchannels at once"}
SCALES = {"overlap": 100, "speech": 100}
RANGES = {"overlap": (0, 60), "speech": (40, 100), "length": (0.1, 100), "gap": (-10, 10), "speakers": (0, 7)}
WAYS = ("real", "fitted", "taken", "plain")
COLOURS = {"real": SOUND, "fitted": BLUE, "taken": GREEN, "plain": ORANGE}
LABELS = {"real": "real, held out", "fitted": "fitted", "taken": "taken from the rest", "plain": "plain"}
UNCHANGED = {"merge_pauses": 0.0, "max_speakers": 99, "pause_probability": 0.0, "empty_probability": 0.0}
"""Options of `TakenTurns` that leave real turns as they are."""

Values = dict[str, np.ndarray]


class Comparison(NamedTuple):
    """Characteristics and habits of real conversations that were held out, and of others."""

    title: str
    values: dict[str, Values]
    habits: dict[str, dict[str, float]]

    @classmethod
    def of(cls, title: str, recordings: Mapping[str, Iterable[Turns]]) -> Comparison:
        values, shares = {}, {}
        for way, each in recordings.items():  # the real ones first
            turns = list(each)
            values[way], shares[way] = characteristics(turns), habits(turns)
            if not all(map(len, values[way].values())):
                raise Pix2SeqError(
                    f"{title}: the {way} recordings, {len(turns)}, are too short to be compared. Give some of "
                    f"{STRETCH:g} s or more, in which turns follow one another."
                )
        return cls(title, values, shares)

    def distance(self, way: str, name: str) -> float:
        """Kolmogorov-Smirnov distance to the real conversations."""
        return float(ks_2samp(self.values["real"][name], self.values[way][name]).statistic)


def read(files: list[Path]) -> Iterator[Turns]:
    return (turns for file in files for turns in read_rttm(file).values())


def draw(turns: TurnTaking, number: int) -> Iterator[Turns]:
    rng = np.random.default_rng(0)
    return (turns.draw(rng, DURATION) for _ in range(number))


def corpus_of(name: str, folder: str, third: str) -> tuple[str, Path, int]:
    """Check a corpus that was given on the command line."""
    if third not in THIRDS:
        raise Pix2SeqError(f"There is no third {third!r} of {folder}. There are {', '.join(THIRDS)}.")
    return name, Path(folder), int(third)


def hold_out(folder: Path, third: int) -> tuple[list[Path], list[Path]]:
    """Files of one third, and of the two others."""
    thirds = in_thirds(find_rttms(folder))
    held_out, rest = thirds.pop(third), sorted(file for part in thirds for file in part)
    if not (held_out and rest):
        raise Pix2SeqError(
            f"Of the RTTM files in {folder}, {len(held_out)} are in third {third} and {len(rest)} in the others: a "
            f"hash of their names decides. Give more of them, one for each recording."
        )
    return held_out, rest


def compare(name: str, folder: Path, third: int, number: int) -> Comparison:
    """Compare all ways of drawing turns with one third of the real recordings."""
    held_out, rest = hold_out(folder, third)
    ways: dict[str, TurnTaking] = {
        "fitted": FittedTurns.ready(name),
        "taken": TakenTurns.from_rttms(*rest, **UNCHANGED),
        "plain": PlainTurns(),
    }
    simulated = {way: draw(turns, number) for way, turns in ways.items()}
    title = f"{name}, {len(held_out)} recordings held out, {len(rest)} fitted to"
    return Comparison.of(title, {"real": read(held_out), **simulated})


def cross_validate(name: str, folder: Path, number: int) -> Iterator[Comparison]:
    """Compare each third with a fit to the two others, and with the others themselves."""
    for third in map(int, THIRDS):
        held_out, rest = hold_out(folder, third)
        fitted = draw(FittedTurns.fit(*rest), number)
        yield Comparison.of(f"{name}, third {third}", {"real": read(held_out), "fitted": fitted, "rest": read(rest)})


def tabulate(comparisons: list[Comparison], crossed: list[Comparison]) -> str:
    """Format distances, deciles, habits, and distances of all thirds: four Markdown tables."""
    names = list(TITLES)
    distances = [
        [comparison.title, way, *(f"{comparison.distance(way, name):.3f}" for name in names)]
        for comparison in comparisons
        for way in WAYS[1:]
    ]
    deciles = [
        [comparison.title.split(",")[0], TITLES[name], way, *_deciles(comparison.values[way], name)]
        for comparison in comparisons
        for name in names
        for way in WAYS
    ]
    ways_to_follow = [
        [comparison.title.split(",")[0], way, *(f"{100 * comparison.habits[way][name]:.1f}" for name in HABITS)]
        for comparison in comparisons
        for way in WAYS
    ]
    thirds = [
        [c.title, *(f"{c.distance('fitted', name):.3f} ({c.distance('rest', name):.3f})" for name in names)]
        for c in crossed
    ]
    return "\n\n".join(
        [
            "Kolmogorov-Smirnov distance to the real recordings that were held out:",
            table(["corpus", "turns", *names], distances),
            "Deciles; the fifth is the median:",
            table(["corpus", "", "turns", *(f"{level} %" for level in range(10, 100, 10))], deciles),
            "How turns follow one another, in % of those that do; and backchannels that overlap another one, in % of "
            "all backchannels:",
            table(["corpus", "turns", *HABITS.values()], ways_to_follow),
            "Distances of all thirds, each with a fit of its own to the other two, and in brackets those of the real "
            "recordings of the other two:",
            table(["corpus", *names], thirds),
        ]
    )


def _deciles(values: Values, name: str) -> list[str]:
    digits = 0 if name == "speakers" else 1 if name in SCALES else 2
    levels = np.quantile(values[name], np.arange(0.1, 0.95, 0.1), method="inverted_cdf")
    return [f"{round(level * SCALES.get(name, 1), digits) + 0.0:.{digits}f}" for level in levels]  # no -0.00


def paint(comparisons: list[Comparison], path: Path) -> None:
    """Draw distribution functions, a row for each corpus and a column for each characteristic."""
    figure = Figure(figsize=(14, 3 * len(comparisons) + 0.4), dpi=130, layout="constrained")
    grid = figure.subplots(len(comparisons), len(TITLES), squeeze=False, sharey=True)
    for row, comparison in zip(grid, comparisons, strict=True):
        for axes, name in zip(row, TITLES, strict=True):
            _paint_one(axes, comparison, name)
        row[0].set_ylabel(comparison.title.split(",")[0], fontsize=11, color=INK)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(WAYS), frameon=False)
    figure.savefig(path)


def _paint_one(axes: Axes, comparison: Comparison, name: str) -> None:
    for way in WAYS:
        values = np.sort(comparison.values[way][name]) * SCALES.get(name, 1)
        levels = np.arange(1, len(values) + 1) / len(values)
        width = 4.0 if way == "real" else 1.3
        axes.step(values, levels, where="post", color=COLOURS[way], label=LABELS[way], linewidth=width)
    if name == "length":
        axes.set_xscale("log")
    axes.set(xlim=RANGES[name], ylim=(0, 1))
    axes.set_title(TITLES[name], fontsize=10, color=INK)
    axes.set_xlabel(f"distance of fitted: {comparison.distance('fitted', name):.3f}", fontsize=8, color=FAINT)
    style_axes(axes, "both")


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument(
        "--corpus",
        nargs=3,
        action="append",
        required=True,
        metavar=("NAME", "FOLDER", "THIRD"),
        help="a ready fit, its folder of RTTM files, and the third that was held out; may be given several times",
    )
    parser.add_argument(
        "--conversations",
        type=at_least_one,
        default=2000,
        help="of 10 minutes, in each way of drawing turns (default: 2000)",
    )
    parser.add_argument(
        "--page", type=Path, default=Path("docs/simulation.md"), help="to write to (default: docs/simulation.md)"
    )
    parser.add_argument(
        "--picture", type=Path, default=Path("docs/turns.png"), help="to draw (default: docs/turns.png)"
    )
    return parser.parse_args()


def main() -> None:
    options = parse()
    with one_line_messages():
        place = Place(options.page, "turns")
        corpora = [corpus_of(*corpus) for corpus in options.corpus]
        comparisons = [compare(*corpus, options.conversations) for corpus in corpora]
        crossed = [c for name, folder, _ in corpora for c in cross_validate(name, folder, options.conversations)]
        text = tabulate(comparisons, crossed)
        print(text)
        place.fill(text)
        paint(comparisons, options.picture)


if __name__ == "__main__":
    main()
