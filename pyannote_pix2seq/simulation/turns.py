"""Turn-taking: what all ways of drawing it have in common, and the simplest one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.joining import cropped, joined
from pyannote_pix2seq.numeric import ROUNDING, check_ranges, is_number, is_whole
from pyannote_pix2seq.vocabulary import Triplet

Turns = list[Triplet]

SHORTEST_SPOKEN = 0.1
"""Shortest turn of a conversation, in seconds; shorter ones, left over where turns are cut, are dropped."""


class TurnsError(Pix2SeqError, ValueError):
    """Turns that cannot be read, or cannot be drawn."""


class TurnTaking(Protocol):
    """Anything that can draw who speaks when."""

    def draw(self, rng: np.random.Generator, duration: float) -> Turns:
        """Draw the turns of one conversation.

        Parameters
        ----------
        rng : np.random.Generator
        duration : float
            Seconds.

        Returns
        -------
        turns : list of Triplet
            Sorted; inside [0, duration]; speakers 0, 1, ... in order of appearance; turns of one speaker never overlap.
        """
        ...


@dataclass(frozen=True)
class PlainTurns:
    """One speaker after the other, each for a duration drawn uniformly.

    The rule of nanodrz (https://github.com/mogwai/nanodrz), whose `min_secs` and `max_secs` are `min_seconds` and
    `max_seconds` here: each turn belongs to a speaker other than the one before, and starts at a moment drawn uniformly
    around the end of the turn before.

    Parameters
    ----------
    min_seconds, max_seconds : float
        Shortest and longest turn.
    interrupt_max : float
        Longest time by which a turn starts before the previous one ends, in seconds.
    silence_max : float
        Longest silence between two turns, in seconds.
    max_speakers : int
        Most speakers; all numbers from 1 to this one are equally likely.

    Raises
    ------
    TurnsError
        If the limits leave nothing to draw.
    """

    min_seconds: float = 1.0
    max_seconds: float = 8.0
    interrupt_max: float = 1.0
    silence_max: float = 2.0
    max_speakers: int = 4

    def __post_init__(self) -> None:
        shortest = self.min_seconds if is_number(self.min_seconds) else SHORTEST_SPOKEN
        ranges = {
            "min_seconds": (is_number(self.min_seconds, SHORTEST_SPOKEN), f"{SHORTEST_SPOKEN} s or more"),
            "max_seconds": (is_number(self.max_seconds, shortest), "a number of seconds, min_seconds or more"),
            "interrupt_max": (is_number(self.interrupt_max, 0), "a number of seconds, 0 or more"),
            "silence_max": (is_number(self.silence_max, 0), "a number of seconds, 0 or more"),
            "max_speakers": (is_whole(self.max_speakers, 1), "a whole number, 1 or more"),
        }
        check_ranges("PlainTurns", vars(self), ranges, TurnsError)

    def draw(self, rng: np.random.Generator, duration: float) -> Turns:
        """Draw turns until the time is over, see `TurnTaking.draw`."""
        num_speakers = int(rng.integers(1, self.max_speakers + 1))
        free_at = np.zeros(num_speakers)
        turns: Turns = []
        start, speaker = rng.uniform(0, self.silence_max), 0
        while start < duration:
            end = start + rng.uniform(self.min_seconds, self.max_seconds)
            turns.append(Triplet(start, end, speaker))
            free_at[speaker] = end
            speaker = (speaker + int(rng.integers(1, max(num_speakers, 2)))) % num_speakers
            earliest = max(start, free_at[speaker])
            start = max(earliest, end + rng.uniform(-self.interrupt_max, self.silence_max))
        return in_order_of_appearance(crop(turns, 0, duration))


def check_turns(owner: str, turns: Iterable[Triplet], duration: float, num_voices: int) -> None:
    """Check that turns fit a conversation of `duration` seconds and of `num_voices` voices.

    Raises
    ------
    TurnsError
        About the first turn that is no `Triplet`, is not within the conversation, belongs to none of the voices,
        begins before the turn in front of it, or overlaps an earlier one of its speaker.
    """
    earliest, free_at = -ROUNDING, [-ROUNDING] * num_voices
    for turn in turns:
        if not _can_be_said(turn, duration, num_voices):
            raise TurnsError(
                f"{owner} has a turn {turn!r}. Turns are `Triplet(start, end, speaker)` of pyannote_pix2seq.vocabulary "
                f"with 0 <= start < end <= {duration} s and a speaker that is a whole number below the number of "
                f"voices, {num_voices}. `crop` and `in_order_of_appearance` of {__name__} make them so."
            )
        if turn.start < earliest:
            raise TurnsError(
                f"{owner} has a turn {turn!r} behind one that begins at {earliest} s. Sort turns: "
                f"`in_order_of_appearance` of {__name__} does."
            )
        if turn.start < free_at[turn.speaker] - ROUNDING:
            raise TurnsError(
                f"{owner} has a turn {turn!r} of a speaker who is speaking until {free_at[turn.speaker]} s. Join such "
                f"turns: `join_pauses` of {__name__} does."
            )
        earliest, free_at[turn.speaker] = turn.start, turn.end


def join_pauses(turns: Iterable[Triplet], longest: float) -> Turns:
    """Join turns of one speaker that overlap or have a pause shorter than `longest` seconds between them."""
    return joined(
        turns,
        lambda before, turn: turn.start - before.end < longest,
        lambda before, turn: before._replace(end=max(before.end, turn.end)),
    )


def crop(turns: Iterable[Triplet], start: float, end: float) -> Turns:
    """Parts of turns between two moments; parts shorter than `SHORTEST_SPOKEN` are dropped."""
    return cropped(turns, start, end, SHORTEST_SPOKEN)


def in_order_of_appearance(turns: Iterable[Triplet]) -> Turns:
    """Sort turns, and number speakers 0, 1, ... in order of appearance."""
    names: dict[int, int] = {}
    return sorted(turn._replace(speaker=names.setdefault(turn.speaker, len(names))) for turn in sorted(turns))


def _can_be_said(turn: Any, duration: float, num_voices: int) -> bool:
    return (
        isinstance(turn, Triplet)
        and is_number(turn.start)
        and is_number(turn.end)
        and -ROUNDING <= turn.start < turn.end <= duration + ROUNDING
        and is_whole(turn.speaker, 0)
        and turn.speaker < num_voices
    )
