"""Stretches of recordings: annotated regions, cut to a length of which audio tokens are computed at once."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

import numpy as np
from pyannote.core import Segment
from pyannote.database import ProtocolFile

from pyannote_pix2seq.audio.reader import Reader
from pyannote_pix2seq.numeric import ROUNDING

SHORTEST_STRETCH = 0.5
"""Minimum duration of an example, in seconds: shorter annotated regions, or remainders of them, are left out."""

Stretch = tuple[Mapping[str, Any], Segment]
"""A file, and a segment of it."""


def stretches_of(file: Mapping[str, Any], duration: float, sample_rate: int) -> list[Stretch]:
    """Annotated regions of a file, cut to at most `duration` seconds; a warning if there is none."""
    try:
        regions = _annotated(file, duration, sample_rate)
    except (OSError, ValueError) as error:
        warnings.warn(f"{file['uri']} is left out: its annotated regions cannot be read: {error}", stacklevel=3)
        return []
    stretches = [
        (file, Segment(start, min(start + duration, region.end)))
        for region in regions
        for start in np.arange(region.start, region.end - SHORTEST_STRETCH + ROUNDING, duration).tolist()
    ]
    if not stretches:
        warnings.warn(
            f"{file['uri']} is left out: no {SHORTEST_STRETCH} s of it are annotated. Does its UEM have it?",
            stacklevel=3,
        )
    return stretches


def _annotated(file: Mapping[str, Any], duration: float, sample_rate: int) -> Iterable[Segment]:
    annotated = file.get("annotated")
    if annotated is not None:
        return annotated.support()
    try:
        return [Segment(0, Reader(copy_of(file), sample_rate).duration)]
    except (OSError, ValueError):
        return [Segment(0, duration)]  # which cannot be read either: whoever reads it says why


def warn_of_silent(stretches: Iterable[Stretch]) -> None:
    """Warn of annotations without a turn: pyannote.database makes one where an RTTM has no line of a recording.

    In conversations that are simulated, which have a digest, nobody has to speak.
    """
    silent = list(dict.fromkeys(file["uri"] for file, _ in stretches if _is_silent(file)))
    if silent:
        more = f" and {len(silent) - 1} more have" if len(silent) > 1 else " has"
        warnings.warn(f"{silent[0]}{more} no turn: nothing is to be written. Does the RTTM have it?", stacklevel=3)


def _is_silent(file: Mapping[str, Any]) -> bool:
    with suppress(OSError, ValueError):  # whoever reads it says what is wrong with it
        return "digest" not in file and file.get("annotation") is not None and not file["annotation"]
    return False


def copy_of(file: Mapping[str, Any]) -> ProtocolFile:
    """A copy of a file that keeps the waveform in its place, once it is read."""
    return ProtocolFile(cast(dict, file))
