"""How systems compare, for people and for spreadsheets: a table, a CSV file, a picture."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyannote_pix2seq.contest import Contest, Entry
from pyannote_pix2seq.page import table
from pyannote_pix2seq.palette import BLUE, COLOURS, FAINT, GRID, INK, OCHRE, ORANGE, SLATE, plain
from pyannote_pix2seq.scores import MEASURES, NUM_LEVELS, Score, components, difference, intervals, levels, measure

PARTS = {"false_alarm": OCHRE, "missed_detection": BLUE, "confusion": ORANGE}
HEAD = (
    "system",
    "DER, %",
    "false alarm",
    "missed detection",
    "confusion",
    "JER, %",
    "number of speakers: mean error",
    "right, %",
    "boundaries off by, ms",
    "calibration error, %",
    "times real time",
    "memory, GB",
)
MARKERS = "oDs^vP"
HIGHEST = 200.0
"""Higher error rates, in %, are drawn at the upper edge."""
MOST_NAMED = 30
"""More recordings than these have no name in the picture."""


def markdown(contest: Contest) -> str:
    """Tables of a contest: totals with their intervals, the first system against the others, and every recording."""
    blocks = [f"### {contest.name}"]
    if contest.entries:
        blocks += [_totals(contest.entries), *_differences(contest.entries), _by_file(contest.entries)]
    return "\n\n".join([*blocks, *contest.failures])


def _totals(entries: Sequence[Entry]) -> str:
    num = len(entries[0].scores)
    note = f"Total of {num} recording{'s' * (num > 1)}, and in brackets 95 % of bootstrap samples of recordings."
    return f"{note}\n\n{table(HEAD, map(_row, entries))}"


def _row(entry: Entry) -> list[str]:
    found, ranges = measure(entry.scores), intervals(entry.scores)
    digits = dict.fromkeys(MEASURES, 1) | {"speaker_count_error": 2, "boundary_error": 0, "speaker_count_right": 0}
    plain = ("false_alarm", "missed_detection", "confusion", "speaker_count_right")
    cells = [
        _number(found[name], digits[name]) if name in plain else _with_range(found[name], ranges[name], digits[name])
        for name in MEASURES
    ]
    return [entry.name, *cells, _number(entry.peak_memory / 1e9 or np.nan, 2)]


def _number(value: float, digits: int) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"


def _with_range(value: float, limits: tuple[float, float], digits: int) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.{digits}f} ({' to '.join(_number(limit, digits) for limit in limits)})"


def _differences(entries: Sequence[Entry]) -> list[str]:
    """How far the DER of the first system is from those of the others, on the same draws of recordings."""
    first, *others = entries
    lines = []
    for other in others:
        value, low, high = difference(first.scores, other.scores)
        lines.append(f"- {first.name} minus {other.name}: {value:+.1f} ({low:+.1f} to {high:+.1f})")
    return ["Difference of DER on the same recordings, in points:", "\n".join(lines)] if lines else []


def _by_file(entries: Sequence[Entry]) -> str:
    head = ["DER (false alarm / missed detection / confusion); speakers found / true", *(e.name for e in entries)]
    rows = [[scores[0].uri, *map(_cell, scores)] for scores in zip(*(entry.scores for entry in entries), strict=True)]
    return table(head, rows)


def _cell(score: Score) -> str:
    return f"{components([score]).brief}; {score.num_speakers[0]} / {score.num_speakers[1]}"


def write_csv(contests: Iterable[Contest], path: Path | str) -> None:
    """One line for each recording of each system, and three for each system: total, low and high end of its interval.

    Columns are `MEASURES`; empty is what cannot be measured.
    """
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["protocol", "system", "row", "recording", *MEASURES, "peak_memory"])
        for contest in contests:
            for entry in contest.entries:
                writer.writerows([contest.name, entry.name, *row] for row in _lines(entry))


def _lines(entry: Entry) -> Iterable[list[object]]:
    for score, memory in zip(entry.scores, entry.memory or [0] * len(entry.scores), strict=True):
        yield ["file", score.uri, *_values(measure([score]).values()), memory or ""]
    yield ["total", "", *_values(measure(entry.scores).values()), entry.peak_memory or ""]
    for row, limits in zip(("low", "high"), zip(*intervals(entry.scores).values(), strict=True), strict=True):
        yield [row, "", *_values(limits), ""]


def _values(values: Iterable[float]) -> list[object]:
    return ["" if np.isnan(value) else f"{value:.4f}" for value in values]


def draw(contests: Sequence[Contest], path: Path | str) -> None:
    """Draw a picture (PNG): for each contest the errors in total, by recording, and the calibration."""
    contests = [contest for contest in contests if contest.entries]
    heights = [1.5 + 0.42 * max(5, len(contest.entries)) for contest in contests]
    figure = Figure(figsize=(15, sum(heights)), dpi=130)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    grid = figure.subplots(len(contests), 3, squeeze=False, height_ratios=heights, width_ratios=(5, 5, 2.6))
    for contest, (totals, recordings, sure) in zip(contests, grid, strict=True):
        _draw_totals(totals, contest.entries)
        totals.set_title(plain(contest.name), loc="left", fontsize=11, weight="bold", color=INK, pad=24)
        _draw_recordings(recordings, contest.entries)
        _draw_calibration(sure, contest.entries)
    figure.savefig(path, format="png")


def _draw_totals(axes: Axes, entries: Sequence[Entry]) -> None:
    """Stacked bars of the parts of the DER, with its interval."""
    rows = np.arange(len(entries))
    totals = [measure(entry.scores) for entry in entries]
    left = np.zeros(len(entries))
    for part, colour in PARTS.items():
        widths = np.array([total[part] for total in totals])
        axes.barh(rows, widths, left=left, height=0.62, color=colour, label=part.replace("_", " "), zorder=2)
        left += widths
    ranges = np.array([intervals(entry.scores, ["der"])["der"] for entry in entries]).T
    away = np.abs(ranges - left)
    axes.errorbar(left, rows, xerr=away, fmt="none", ecolor=INK, elinewidth=1.1, capsize=3, zorder=3)
    for row, (value, end) in enumerate(zip(left, np.maximum(left, ranges[1]), strict=True)):
        axes.text(end, row, f"  {value:.1f}", va="center", ha="left", fontsize=9, weight="bold", color=INK)
    axes.set_yticks(rows, [plain(entry.name) for entry in entries], fontsize=9)
    axes.set_ylim(len(entries) - 0.5, -0.5)
    axes.set_xlim(0, 1.15 * max(1.0, ranges[1].max(), left.max()))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8, borderaxespad=0.2)
    _finish(axes, "DER, % (bracket: 95 % of bootstrap samples)", "x")


def _draw_recordings(axes: Axes, entries: Sequence[Entry]) -> None:
    """DER of each recording, a marker for each system; many recordings are sorted by that of the first system."""
    rates = np.array([[measure([score])["der"] for score in entry.scores] for entry in entries])
    top = 1.08 * max(1.0, min(rates.max(), HIGHEST))
    uris = [score.uri for score in entries[0].scores]
    is_few = len(uris) <= MOST_NAMED
    order = np.arange(len(uris)) if is_few else np.argsort(rates[0])
    for index, (entry, colour) in enumerate(zip(entries, _colours(entries), strict=True)):
        aside = 0.7 * ((index + 0.5) / len(entries) - 0.5) if is_few else 0.0
        heights = np.minimum(rates[index, order], top)
        look: dict[str, Any] = {"s": 40 if is_few else 10, "color": colour, "marker": MARKERS[index % len(MARKERS)]}
        axes.scatter(np.arange(len(uris)) + aside, heights, label=plain(entry.name), zorder=3, clip_on=False, **look)
    names = [plain(uris[index]) for index in order] if is_few else []
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    for border in range(1, len(names)):
        axes.axvline(border - 0.5, color=GRID, linewidth=0.8, zorder=1)
    axes.set_ylim(0, top)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8, borderaxespad=0.2)
    _finish(axes, "", "y")
    axes.set_ylabel("DER by recording, %", fontsize=9, color=FAINT)


def _draw_calibration(axes: Axes, entries: Sequence[Entry]) -> None:
    """How much is right of what is claimed with a confidence; on the diagonal, confidence means what it says."""
    axes.plot([0, 100], [0, 100], color=GRID, linewidth=3, zorder=1)
    for entry, colour in zip(entries, _colours(entries), strict=True):
        seconds, claimed, right = levels(entry.scores).T
        if not seconds.any():
            continue
        some = seconds > 0
        x, y = 100 * claimed[some] / seconds[some], 100 * right[some] / seconds[some]
        axes.plot(x, y, color=colour, linewidth=1.2, zorder=2)
        axes.scatter(x, y, s=20 + 380 * seconds[some] / seconds.sum(), color=colour, alpha=0.75, linewidth=0, zorder=3)
    if not any(levels(entry.scores).any() for entry in entries):
        axes.text(50, 50, "no system gives\na confidence", ha="center", va="center", color=FAINT, fontsize=9)
    axes.set(xlim=(0, 103), ylim=(0, 103), aspect="equal")
    axes.set_title(f"calibration, {NUM_LEVELS} levels", loc="left", fontsize=9, color=FAINT)
    axes.set_ylabel("right, %", fontsize=9, color=FAINT)
    _finish(axes, "confidence of turns, %", "both")


def _colours(entries: Sequence[Entry]) -> list[str]:
    """A colour for each system; baselines, which take no time, are grey."""
    return [colour if entry.memory else SLATE for entry, colour in zip(entries, COLOURS * len(entries), strict=False)]


def _finish(axes: Axes, label: str, grid: Literal["x", "y", "both"]) -> None:
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8, colors=FAINT, labelcolor=INK)
    if label:
        axes.set_xlabel(label, fontsize=9, color=FAINT)
