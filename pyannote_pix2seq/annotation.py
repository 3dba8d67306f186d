"""Turns as a pyannote.core annotation, and the names that it can carry."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO

from pyannote.core import Annotation, Segment
from pyannote.database.util import load_rttm


def annotation_of(turns: Iterable[tuple[float, float, str]], uri: str) -> Annotation:
    """An annotation of (start, end, speaker) in seconds; numbered tracks keep equal segments apart, and in order."""
    annotation = Annotation(uri=uri)
    for track, (start, end, speaker) in enumerate(turns):
        annotation[Segment(start, end), f"{track:06d}"] = speaker
    return annotation


@lru_cache(maxsize=10_000)
def survives_rttm(name: str) -> bool:
    """Whether pyannote.database reads the name of a recording or speaker in RTTM as it was written.

    Names with white space or unprintable characters, with a quote in front, and words such as NA and null are lost.
    """
    if not name.isprintable() or name.split() != [name]:
        return False
    line = f"SPEAKER {name} 1 0.000 1.000 <NA> <NA> {name} <NA> <NA>\n"
    try:
        found = load_rttm(BytesIO(2 * line.encode()))
    except ValueError:
        return False
    return {uri: turns.labels() for uri, turns in found.items()} == {name: [name]}
