"""Limits on the number of speakers of a recording."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.numeric import is_whole, plain


class SpeakerCountError(Pix2SeqError, ValueError):
    """A number of speakers that is invalid or cannot be reached."""


class SpeakerLimits(NamedTuple):
    """Minimum and maximum number of speakers; by default, there may be any number."""

    min_speakers: int = 0
    max_speakers: int | None = None

    @classmethod
    def check(
        cls, exactly: int | None, min_speakers: int | None, max_speakers: int | None, capacity: float = inf
    ) -> SpeakerLimits:
        """Check limits for a recording in which at most `capacity` speakers can be named.

        An absent limit is None or, as in pyannote.audio, a minimum of 0 or a maximum of infinity.

        Raises
        ------
        SpeakerCountError
            If a limit is not a whole number of 1 or more, limits contradict each other, or the minimum exceeds the
            capacity.
        """
        min_speakers, max_speakers = (
            None if is_whole(min_speakers, 0) and min_speakers == 0 else min_speakers,
            None if max_speakers == inf else max_speakers,
        )
        given = {"num_speakers": exactly, "min_speakers": min_speakers, "max_speakers": max_speakers}
        asked = ", ".join(f"{name}={number!r}" for name, number in given.items() if number is not None)
        if not all(number is None or is_whole(number, 1) for number in given.values()):
            raise SpeakerCountError(
                f"{asked} was asked for; a number of speakers is a whole number, 1 or more. Leave out what is not "
                f"known, or make it None."
            )
        exactly, min_speakers, max_speakers = map(plain, given.values())
        upper = [number for number in (exactly, max_speakers) if number is not None]
        limits = cls(max(exactly or 0, min_speakers or 0), min(upper, default=None))
        if limits.min_speakers > capacity:
            raise SpeakerCountError(
                f"{asked} was asked for, but there can be at most {capacity} speakers here: as many "
                f"as the model names in one chunk, times the number of chunks (one, if this is a stream). "
                f"Ask for fewer or, in a file, make chunks shorter (`pipeline.chunk`, or `chunk` in config.yaml)."
            )
        if limits.max_speakers is not None and limits.min_speakers > limits.max_speakers:
            raise SpeakerCountError(
                f"{asked} was asked for; min_speakers cannot be more than max_speakers, nor num_speakers beyond either."
            )
        return limits

    def at_once(self, capacity: int) -> int:
        """Maximum number of speakers in one chunk, in which the model can name `capacity`."""
        return min(self.max_speakers or capacity, capacity)

    def needed(self, heard: int, later: int) -> int:
        """Minimum number of new speakers now, given those found before and the most that can be found later."""
        return max(self.min_speakers - heard - later, 0)

    def allowed(self, heard: int) -> int | None:
        """Maximum number of new speakers, given those found before; None if there is no limit."""
        return None if self.max_speakers is None else self.max_speakers - heard
