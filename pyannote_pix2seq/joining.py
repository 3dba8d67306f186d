"""Turns of one speaker that become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar


class Spoken(Protocol):
    """Whatever has a start, an end and a speaker, and is sorted by these."""

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
    """Join each turn with the one of the same speaker before it, where the two are one.

    Parameters
    ----------
    turns : iterable
        In any order.
    are_one : callable
        (what came before, joined as far as it is; the next turn) -> bool
    union : callable
        Both as one.

    Returns
    -------
    joined : list
        By their starts.
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
