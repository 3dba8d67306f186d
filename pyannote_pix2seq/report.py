"""Diarization output for people to look at: a table of turns, and a picture."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator
from pyannote.core import Annotation, Timeline
from torch import Tensor

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.der import der_components, der_metric
from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.palette import COLOURS, FAINT, INK, SOUND, plain, style_axes

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
"""Possible distances between ticks, in seconds."""
WIDTH, ROW, MARGIN, WAVEFORM_ROWS = 12.0, 0.34, 1.2, 2  # inches, except for the last

PEAK = SAMPLE_RATE // 100
"""Number of samples of which the largest is kept for drawing: 10 ms."""

Pair = tuple[object, object]  # a speaker of the hypothesis and one of the reference; None where there is none


def turns_table(annotation: Annotation, confidence: Sequence[float]) -> str:
    """Format turns as a table, one per line, sorted by start time.

    Parameters
    ----------
    annotation : Annotation
    confidence : (num_turns,) floats
        Confidence of each turn, in the order of `annotation.itertracks()`.

    Raises
    ------
    ValueError
        If there is not exactly one confidence for each turn.
    """
    turns = [(turn, str(speaker)) for turn, _, speaker in annotation.itertracks(yield_label=True)]
    if len(confidence) != len(turns):
        raise ArgumentError(
            f"{annotation.uri} has {len(turns)} turns, but {len(confidence)} confidences were given. "
            "Give one for each turn, in the order of annotation.itertracks()."
        )
    width = max([len("speaker"), *(len(speaker) for _, speaker in turns)])
    header = ("start", "end", "duration", "speaker", "confidence")
    rows = [
        (clock(turn.start, 2), clock(turn.end, 2), f"{turn.duration:.2f}", speaker, f"{sure:.2f}")
        for (turn, speaker), sure in zip(turns, confidence, strict=True)
    ]
    lines = [f"{a:>10}  {b:>10}  {c:>8}  {d:<{width}}  {e:>10}" for a, b, c, d, e in [header, *rows]]
    return "\n".join(lines if turns else [*lines, "   nobody speaks"])


def clock(seconds: float, decimals: int = 0) -> str:
    """Format a time as m:ss or, from an hour on, as h:mm:ss."""
    minutes, rest = divmod(round(seconds, decimals), 60)
    second = f"{rest:0{decimals + 3 if decimals else 2}.{decimals}f}"
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{second}" if hours else f"{minutes}:{second}"


def timeline(
    hypothesis: Annotation,
    path: str | Path | BinaryIO,
    *,
    reference: Annotation | None = None,
    audio: Iterable[Tensor] | None = None,
    uem: Timeline | None = None,
) -> None:
    """Draw who spoke when as a PNG picture: the hypothesis and, if there is one, the reference below it.

    A speaker of the hypothesis has the colour of the reference speaker to whom the error rate maps them
    (optimal mapping, by the Hungarian algorithm), so that a confusion shows as a change of colour.

    Parameters
    ----------
    hypothesis : Annotation
    path : str, Path or binary stream
        Where to save the picture.
    reference : Annotation, optional
        Drawn as well, with the error rate in the title.
    audio : iterable of (channel, time) torch.Tensor, optional
        Blocks of the recording at 16 kHz, such as a `Reader`; the waveform is drawn on top.
    uem : Timeline, optional
        Regions to score, as in `der_components`.
    """
    pairs = pair_speakers(hypothesis, reference, uem)
    lanes = [("hypothesis", hypothesis, [pair[0] for pair in pairs])]
    if reference is not None:
        lanes.append(("reference", reference, [pair[1] for pair in pairs]))
    rows = [max(1, sum(speaker is not None for speaker in speakers)) for _, _, speakers in lanes]
    sound = peaks(() if audio is None else audio)
    if len(sound):
        rows.insert(0, WAVEFORM_ROWS)

    figure = Figure(figsize=(WIDTH, ROW * (sum(rows) + len(rows)) + MARGIN), dpi=150)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08)
    panels = list(figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)[:, 0])
    if len(sound):
        draw_waveform(panels[0], sound)
    for axes, (name, annotation, speakers) in zip(panels[-len(lanes) :], lanes, strict=True):
        draw_lane(axes, name, annotation, speakers)
    draw_time(panels, _duration([annotation for _, annotation, _ in lanes], sound))
    figure.suptitle(plain(hypothesis.uri or "conversation"), x=0.01, ha="left", weight="bold", color=INK)
    if reference is not None:
        rates = der_components(reference, hypothesis, uem)
        figure.text(0.99, 0.98, str(rates), ha="right", va="top", color=INK)
    _draw_legend(figure, pairs, reference is not None)
    figure.savefig(path, format="png")


def pair_speakers(hypothesis: Annotation, reference: Annotation | None, uem: Timeline | None = None) -> list[Pair]:
    """Pair the speakers of the hypothesis with those of the reference, as the error rate does.

    Returns
    -------
    pairs : list of (speaker of the hypothesis or None, speaker of the reference or None)
        Speakers of the hypothesis in order of first appearance, then the remaining ones of the reference.
    """
    if reference is None:
        return [(speaker, None) for speaker in speakers_of(hypothesis)]
    mapping = der_metric().optimal_mapping(reference, hypothesis, uem=uem)
    found = [(speaker, mapping.get(speaker)) for speaker in speakers_of(hypothesis)]
    return found + [(None, speaker) for speaker in speakers_of(reference) if speaker not in mapping.values()]


def speakers_of(annotation: Annotation) -> list[object]:
    """Speakers in order of first appearance."""
    return list(dict.fromkeys(speaker for _, _, speaker in annotation.itertracks(yield_label=True)))


def _duration(annotations: Sequence[Annotation], sound: np.ndarray) -> float:
    """Duration to show, in seconds: up to the end of the recording or of the last turn, whichever is later."""
    ends = [turn.end for annotation in annotations for turn in annotation.itersegments()]
    return max([*ends, len(sound) * PEAK / SAMPLE_RATE]) or 1.0


def peaks(blocks: Iterable[Tensor]) -> np.ndarray:
    """Largest magnitude of the samples in each 10 ms of a recording: (num_peaks,).

    Parameters
    ----------
    blocks : iterable of (channel, time) torch.Tensor
        At 16 kHz, of any size.
    """
    found = array("f")  # not many small tensors, which would fragment memory
    rest = torch.zeros(0, device="cpu")
    for block in blocks:
        samples = torch.cat([rest, block.abs().amax(dim=0).float().cpu()])
        whole = len(samples) // PEAK * PEAK
        found.extend(samples[:whole].view(-1, PEAK).amax(dim=1).tolist())
        rest = samples[whole:]
    if len(rest):
        found.append(rest.max().item())
    return np.array(found)


def draw_waveform(axes: Axes, sound: np.ndarray) -> None:
    """Draw the waveform: the maximum of `peaks` in each of about 2000 pieces of the recording."""
    starts = np.unique(np.linspace(0, len(sound), 2000, endpoint=False).astype(int))
    loudest = np.maximum.reduceat(sound, starts)
    axes.fill_between(starts * PEAK / SAMPLE_RATE, -loudest, loudest, color=SOUND, linewidth=0)
    axes.set_yticks([])
    axes.margins(y=0.02)


def draw_lane(axes: Axes, name: str, annotation: Annotation, speakers: Sequence[object]) -> None:
    """Draw one row per speaker, each in the colour of their position in `speakers`."""
    rows = [(speaker, _colour(place)) for place, speaker in enumerate(speakers) if speaker is not None]
    for row, (speaker, colour) in enumerate(rows):
        bars = [(turn.start, turn.duration) for turn in annotation.label_timeline(speaker)]
        axes.broken_barh(bars, (row - 0.36, 0.72), facecolor=colour, edgecolor=colour, linewidth=0.6, zorder=2)
    axes.set_yticks(range(len(rows)), [plain(speaker) for speaker, _ in rows], fontsize=9)
    axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    if not rows:
        axes.text(0.5, 0.5, "nobody speaks", transform=axes.transAxes, ha="center", va="center", color=FAINT)
    axes.set_title(name, loc="left", fontsize=9, color=FAINT, pad=3)


def draw_time(panels: Sequence[Axes], duration: float) -> None:
    """Give all panels a common time axis, in m:ss."""
    step = next((step for step in TICKS if duration / step <= 16), 2 * TICKS[-1])
    for axes in panels:
        style_axes(axes, "x", labelsize=9, colors=INK)
        axes.set_facecolor("#f8f9fa")
    panels[-1].set_xlim(0, duration)
    panels[-1].xaxis.set_major_locator(MultipleLocator(step))
    panels[-1].xaxis.set_major_formatter(FuncFormatter(lambda time, _: clock(time, 0 if step >= 1 else 1)))
    panels[-1].tick_params(axis="x", labelsize=9, labelcolor=FAINT)


def _draw_legend(figure: Figure, pairs: Sequence[Pair], has_reference: bool) -> None:
    """Draw a legend of the speakers' colours below the panels."""
    patches = []
    for place, (found, true) in enumerate(pairs):
        text = " = ".join(str(speaker) for speaker in (found, true) if speaker is not None)
        if has_reference and true is None:
            text += " (nobody in the reference)"
        if has_reference and found is None:
            text += " (not found)"
        patches.append(Patch(color=_colour(place), label=plain(text)))
    if patches:
        figure.legend(
            handles=patches,
            loc="outside lower left",
            ncols=min(4, len(patches)),
            frameon=False,
            fontsize=9,
            handlelength=1.2,
            labelcolor=INK,
        )


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]
