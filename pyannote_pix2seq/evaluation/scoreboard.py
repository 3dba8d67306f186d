"""Comparison of systems as a Markdown table, a CSV file and a picture."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyannote_pix2seq.evaluation.comparison import Evaluation, SystemScores
from pyannote_pix2seq.evaluation.markdown import table
from pyannote_pix2seq.evaluation.measures import MEASURES, components, difference, intervals, levels, measure
from pyannote_pix2seq.evaluation.scores import NUM_LEVELS, Score
from pyannote_pix2seq.palette import BLUE, COLOURS, FAINT, GRID, INK, OCHRE, ORANGE, SLATE, plain, style_axes

PARTS = {"false_alarm": OCHRE, "missed_detection": BLUE, "confusion": ORANGE}
MARKERS = "oDs^vP"
HIGHEST = 200.0
"""Error rates above this, in %, are drawn at the upper edge."""
MOST_NAMED = 30
"""Most recordings that are named in the picture."""


def markdown(evaluation: Evaluation) -> str:
    """Tables: totals with their intervals, the first system against the others, and every recording."""
    blocks = [f"### {evaluation.title}"]
    if evaluation.results:
        blocks += [_totals(evaluation), *_differences(evaluation.results), _by_file(evaluation.results)]
    return "\n\n".join([*blocks, *evaluation.failures])


def _totals(evaluation: Evaluation) -> str:
    num = len(evaluation.results[0].scores)
    recordings = f"{num} recording{'s' * (num > 1)} ({evaluation.scoring})"
    note = f"Total of {recordings}, and in brackets 95 % of bootstrap samples of recordings."
    head = ["system", *(each.title for each in MEASURES.values()), "memory, GB"]
    return f"{note}\n\n{table(head, map(_row, evaluation.results))}"


def _row(result: SystemScores) -> list[str]:
    found = measure(result.scores)
    ranges = intervals(result.scores, [name for name, each in MEASURES.items() if each.has_interval])
    cells = [
        _with_range(found[name], ranges[name], each.digits) if each.has_interval else _number(found[name], each.digits)
        for name, each in MEASURES.items()
    ]
    return [result.name, *cells, _number(result.peak_memory / 1e9 or np.nan, 2)]


def _number(value: float, digits: int) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"


def _with_range(value: float, limits: tuple[float, float], digits: int) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.{digits}f} ({' to '.join(_number(limit, digits) for limit in limits)})"


def _differences(results: Sequence[SystemScores]) -> list[str]:
    """Difference between the DER of the first system and that of each other, with paired bootstrap intervals."""
    first, *others = results
    lines = []
    for other in others:
        value, low, high = difference(first.scores, other.scores)
        lines.append(f"- {first.name} minus {other.name}: {value:+.1f} ({low:+.1f} to {high:+.1f})")
    return ["Difference of DER on the same recordings, in points:", "\n".join(lines)] if lines else []


def _by_file(results: Sequence[SystemScores]) -> str:
    head = ["DER (false alarm / missed detection / confusion); speakers found / true", *(e.name for e in results)]
    rows = [[scores[0].uri, *map(_cell, scores)] for scores in zip(*(result.scores for result in results), strict=True)]
    return table(head, rows)


def _cell(score: Score) -> str:
    return f"{components([score]).brief}; {score.num_speakers[0]} / {score.num_speakers[1]}"


def write_csv(evaluations: Iterable[Evaluation], path: Path | str) -> None:
    """Write one line for each recording of each system, and three for its total and the ends of its interval.

    Columns are `MEASURES`; cells are empty where a measure is not defined.
    """
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["protocol", "subset", "system", "row", "recording", *MEASURES, "peak_memory"])
        for evaluation in evaluations:
            for result in evaluation.results:
                writer.writerows([evaluation.name, evaluation.subset, result.name, *row] for row in _lines(result))


def _lines(result: SystemScores) -> Iterable[list[object]]:
    for score, memory in zip(result.scores, result.memory or [0] * len(result.scores), strict=True):
        yield ["file", score.uri, *_values(measure([score]).values()), memory or ""]
    yield ["total", "", *_values(measure(result.scores).values()), result.peak_memory or ""]
    for row, limits in zip(("low", "high"), zip(*intervals(result.scores).values(), strict=True), strict=True):
        yield [row, "", *_values(limits), ""]


def _values(values: Iterable[float]) -> list[object]:
    return ["" if np.isnan(value) else f"{value:.4f}" for value in values]


def draw(evaluations: Sequence[Evaluation], path: Path | str) -> None:
    """Draw a picture (PNG): for each evaluation the total errors, the DER by recording, and the calibration."""
    evaluations = [evaluation for evaluation in evaluations if evaluation.results]
    heights = [1.5 + 0.42 * max(5, len(evaluation.results)) for evaluation in evaluations]
    figure = Figure(figsize=(15, sum(heights)), dpi=130)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    grid = figure.subplots(len(evaluations), 3, squeeze=False, height_ratios=heights, width_ratios=(5, 5, 2.6))
    for evaluation, (totals, recordings, sure) in zip(evaluations, grid, strict=True):
        _draw_totals(totals, evaluation.results)
        totals.set_title(plain(evaluation.title), loc="left", fontsize=11, weight="bold", color=INK, pad=24)
        _draw_recordings(recordings, evaluation.results)
        _draw_calibration(sure, evaluation.results)
    figure.savefig(path, format="png")


def _draw_totals(axes: Axes, results: Sequence[SystemScores]) -> None:
    """Stacked bars of false alarm, missed detection and confusion, with the interval of the DER."""
    rows = np.arange(len(results))
    totals = [measure(result.scores) for result in results]
    left = np.zeros(len(results))
    for part, colour in PARTS.items():
        widths = np.array([total[part] for total in totals])
        axes.barh(rows, widths, left=left, height=0.62, color=colour, label=part.replace("_", " "), zorder=2)
        left += widths
    ranges = np.array([intervals(result.scores, ["der"])["der"] for result in results]).T
    away = np.abs(ranges - left)
    axes.errorbar(left, rows, xerr=away, fmt="none", ecolor=INK, elinewidth=1.1, capsize=3, zorder=3)
    for row, (value, end) in enumerate(zip(left, np.maximum(left, ranges[1]), strict=True)):
        axes.text(end, row, f"  {value:.1f}", va="center", ha="left", fontsize=9, weight="bold", color=INK)
    axes.set_yticks(rows, [plain(result.name) for result in results], fontsize=9)
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.set_xlim(0, 1.15 * max(1.0, ranges[1].max(), left.max()))
    _legend(axes)
    _finish(axes, "DER, % (bracket: 95 % of bootstrap samples)", "x")


def _draw_recordings(axes: Axes, results: Sequence[SystemScores]) -> None:
    """DER of each recording, one marker per system; many recordings are sorted by that of the first system."""
    rates = np.array([[measure([score])["der"] for score in result.scores] for result in results])
    top = 1.08 * max(1.0, min(rates.max(), HIGHEST))
    uris = [score.uri for score in results[0].scores]
    is_few = len(uris) <= MOST_NAMED
    order = np.arange(len(uris)) if is_few else np.argsort(rates[0])
    for index, (result, colour) in enumerate(zip(results, _colours(results), strict=True)):
        aside = 0.7 * ((index + 0.5) / len(results) - 0.5) if is_few else 0.0
        heights = np.minimum(rates[index, order], top)
        look: dict[str, Any] = {"s": 40 if is_few else 10, "color": colour, "marker": MARKERS[index % len(MARKERS)]}
        axes.scatter(np.arange(len(uris)) + aside, heights, label=plain(result.name), zorder=3, clip_on=False, **look)
    names = [plain(uris[index]) for index in order] if is_few else []
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    for border in range(1, len(names)):
        axes.axvline(border - 0.5, color=GRID, linewidth=0.8, zorder=1)
    axes.set_ylim(0, top)
    _legend(axes)
    _finish(axes, "", "y")
    axes.set_ylabel("DER by recording, %", fontsize=9, color=FAINT)


def _draw_calibration(axes: Axes, results: Sequence[SystemScores]) -> None:
    """Share of turns at each confidence that is right; on the diagonal, confidence is calibrated."""
    axes.plot([0, 100], [0, 100], color=GRID, linewidth=3, zorder=1)
    for result, colour in zip(results, _colours(results), strict=True):
        seconds, claimed, right = levels(result.scores).T
        if not seconds.any():
            continue
        some = seconds > 0
        x, y = 100 * claimed[some] / seconds[some], 100 * right[some] / seconds[some]
        axes.plot(x, y, color=colour, linewidth=1.2, zorder=2)
        axes.scatter(x, y, s=20 + 380 * seconds[some] / seconds.sum(), color=colour, alpha=0.75, linewidth=0, zorder=3)
    if not any(levels(result.scores).any() for result in results):
        axes.text(50, 50, "no system gives\na confidence", ha="center", va="center", color=FAINT, fontsize=9)
    axes.set(xlim=(0, 103), ylim=(0, 103), aspect="equal")
    axes.set_title(f"calibration, {NUM_LEVELS} levels", loc="left", fontsize=9, color=FAINT)
    axes.set_ylabel("right, %", fontsize=9, color=FAINT)
    _finish(axes, "confidence of turns, %", "both")


def _colours(results: Sequence[SystemScores]) -> list[str]:
    """A colour for each system; baselines, which have no measured memory, are grey."""
    return [colour if result.memory else SLATE for result, colour in zip(results, COLOURS * len(results), strict=False)]


def _legend(axes: Axes) -> None:
    """Name what is drawn, above it."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8, borderaxespad=0.2)


def _finish(axes: Axes, label: str, grid: Literal["x", "y", "both"]) -> None:
    style_axes(axes, grid, labelcolor=INK)
    if label:
        axes.set_xlabel(label, fontsize=9, color=FAINT)
