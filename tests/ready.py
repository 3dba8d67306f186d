"""Fits of turn-taking that are ready to be drawn from."""

from __future__ import annotations

from pyannote_pix2seq.simulation import FittedTurns

NAMES = ("ami", "voxconverse")
READY = {name: FittedTurns.ready(name) for name in NAMES}
