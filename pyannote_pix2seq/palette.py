"""Colours of pictures, and words in them."""

from __future__ import annotations

BLUE, ORANGE, GREEN, PINK, VIOLET = "#3a6fb7", "#e58339", "#3d9a6a", "#c04d77", "#8562b5"
OCHRE, CYAN, BROWN, ROSE, SLATE = "#bf9d2a", "#2d9dad", "#93603f", "#db86b6", "#6c7e8e"
COLOURS = (BLUE, ORANGE, GREEN, PINK, VIOLET, OCHRE, CYAN, BROWN, ROSE, SLATE)
INK, FAINT, GRID, SOUND = "#22272e", "#68717d", "#e4e7eb", "#b9c0c9"


def plain(text: object) -> str:
    """Keep matplotlib from reading dollars as mathematics."""
    return str(text).replace("$", r"\$")
