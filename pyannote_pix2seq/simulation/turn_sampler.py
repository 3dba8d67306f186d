"""Drawing one simulated conversation turn by turn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

import numpy as np

from pyannote_pix2seq.simulation.recency import Audience, Listener
from pyannote_pix2seq.simulation.turn_parameters import (
    ABSENCES,
    LAST_SECONDS,
    LENGTHS,
    LEVELS,
    TOPIC,
    Fit,
    Kind,
    Mood,
    Quantiles,
    class_of,
)
from pyannote_pix2seq.simulation.turn_statistics import GAP, INTERRUPTION, PAUSE, TAKES
from pyannote_pix2seq.simulation.turns import Turns
from pyannote_pix2seq.vocabulary import Triplet

WARM_UP = 120.0
"""Seconds of conversation before time 0, so that time 0 is in the middle of it."""

LEAST_SHARE = 1e-3
"""Least share of a speaker, so that nobody is silent for good."""


class TurnSampler:
    """Draws a conversation turn by turn, see `FittedTurns`.

    Parameters
    ----------
    fit : Fit
    kind : Kind
        One of the fit's.
    num_speakers : int
    rng : np.random.Generator

    Attributes
    ----------
    turns : list of Triplet
        Turns so far. The first ones are before time 0; a backchannel may come after a turn that starts later.
    floor : Triplet
        The turn that has the floor.
    """

    def __init__(self, fit: Fit, kind: Kind, num_speakers: int, rng: np.random.Generator) -> None:
        self.floor = Triplet(-WARM_UP, -WARM_UP, 0)
        self.turns: Turns = []
        self._rng = rng
        self._kind = kind
        self._moods = fit.moods
        self._mood = self._next_mood(mood.share for mood in fit.moods)
        self._absence = fit.absence
        self._shares = draw_shares(np.full(num_speakers, 1 / num_speakers), 0, kind.dominance, rng)
        self._involved = self._next_topic()
        self._topic_end = self.floor.end + rng.uniform(0, TOPIC)
        self._audience = Audience(num_speakers)

    def go_on(self) -> None:
        """Draw the next turn that takes the floor, and the backchannels during it."""
        while self._topic_end < self.floor.end:
            self._involved = self._next_topic()
            self._topic_end += TOPIC
        self._mood = self._next_mood(self._mood.then)
        self.floor = self._take_floor()
        self._say(self.floor)
        self._answer()

    def _take_floor(self) -> Triplet:
        mood, (start, end, holder) = self._mood, self.floor
        length_class = class_of(end - start, LENGTHS)
        way = TAKES[choose([mood.takes[way][length_class] * self._kind.takes[way] for way in TAKES], self._rng)]
        if way == INTERRUPTION:
            overlap = self._draw(mood.interrupted[length_class]) * min(end - start, LAST_SECONDS)
            moment = max(end - overlap, start)
            speaker = self._next_speaker(moment)
            if speaker != holder:
                return Triplet(moment, end + self._kind.length * self._draw(mood.length[way]), speaker)
            way = GAP  # all others speak then
        speaker = holder if way == PAUSE else self._next_speaker(end)
        way = PAUSE if speaker == holder else GAP
        moment = end + self._draw(mood.silence[way])
        return Triplet(moment, moment + self._kind.length * self._draw(mood.length[way]), speaker)

    def _answer(self) -> None:
        """Draw the backchannels during the turn that has the floor."""
        mood, (start, end, _) = self._mood, self.floor
        number = (end - start) * mood.backchannels_per_minute / 60 * self._kind.backchannels
        if mood.bursts:
            number *= self._rng.gamma(1 / mood.bursts, mood.bursts)
        lengths = mood.backchannel[class_of(end - start, LENGTHS)]
        for place in sorted(self._rng.random(self._rng.poisson(number)).tolist()):
            length = min(self._draw(lengths), end - start)
            moment = start + place * (end - start - length)
            speaker = self._next_speaker(moment)
            if speaker != self.floor.speaker:
                self._say(Triplet(moment, moment + length, speaker))

    def _say(self, turn: Triplet) -> None:
        self.turns.append(turn)
        self._audience.hear(turn)

    def _next_mood(self, chances: Iterable[float]) -> Mood:
        return self._moods[choose([c * times for c, times in zip(chances, self._kind.moods, strict=True)], self._rng)]

    def _next_topic(self) -> list[float]:
        """Draw how much each speaker is involved in the next topic."""
        return draw_shares(self._shares, self._kind.dominance, self._kind.involvement, self._rng).tolist()

    def _next_speaker(self, moment: float) -> int:
        """Draw a speaker who is silent at a moment; the one who has the floor if nobody else is."""
        listeners = list(self._audience.listeners(self.floor.speaker, moment))
        chances = [self._chance(listener) if listener.silence >= 0 else 0.0 for listener in listeners]
        return listeners[choose(chances, self._rng)].speaker if any(chances) else self.floor.speaker

    def _chance(self, listener: Listener) -> float:
        memory = self._mood.memory[min(listener.rank, len(self._mood.memory) - 1)]
        return memory * self._involved[listener.speaker] * self._absence[class_of(listener.silence, ABSENCES)]

    def _draw(self, quantiles: Quantiles) -> float:
        """Draw a value of a distribution."""
        level = self._rng.random()
        index = bisect_right(LEVELS, level) - 1
        below, above = quantiles[index], quantiles[index + 1]
        return below + (above - below) * (level - LEVELS[index]) / (LEVELS[index + 1] - LEVELS[index])


def choose(chances: Iterable[float], rng: np.random.Generator) -> int:
    """Draw the index of one of several things, with a probability proportional to its weight."""
    cumulated = list(accumulate(chances))
    return min(bisect_right(cumulated, rng.random() * cumulated[-1]), len(cumulated) - 1)


def draw_shares(means: np.ndarray, before: float, after: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the shares of speakers from a Dirichlet distribution that is, on average, as uneven as asked for.

    Parameters
    ----------
    means : (num_speakers,) float
    before, after : float
        How uneven the means are on average, and how uneven the shares shall be. 0: all are equal, 1: one speaker has
        all.
    """
    if after <= before:
        return means
    concentration = max((1 - after) / (after - before), 0.01)
    return np.maximum(rng.dirichlet(concentration * means), LEAST_SHARE)
