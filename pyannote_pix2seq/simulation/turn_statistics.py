"""Turns as events (pauses, gaps, interruptions, backchannels), and measures of stretches of time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pyannote_pix2seq.simulation.turns import SHORTEST_SPOKEN, Turns, join_pauses
from pyannote_pix2seq.vocabulary import Triplet

FIRST, PAUSE, GAP, INTERRUPTION, BACKCHANNEL = "first", "pause", "gap", "interruption", "backchannel"
TAKES = (PAUSE, GAP, INTERRUPTION)
"""Ways in which a turn takes the floor: the same speaker had it before, another one had it, another one still has
it."""

CHORUS = "chorus"
"""Backchannels that overlap another backchannel."""
STRETCH = 30.0
"""Duration of the stretches whose `characteristics` are compared, in seconds."""


class Event(NamedTuple):
    """A turn, and how it follows the turn that holds the floor.

    The floor is held by the turn that ends last of all that have begun. A turn that ends before it does, or
    with it, is a backchannel; any other takes the floor.

    Attributes
    ----------
    name : str
        FIRST, PAUSE, GAP, INTERRUPTION or BACKCHANNEL.
    turn : Triplet
    offset : float
        Seconds from the end of the turn that holds the floor to the start of this one; negative where they overlap.
    held : float
        Duration of the turn that holds the floor, in seconds.
    """

    name: str
    turn: Triplet
    offset: float
    held: float

    @property
    def length(self) -> float:
        """Duration of this turn, in seconds."""
        return self.turn.end - self.turn.start


class Stretch(NamedTuple):
    """Speech, overlap, turns and speakers in a stretch of time.

    Attributes
    ----------
    speech, overlap : float
        Share of the time in which anybody speaks, and in which two or more do.
    num_turns, num_speakers : int
        Turns that have `SHORTEST_SPOKEN` or more in it, and their speakers.
    """

    speech: float
    overlap: float
    num_turns: int
    num_speakers: int


def dissect(turns: Turns) -> list[Event]:
    """Events of a recording, one for each turn.

    The four ways in which a turn follows another are those of Landini et al., "From Simulated Mixtures to Simulated
    Conversations as Training Data for End-to-End Neural Diarization" (2022), arXiv 2204.00890, section 3, with overlaps
    divided in two: interruptions take the floor, backchannels do not.

    Parameters
    ----------
    turns : list of Triplet
        Sorted; turns of one speaker do not overlap, see `join_pauses`.
    """
    events: list[Event] = []
    holder = turns[0]
    for turn in turns:
        offset = round(turn.start - holder.end, 6)  # turns that touch do not overlap by a rounding error
        if not events:
            name = FIRST
        elif turn.end <= holder.end:
            name = BACKCHANNEL
        elif offset < 0:
            name = INTERRUPTION
        else:
            name = PAUSE if turn.speaker == holder.speaker else GAP
        events.append(Event(name, turn, offset, holder.end - holder.start))
        holder = holder if name == BACKCHANNEL else turn
    return events


def habits(recordings: Iterable[Turns]) -> dict[str, float]:
    """How often turns follow one another in each way.

    Parameters
    ----------
    recordings : iterable of list of Triplet
        Turns of each recording.

    Returns
    -------
    shares : dict of str to float
        PAUSE, GAP, INTERRUPTION, BACKCHANNEL: share of all turns that follow another. CHORUS: share of all backchannels
        that overlap another backchannel.
    """
    counts = dict.fromkeys((FIRST, *TAKES, BACKCHANNEL, CHORUS), 0)
    for turns in filter(None, recordings):
        events = dissect(join_pauses(turns, 0.0))
        for event in events:
            counts[event.name] += 1
        counts[CHORUS] += _num_overlapping([event.turn for event in events if event.name == BACKCHANNEL])
    num_following = max(sum(counts[name] for name in (*TAKES, BACKCHANNEL)), 1)
    shares = {name: counts[name] / num_following for name in (*TAKES, BACKCHANNEL)}
    return {**shares, CHORUS: counts[CHORUS] / max(counts[BACKCHANNEL], 1)}


def _num_overlapping(turns: Turns) -> int:
    """How many of these turns, sorted by start, overlap another of them."""
    overlapping: set[int] = set()
    last = 0  # of those before, the one that ends last
    for number, turn in enumerate(turns):
        if number and turn.start < turns[last].end:
            overlapping |= {last, number}
        last = max(last, number, key=lambda index: turns[index].end)
    return len(overlapping)


class TurnStatistics:
    """Measures stretches of one recording.

    Parameters
    ----------
    turns : list of Triplet
        Turns of one speaker do not overlap, see `join_pauses`.
    """

    def __init__(self, turns: Turns) -> None:
        self._starts = np.array([turn.start for turn in turns])
        self._ends = np.array([turn.end for turn in turns])
        self._speakers = np.array([turn.speaker for turn in turns])
        self.start, self.end = float(self._starts.min()), float(self._ends.max())

    def stretch(self, start: float, end: float) -> Stretch:
        """Measure from one moment to another, both in seconds."""
        starts, ends = np.maximum(self._starts, start), np.minimum(self._ends, end)
        heard = ends - starts >= SHORTEST_SPOKEN - 1e-9
        starts, ends = starts[heard], ends[heard]
        times = np.concatenate([starts, ends])
        order = np.argsort(times, kind="stable")
        speaking = np.cumsum(np.where(order < len(starts), 1, -1))[:-1]
        seconds = np.diff(times[order])
        return Stretch(
            float(seconds[speaking >= 1].sum()) / (end - start),
            float(seconds[speaking >= 2].sum()) / (end - start),
            len(starts),
            len(np.unique(self._speakers[heard])),
        )

    def stretches(self, seconds: float) -> list[Stretch]:
        """Consecutive stretches from the first turn's start to the last turn's end; the remainder is left out."""
        number = int((self.end - self.start) / seconds)
        return [self.stretch(self.start + i * seconds, self.start + (i + 1) * seconds) for i in range(number)]


def characteristics(recordings: Iterable[Turns]) -> dict[str, np.ndarray]:
    """Values whose distributions are compared between simulated and real conversations.

    Parameters
    ----------
    recordings : iterable of list of Triplet
        Turns of each recording, sorted; those of one speaker that overlap are one. Recordings without turns are
        skipped.

    Returns
    -------
    values : dict of str to (num_values,) float
        "overlap", "speech": share of each stretch of `STRETCH` seconds; "speakers": number of them in each stretch;
        "length": seconds of each turn; "gap": seconds from the end of each turn to the start of the next, negative
        where they overlap.
    """
    stretches: list[Stretch] = []
    lengths: list[float] = []
    gaps: list[float] = []
    for turns in (join_pauses(turns, 0.0) for turns in recordings if turns):
        stretches += TurnStatistics(turns).stretches(STRETCH)
        lengths += [turn.end - turn.start for turn in turns]
        gaps += [after.start - before.end for before, after in zip(turns, turns[1:], strict=False)]
    values = {
        "overlap": [stretch.overlap for stretch in stretches],
        "speech": [stretch.speech for stretch in stretches],
        "length": lengths,
        "gap": gaps,
        "speakers": [float(stretch.num_speakers) for stretch in stretches],
    }
    return {name: np.round(value, 6) for name, value in values.items()}  # turns that touch have a gap of 0
