"""What a stretch of a recording is annotated with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pyannote.core import Segment

from pyannote_pix2seq.errors import Pix2SeqError


class MissingReferenceError(Pix2SeqError, ValueError):
    """A recording without an annotation."""


class Reference(NamedTuple):
    """Turns and speakers of a stretch.

    Attributes
    ----------
    turns : list of [float, float, int]
        Start and end of each turn, in seconds from the start of the stretch, and the number of its speaker.
    names : list of str
        Labels of the speakers, by number, after what they are valid within, a database or a file of it.
    seconds : float
        Duration of the stretch.
    """

    turns: list[list[float]]
    names: list[str]
    seconds: float

    @classmethod
    def of(cls, file: Mapping[str, Any], stretch: Segment) -> Reference:
        """Reference of a stretch of a file.

        Raises
        ------
        MissingReferenceError
            If the file has no annotation.
        """
        if file.get("annotation") is None:
            raise MissingReferenceError("it has no annotation. Does its RTTM have it?")
        annotation = file["annotation"].crop(stretch)
        numbers = {label: number for number, label in enumerate(annotation.labels())}
        turns = [
            [segment.start - stretch.start, segment.end - stretch.start, numbers[label]]
            for segment, _, label in annotation.itertracks(yield_label=True)
        ]
        within = {"global": [], "database": [file.get("database")]}
        parts = within.get(file.get("scope", "file"), [file.get("database"), file["uri"]])
        names = [" ".join([*filter(None, parts), str(label)]) for label in numbers]
        return cls(turns, names, stretch.duration)
