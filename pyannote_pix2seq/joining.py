"""Joining, cropping and shifting turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar


class Spoken(Protocol):
    """Anything with a start, an end and a speaker that can be sorted by these."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def speaker(self) -> int: ...
    def __lt__(self, other: Any, /) -> bool: ...


class InSeconds(Protocol):
    """A named tuple with a start and an end in seconds."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    def _replace(self, *, start: float = ..., end: float = ...) -> Any: ...


Said = TypeVar("Said", bound=Spoken)
Timed = TypeVar("Timed", bound=InSeconds)


def joined(
    turns: Iterable[Said], are_one: Callable[[Said, Said], bool], union: Callable[[Said, Said], Said]
) -> list[Said]:
    """Join each turn with the previous one of the same speaker, where a predicate says so.

    Parameters
    ----------
    turns : iterable
        In any order.
    are_one : callable
        (previous turn, possibly joined already; next turn) -> whether to join them
    union : callable
        (previous turn, next turn) -> joined turn

    Returns
    -------
    joined : list
        Sorted by start.
    """
    found: list[Said] = []
    last: dict[int, int] = {}
    for turn in sorted(turns):
        index = last.get(turn.speaker)
        if index is not None and are_one(found[index], turn):
            found[index] = union(found[index], turn)
        else:
            last[turn.speaker] = len(found)
            found.append(turn)
    return found


def cropped(turns: Iterable[Timed], start: float, end: float, shortest: float) -> list[Timed]:
    """Parts of turns between two moments; parts shorter than `shortest` are dropped."""
    parts = (turn._replace(start=max(turn.start, start), end=min(turn.end, end)) for turn in turns)
    return [part for part in parts if part.end - part.start >= shortest]


def shifted(turns: Iterable[Timed], seconds: float) -> list[Timed]:
    """Turns shifted by a number of seconds."""
    return [turn._replace(start=turn.start + seconds, end=turn.end + seconds) for turn in turns]
