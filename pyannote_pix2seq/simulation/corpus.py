"""Recordings decomposed into events, kinds and moods, to be fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pyannote_pix2seq.simulation.estimators import k_means
from pyannote_pix2seq.simulation.turn_statistics import BACKCHANNEL, TAKES, Event, Stretch, TurnStatistics, dissect
from pyannote_pix2seq.simulation.turns import Turns, TurnsError, crop, in_order_of_appearance, join_pauses

AROUND = 15.0
"""Seconds before and after the start of a turn that determine its mood."""

SMALLEST_MOOD = 30
"""Least number of turns that take the floor, on average over moods."""

TOUCHING = 1e-6
"""Turns of one speaker that are nearer than this are joined, in seconds."""


@dataclass(frozen=True)
class Corpus:
    """Recordings decomposed into events.

    Attributes
    ----------
    seconds : (num_recordings,) float
    stretches : list of Stretch
        Each recording as a whole.
    num_speakers : (num_recordings,) int
    kinds : (num_recordings,) int
    events : list of Event
        Of one recording after the other.
    recordings : (num_events,) int
        Index of the recording of each event.
    floor : (num_events,) bool
        Whether an event takes the floor.
    around : list of Stretch
        Around each event that takes the floor.
    moods : (num_events,) int
        A backchannel has that of the turn that it is in.
    """

    seconds: np.ndarray
    stretches: list[Stretch]
    num_speakers: np.ndarray
    kinds: np.ndarray
    events: list[Event]
    recordings: np.ndarray
    floor: np.ndarray
    around: list[Stretch]
    moods: np.ndarray


def take_apart(recordings: Iterable[Turns], num_kinds: int, num_moods: int) -> Corpus:
    """Decompose recordings into events, and cluster recordings into kinds and turns into moods.

    Raises
    ------
    TurnsError
        If there is no turn that follows another, or no kind or mood is asked for.
    """
    if min(num_kinds, num_moods) < 1:
        raise TurnsError(f"num_kinds={num_kinds}, num_moods={num_moods}: there must be 1 kind and 1 mood or more.")
    joined = [in_order_of_appearance(crop(join_pauses(turns, TOUCHING), 0, np.inf)) for turns in recordings]
    joined = [turns for turns in joined if turns]
    dissected = [dissect(turns) for turns in joined]
    events = [event for part in dissected for event in part]
    if not any(event.name in TAKES for event in events):
        raise TurnsError(
            f"Turn-taking cannot be fitted to {len(joined)} recordings in which no turn follows another. Give RTTM "
            f"files of conversations."
        )
    numbers = np.repeat(np.arange(len(joined)), [len(part) for part in dissected])
    floor = np.array([event.name != BACKCHANNEL for event in events])
    measures = [TurnStatistics(turns) for turns in joined]
    seconds = np.array([measure.end - measure.start for measure in measures])
    stretches = [measure.stretch(measure.start, measure.end) for measure in measures]
    around = [_around(measures[numbers[index]], events[index]) for index in np.flatnonzero(floor)]
    num_moods = min(num_moods, 1 + len(around) // SMALLEST_MOOD)
    moods = k_means(_features(around, np.full(len(around), 2 * AROUND)), np.ones(len(around)), num_moods)
    return Corpus(
        seconds=seconds,
        stretches=stretches,
        num_speakers=np.array([1 + max(turn.speaker for turn in turns) for turns in joined]),
        kinds=k_means(_features(stretches, seconds), seconds, num_kinds),
        events=events,
        recordings=numbers,
        floor=floor,
        around=around,
        moods=moods[np.cumsum(floor) - 1],
    )


def _around(measure: TurnStatistics, event: Event) -> Stretch:
    """Half a minute around the start of a turn, moved into the recording where it fits."""
    start = max(min(event.turn.start - AROUND, measure.end - 2 * AROUND), measure.start)
    return measure.stretch(start, start + 2 * AROUND)


def _features(stretches: Sequence[Stretch], seconds: np.ndarray) -> np.ndarray:
    """Features by which stretches are clustered: (num_stretches, 4) float."""
    speech, overlap, num_turns, num_speakers = np.array(stretches, dtype=float).T
    rate = np.maximum(num_turns, 1) / seconds
    return np.column_stack([np.log(1.03 - speech), np.sqrt(overlap), np.log(rate), np.log(np.maximum(num_speakers, 1))])
