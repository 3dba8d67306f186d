"""What is known about the turn-taking of a corpus, and how it is written down."""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .turns import TurnsError

LEVELS = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1)
"""Levels of the quantiles by which a distribution is kept; between two of them it is uniform."""

LENGTHS = (1.0, 3.0, 10.0)
"""What follows a turn depends on how long it is: up to 1 s, 3 s, 10 s, or longer."""

ABSENCES = (5.0, 15.0, 30.0, 60.0, 120.0)
"""Who speaks next depends on how long nobody has heard him: up to 5 s, ..., 120 s, or longer."""

LAST_SECONDS = 10.0
"""Interruptions overlap a share of the turn that they interrupt, or of its last 10 s if it is longer."""

TOPIC = 180.0
"""For so many seconds, the same people are involved in a conversation."""

Quantiles = list[float]


@dataclass(frozen=True)
class Mood:
    """How a conversation goes for a while: one presents, two talk, all talk at once...

    Attributes
    ----------
    share : float
        Of all turns that take the floor.
    speech, overlap, turns_per_minute, speakers : float
        Means over half a minute around those turns. Nothing is drawn from them, they tell moods apart for people.
    then : list of float
        Probability of each mood at the next turn that takes the floor.
    takes : dict of str to list of float
        "pause", "gap", "interruption": probability that the floor is taken in this way, for each class of `LENGTHS`
        of the turn that had it.
    silence : dict of str to Quantiles
        "pause", "gap": seconds.
    interrupted : list of Quantiles
        Share of a turn, see `LAST_SECONDS`, that an interruption overlaps, for each class of `LENGTHS` of the turn.
    length : dict of str to Quantiles
        Seconds that a turn lasts that took the floor in this way. Those of an interruption count from the end of the
        turn that it interrupts.
    backchannels_per_minute, bursts : float
        Of the turn that has the floor; and how unevenly they come, the squared coefficient of variation of their rate.
    backchannel : list of Quantiles
        Seconds that they last, for each class of `LENGTHS` of the turn that has the floor.
    memory : list of float
        How likely the last other speaker is heard next, the last but one, ..., anybody before.
    """

    share: float
    speech: float
    overlap: float
    turns_per_minute: float
    speakers: float
    then: list[float]
    takes: dict[str, list[float]]
    silence: dict[str, Quantiles]
    interrupted: list[Quantiles]
    length: dict[str, Quantiles]
    backchannels_per_minute: float
    bursts: float
    backchannel: list[Quantiles]
    memory: list[float]


@dataclass(frozen=True)
class Kind:
    """What some recordings have in common: debates, lectures...

    Attributes
    ----------
    share : float
        Of the time of all recordings.
    speech, overlap, turns_per_minute : float
        Means over the recordings. Nothing is drawn from them, they tell kinds apart for people.
    speakers : dict of str to float
        Probability of each number of speakers.
    dominance, involvement : float
        How unevenly speakers take part in the whole conversation, and in one topic, see `TOPIC`. 0: everybody as much
        as everybody else, 1: one speaks alone.
    moods : list of float
        How many times as likely as elsewhere each mood is.
    takes : dict of str to float
        How many times as likely as elsewhere, in the same moods, the floor is taken in each way.
    backchannels, length : float
        How many times as many backchannels there are, and how many times as long turns are, as elsewhere in the same
        moods.
    """

    share: float
    speech: float
    overlap: float
    turns_per_minute: float
    speakers: dict[str, float]
    dominance: float
    involvement: float
    moods: list[float]
    takes: dict[str, float]
    backchannels: float
    length: float


@dataclass(frozen=True)
class Fit:
    """Turn-taking of a corpus.

    Attributes
    ----------
    recordings : int
        Number of recordings that it was fitted to.
    hours : float
        How long they are together.
    absence : list of float
        How many times as likely somebody is heard next, for each class of `ABSENCES`.
    kinds : list of Kind
    moods : list of Mood
    """

    recordings: int
    hours: float
    absence: list[float]
    kinds: list[Kind]
    moods: list[Mood]

    def save(self, path: Path | str) -> None:
        """Write JSON that people can read, in a folder that is made if need be."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(_to_json(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str) -> Fit:
        """Read what `save` wrote.

        Raises
        ------
        TurnsError
            If the file cannot be read, lacks a key, or has one that nothing reads.
        """
        try:
            entries = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TurnsError(f"{path} cannot be read as a fit of turn-taking: {error}.") from error
        _check(entries, cls, str(path))
        for name, part in (("kinds", Kind), ("moods", Mood)):
            for number, entry in enumerate(entries[name]):
                _check(entry, part, f"{path}, {name}[{number}]")
            entries[name] = [part(**entry) for entry in entries[name]]
        return cls(**entries)


def class_of(value: float, limits: tuple[float, ...]) -> int:
    """Index of a class of `LENGTHS` or `ABSENCES`."""
    return bisect_left(limits, value)


def _check(entry: Any, of: type, where: str) -> None:
    wanted = {field.name for field in fields(of)}
    found = set(entry) if isinstance(entry, dict) else set()
    if missing := ", ".join(sorted(wanted - found)):
        raise TurnsError(f"{where} lacks {missing}. Make such a file with FittedTurns.fit(...).save(...).")
    if unknown := ", ".join(sorted(found - wanted)):
        raise TurnsError(f"{where} has {unknown}, which nothing reads. Known are {', '.join(sorted(wanted))}.")


def _to_json(value: Any, depth: int = 0) -> str:
    """JSON in which numbers that belong together are on one line."""
    line = json.dumps(value)
    if (
        len(line) <= 100
        or not isinstance(value, dict | list)
        or isinstance(value, list)
        and isinstance(value[0], float)
    ):
        return line
    indent, end = "\n" + "  " * (depth + 1), "\n" + "  " * depth
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_to_json(part, depth + 1)}" for key, part in value.items()]
        return "{" + indent + ("," + indent).join(parts) + end + "}"
    return "[" + indent + ("," + indent).join(_to_json(part, depth + 1) for part in value) + end + "]"
