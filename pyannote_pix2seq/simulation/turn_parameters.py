"""Parameters of the turn-taking of a corpus, and their file format."""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.errors import missing, reason
from pyannote_pix2seq.simulation.turns import TurnsError

LEVELS = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1)
"""Levels of the quantiles that represent a distribution; between two of them it is uniform."""

LENGTHS = (1.0, 3.0, 10.0)
"""Classes of turn duration: up to 1 s, 3 s, 10 s, or longer. What follows a turn depends on its class."""

ABSENCES = (5.0, 15.0, 30.0, 60.0, 120.0)
"""Classes of a speaker's silence: up to 5 s, ..., 120 s, or longer. Who speaks next depends on them."""

LAST_SECONDS = 10.0
"""An interruption overlaps a share of the interrupted turn, or of its last 10 s if it is longer."""

TOPIC = 180.0
"""Seconds of a topic, in which the same speakers are involved in a conversation."""

MAKER = "Make such a file with FittedTurns.fit(...).save(...)."
"""What to do about a file that holds no fit."""

Quantiles = list[float]


@dataclass(frozen=True)
class Mood:
    """How a conversation goes for a while: one speaker presents, two talk, all talk at once...

    Attributes
    ----------
    share : float
        Of all turns that take the floor.
    speech, overlap, turns_per_minute, speakers : float
        Means over half a minute around those turns. They describe the mood to readers; nothing is drawn from them.
    then : list of float
        Probability of each mood at the next turn that takes the floor.
    takes : dict of str to list of float
        "pause", "gap", "interruption": probability that the floor is taken in this way, for each class of `LENGTHS` of
        the turn that had it.
    silence : dict of str to Quantiles
        "pause", "gap": seconds.
    interrupted : list of Quantiles
        Share of a turn, see `LAST_SECONDS`, that an interruption overlaps, for each class of `LENGTHS` of the turn.
    length : dict of str to Quantiles
        Duration of a turn that took the floor in this way, in seconds; for interruptions, from the end of the
        interrupted turn.
    backchannels_per_minute, bursts : float
        Rate of backchannels during the turn that has the floor, and the squared coefficient of variation of that rate.
    backchannel : list of Quantiles
        Duration of backchannels, in seconds, for each class of `LENGTHS` of the turn that has the floor.
    memory : list of float
        How likely the last other speaker is to speak next, the last but one, ..., any before.
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
    """A kind of recordings, such as debates or lectures.

    Attributes
    ----------
    share : float
        Of the duration of all recordings.
    speech, overlap, turns_per_minute : float
        Means over the recordings. They describe the kind to readers; nothing is drawn from them.
    speakers : dict of str to float
        Probability of each number of speakers.
    dominance, involvement : float
        How unevenly speakers take part in the whole conversation, and in one topic, see `TOPIC`. 0: all equally, 1: one
        speaks alone.
    moods : list of float
        Factor by which each mood is more likely than elsewhere.
    takes : dict of str to float
        Factor by which each way of taking the floor is more likely than elsewhere, in the same moods.
    backchannels, length : float
        Factors by which backchannels are more frequent, and turns longer, than elsewhere in the same moods.
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
        Their total duration.
    absence : list of float
        Factor on the probability of speaking next, for each class of `ABSENCES`.
    kinds : list of Kind
    moods : list of Mood
    """

    recordings: int
    hours: float
    absence: list[float]
    kinds: list[Kind]
    moods: list[Mood]

    def save(self, path: Path | str) -> None:
        """Write human-readable JSON; the folder is created if needed."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(Path(path)) as part:
            part.write_text(_to_json(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str) -> Fit:
        """Read what `save` wrote.

        Raises
        ------
        TurnsError
            If the file cannot be read, lacks a key, or has an unknown one.
        """
        try:
            entries = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TurnsError(missing(path)) from None
        except (OSError, ValueError) as error:
            raise TurnsError(f"{path} cannot be read as a fit of turn-taking ({reason(error)}). {MAKER}") from error
        _check(entries, cls, str(path))
        for name, part in (("kinds", Kind), ("moods", Mood)):
            for number, entry in enumerate(entries[name]):
                _check(entry, part, f"{path}, {name}[{number}]")
            entries[name] = [part(**entry) for entry in entries[name]]
        return cls(**entries)


def class_of(value: float, limits: tuple[float, ...]) -> int:
    """Index of the class of `LENGTHS` or `ABSENCES` that a value is in."""
    return bisect_left(limits, value)


def _check(entry: Any, of: type, where: str) -> None:
    wanted = {field.name for field in fields(of)}
    found = set(entry) if isinstance(entry, dict) else set()
    if lacking := ", ".join(sorted(wanted - found)):
        raise TurnsError(f"{where} lacks {lacking}. {MAKER}")
    if unknown := ", ".join(sorted(found - wanted)):
        raise TurnsError(f"{where} has {unknown}, which nothing reads. Known are {', '.join(sorted(wanted))}.")


def _to_json(value: Any, depth: int = 0) -> str:
    """JSON in which short values and lists of numbers are on one line."""
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
