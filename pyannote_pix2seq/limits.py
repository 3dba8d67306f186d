"""How many speakers a recording has."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple


class SpeakerCountError(ValueError):
    """A number of speakers that cannot be obeyed."""


class SpeakerLimits(NamedTuple):
    """How many speakers a recording has at least and at most."""

    least: int
    most: int | None

    @classmethod
    def check(cls, exactly: int | None, least: int | None, most: int | None, capacity: int) -> SpeakerLimits:
        """Limits that can be obeyed by a model that names `capacity` speakers.

        Raises
        ------
        SpeakerCountError
            If they cannot.
        """
        given = {"num_speakers": exactly, "min_speakers": least, "max_speakers": most}
        asked = ", ".join(f"{name}={number!r}" for name, number in given.items() if number is not None)
        if not all(
            number is None or (isinstance(number, Integral) and number >= 1) for number in (exactly, least, most)
        ):
            raise SpeakerCountError(f"{asked} was asked for; a number of speakers is a whole number, 1 or more.")
        limits = cls(exactly or least or 0, exactly or most)
        if limits.least > capacity:
            raise SpeakerCountError(f"{asked} was asked for, but the model can promise at most {capacity} speakers.")
        if limits.most is not None and limits.least > limits.most:
            raise SpeakerCountError(f"{asked} was asked for; min_speakers cannot be more than max_speakers.")
        return limits

    def may_grow(self, known: int) -> bool:
        """Whether there may be speakers besides those known."""
        return self.most is None or known < self.most

    def of_chunk(self, known: int, prompted: int, is_last: bool, capacity: int) -> tuple[int, int]:
        """Limits on the speakers of a chunk, those that it is prompted with included."""
        new = capacity - prompted if self.most is None else min(self.most - known, capacity - prompted)
        needed = self.least - known if is_last else 0
        return prompted + max(needed, 0), prompted + max(new, 0)
