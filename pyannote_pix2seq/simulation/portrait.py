"""Picture of a simulated conversation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pyannote_pix2seq.annotation import annotation_of
from pyannote_pix2seq.palette import FAINT, INK, plain
from pyannote_pix2seq.report import MARGIN, ROW, WAVEFORM_ROWS, WIDTH, draw_lane, draw_time, draw_waveform, peaks
from pyannote_pix2seq.simulation.conversation import Conversation
from pyannote_pix2seq.simulation.turn_statistics import BACKCHANNEL, INTERRUPTION, dissect

MARKS = {INTERRUPTION: "v", BACKCHANNEL: "o"}
"""Markers of the events that are marked where they begin, see `turn_statistics.dissect`."""

OVERLAP = "#f6dfe6"


def draw(conversation: Conversation, waveform: np.ndarray, path: Path | str) -> None:
    """Draw the waveform, turns, overlaps, interruptions and backchannels, and describe the scene.

    Parameters
    ----------
    conversation : Conversation
    waveform : (1, num_samples) float32
        The rendered conversation, at 16 kHz.
    path : Path or str
        Of the PNG picture.
    """
    uri, names = conversation.uri, conversation.voices
    annotation = annotation_of(((start, end, names[speaker]) for start, end, speaker in conversation.turns), uri)
    num_rows = max(1, len(names))
    figure = Figure(figsize=(WIDTH, ROW * (WAVEFORM_ROWS + num_rows + 2) + MARGIN), dpi=150)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08)
    sound, lanes = figure.subplots(2, 1, sharex=True, height_ratios=(WAVEFORM_ROWS, num_rows))
    draw_waveform(sound, peaks([torch.from_numpy(waveform)]))
    draw_lane(lanes, f"{len(conversation.turns)} turns", annotation, names)
    _draw_events(lanes, conversation)
    for overlap in annotation.get_overlap():
        for axes in (sound, lanes):
            axes.axvspan(overlap.start, overlap.end, color=OVERLAP, linewidth=0, zorder=0)
    draw_time([sound, lanes], conversation.duration)
    sound.set_title(plain(conversation.scene or ""), loc="left", fontsize=9, color=FAINT, pad=3)
    figure.suptitle(plain(uri), x=0.01, ha="left", weight="bold", color=INK)
    figure.legend(handles=_keys(), loc="outside lower left", ncols=3, frameon=False, fontsize=9, labelcolor=INK)
    figure.savefig(path, format="png")


def _draw_events(axes: Axes, conversation: Conversation) -> None:
    """Mark the start of each interruption and each backchannel."""
    events = dissect(list(conversation.turns)) if conversation.turns else []
    for name, mark in MARKS.items():
        found = [event.turn for event in events if event.name == name]
        starts, rows = [turn.start for turn in found], [turn.speaker for turn in found]
        axes.scatter(starts, rows, marker=mark, s=26, color=INK, edgecolor="white", linewidth=0.8, zorder=3, label=name)


def _keys() -> list[Line2D | Patch]:
    marks: list[Line2D | Patch] = [
        Line2D([], [], marker=mark, color=INK, linestyle="", markersize=5, label=name) for name, mark in MARKS.items()
    ]
    return [*marks, Patch(color=OVERLAP, label="overlap")]
