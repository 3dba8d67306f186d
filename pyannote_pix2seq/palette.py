"""Colours, text and axes of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PINK, VIOLET = "#3a6fb7", "#e58339", "#3d9a6a", "#c04d77", "#8562b5"
OCHRE, CYAN, BROWN, ROSE, SLATE = "#bf9d2a", "#2d9dad", "#93603f", "#db86b6", "#6c7e8e"
COLOURS = (BLUE, ORANGE, GREEN, PINK, VIOLET, OCHRE, CYAN, BROWN, ROSE, SLATE)
INK, FAINT, GRID, SOUND = "#22272e", "#68717d", "#e4e7eb", "#b9c0c9"


def plain(text: object) -> str:
    """Escape dollar signs, which matplotlib would read as mathematics."""
    return str(text).replace("$", r"\$")


def style_axes(axes: Axes, grid: Literal["x", "y", "both"] | None = None, **ticks: Any) -> None:
    """Axes without frame and tick marks, with faint lines behind what is drawn.

    Parameters
    ----------
    axes : Axes
    grid : {"x", "y", "both"}, optional
        Where these lines are.
    **ticks
        Of `Axes.tick_params`.
    """
    axes.set_axisbelow(True)
    if grid is not None:
        axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.spines[:].set_visible(False)
    axes.tick_params(**{"length": 0, "labelsize": 8, "colors": FAINT, **ticks})
