"""Joining turns of one speaker."""

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


Said = TypeVar("Said", bound=Spoken)


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
