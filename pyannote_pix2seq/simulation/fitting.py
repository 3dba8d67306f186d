"""Estimation of the parameters of turn-taking from recordings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pyannote_pix2seq.simulation.corpus import AROUND, Corpus, take_apart
from pyannote_pix2seq.simulation.estimators import balance, excess
from pyannote_pix2seq.simulation.recency import Audience
from pyannote_pix2seq.simulation.turn_parameters import (
    ABSENCES,
    LAST_SECONDS,
    LENGTHS,
    LEVELS,
    TOPIC,
    Fit,
    Kind,
    Mood,
    class_of,
)
from pyannote_pix2seq.simulation.turn_statistics import BACKCHANNEL, FIRST, GAP, INTERRUPTION, PAUSE, TAKES, Event
from pyannote_pix2seq.simulation.turns import Turns

REMEMBERED = 4
"""Ranks of recency that are distinguished: all speakers before the last three others are equally likely."""

SMOOTHING = 5
"""Turns of all moods that are added to those of each mood."""

CLASSES = range(len(LENGTHS) + 1)

Values = Mapping[tuple[str, str | int], list[float]]


def fit_turns(recordings: Iterable[Turns], num_kinds: int, num_moods: int) -> Fit:
    """Fit turn-taking to recordings, see `FittedTurns.fit`."""
    corpus = take_apart(recordings, num_kinds, num_moods)
    values = _complete(_values(corpus.events))
    then, favoured = _fit_moods(corpus)
    habits = _fit_habits(corpus)
    memory, absence, dominance = _fit_speakers(corpus)
    return Fit(
        recordings=len(corpus.seconds),
        hours=_round(corpus.seconds.sum() / 3600),
        absence=_rounded(absence),
        kinds=[_kind(corpus, kind, moods, habits, dominance) for kind, moods in enumerate(favoured)],
        moods=[_mood(corpus, values, mood, *rows) for mood, rows in enumerate(zip(then, memory, strict=True))],
    )


def _fit_moods(corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Transition probabilities between moods, and the factor of each kind on each mood.

    Returns
    -------
    then : (num_moods, num_moods) float
    favoured : (num_kinds, num_moods) float
    """
    moods, recordings = corpus.moods[corpus.floor], corpus.recordings[corpus.floor]
    num_moods, num_kinds = corpus.moods.max() + 1, corpus.kinds.max() + 1
    following = np.arange(1, len(moods) + 1)
    starts = np.flatnonzero(np.diff(recordings, prepend=-1))
    following[np.append(starts[1:], len(moods)) - 1] = starts
    # The end of each recording is followed by its start, so that long-run frequencies of moods are those in it.
    candidates = np.arange(num_moods)
    causes = [moods[:, None] * num_moods + candidates, corpus.kinds[recordings][:, None] * num_moods + candidates]
    # (num_turns, num_moods)
    then, favoured = balance(causes, [num_moods**2, num_kinds * num_moods], moods[following], smoothing=0.1)
    return _shares(then.reshape(-1, num_moods)), num_moods * _shares(favoured.reshape(-1, num_moods))


def _fit_speakers(corpus: Corpus) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What decides who speaks next: the rank by recency, the time since the last turn, and the speaker.

    Returns
    -------
    memory : (num_moods, REMEMBERED) float
    absence : (num_absences,) float
    dominance : (num_recordings, 2) float in [0, 1]
        In the whole recording, in a topic.
    """
    num_topics = np.maximum(np.round(corpus.seconds / TOPIC).astype(int), 1)
    ends = np.cumsum(num_topics * corpus.num_speakers)
    ranks, absences, speakers, chosen = _choices(corpus, num_topics, ends - num_topics * corpus.num_speakers)
    others = np.array([event.name not in (FIRST, PAUSE) for event in corpus.events])
    memories = np.where(ranks >= 0, corpus.moods[others][:, None] * REMEMBERED + ranks, -1)
    sizes = [(corpus.moods.max() + 1) * REMEMBERED, len(ABSENCES) + 1, int(ends[-1])]
    memory, absence, weights = balance([memories, absences, speakers], sizes, chosen, smoothing=1.0)
    parts = [part.reshape(-1, n) for part, n in zip(np.split(weights, ends[:-1]), corpus.num_speakers, strict=True)]
    # of each recording: (num_topics, num_speakers)
    dominance = [(_dominance(_shares(part).mean(axis=0)), np.mean(_dominance(_shares(part)))) for part in parts]
    return _shares(memory.reshape(-1, REMEMBERED)), absence / absence.max(), np.array(dominance)


def _dominance(shares: np.ndarray) -> np.ndarray:
    """0 where all speakers have the same share, 1 where one has all: (..., num_speakers) -> (...)."""
    number = shares.shape[-1]
    return (number * np.square(shares).sum(axis=-1) - 1) / (number - 1) if number > 1 else np.ones(shares.shape[:-1])


def _choices(
    corpus: Corpus, num_topics: np.ndarray, first: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Who could have spoken, and who did, wherever a speaker follows another.

    Parameters
    ----------
    num_topics : (num_recordings,) int
        Each recording has that many topics, all of the same length.
    first : (num_recordings,) int
        Index of a recording's first speaker in its first topic.

    Returns
    -------
    ranks, absences, speakers : (num_choices, max_speakers) int
        Of each speaker: how many others have spoken since they did; class of `ABSENCES`; index among the speakers of
        all topics of all recordings. -1 for the one who has the floor.
    chosen : (num_choices,) int
        Who spoke.
    """
    width = corpus.num_speakers.max()
    candidates: list[np.ndarray] = []
    chosen: list[int] = []
    for event, recording in zip(corpus.events, corpus.recordings, strict=True):
        (start, _, speaker), num_speakers = event.turn, corpus.num_speakers[recording]
        if event.name == FIRST:
            audience, holder, beginning = Audience(num_speakers), speaker, start
        elif event.name != PAUSE:
            topic = int((start - beginning) / corpus.seconds[recording] * num_topics[recording])
            rows = np.full((3, width), -1)
            for other, rank, silence in audience.listeners(holder, start):
                in_topic = first[recording] + topic * num_speakers + other
                rows[:, other] = min(rank, REMEMBERED - 1), class_of(silence, ABSENCES), in_topic
            candidates.append(rows)
            chosen.append(speaker)
        audience.hear(event.turn)
        holder = holder if event.name == BACKCHANNEL else speaker
    ranks, absences, speakers = np.reshape(candidates, (len(chosen), 3, width)).astype(int).transpose(1, 0, 2)
    return ranks, absences, speakers, np.array(chosen, dtype=int)


def _fit_habits(corpus: Corpus) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factors of each kind on what is expected in its moods.

    Returns
    -------
    takes : (num_kinds, 3) float
        On how often the floor is taken in each way.
    backchannels, length : (num_kinds,) float
        On the number of backchannels, and on the duration of turns.
    """
    kinds, num_kinds, num_moods = corpus.kinds[corpus.recordings], corpus.kinds.max() + 1, corpus.moods.max() + 1
    taken = np.array([event.name in TAKES for event in corpus.events])
    way = np.array([TAKES.index(event.name if event.name in TAKES else GAP) for event in corpus.events])
    held = np.array([class_of(event.held, LENGTHS) for event in corpus.events])
    candidates = np.arange(len(TAKES))
    situations = corpus.moods[taken] * len(CLASSES) + held[taken]
    causes = [situations[:, None] * len(TAKES) + candidates, kinds[taken][:, None] * len(TAKES) + candidates]
    # (num_takes, 3)
    sizes = [num_moods * len(CLASSES) * len(TAKES), num_kinds * len(TAKES)]
    _, takes = balance(causes, sizes, way[taken], smoothing=1.0)

    seconds = np.where(corpus.floor, [event.length for event in corpus.events], 0.0)
    backchannels = excess(~corpus.floor, seconds, corpus.moods, kinds, SMOOTHING)
    length = excess(seconds, corpus.floor, corpus.moods * len(TAKES) + way, kinds, SMOOTHING)
    return len(TAKES) * _shares(takes.reshape(-1, len(TAKES))), backchannels, length


def _kind(corpus: Corpus, kind: int, moods: np.ndarray, habits: tuple[np.ndarray, ...], dominance: np.ndarray) -> Kind:
    takes, backchannels, length = (values[kind] for values in habits)
    own = np.flatnonzero(corpus.kinds == kind)
    seconds = corpus.seconds[own]
    stretches = [corpus.stretches[index] for index in own]
    speech, overlap, *_ = np.average(stretches, axis=0, weights=seconds)
    whole, topic = np.average(dominance[own], axis=0, weights=seconds)
    speakers = np.bincount(corpus.num_speakers[own], weights=seconds) / seconds.sum()
    return Kind(
        share=_round(seconds.sum() / corpus.seconds.sum()),
        speech=_round(speech),
        overlap=_round(overlap),
        turns_per_minute=_round(60 * sum(stretch.num_turns for stretch in stretches) / seconds.sum()),
        speakers={str(number): _round(speakers[number]) for number in np.flatnonzero(speakers)},
        dominance=_round(whole),
        involvement=_round(topic),
        moods=_rounded(moods),
        takes=dict(zip(TAKES, _rounded(takes), strict=True)),
        backchannels=_round(backchannels),
        length=_round(length),
    )


def _mood(corpus: Corpus, elsewhere: Values, mood: int, then: np.ndarray, memory: np.ndarray) -> Mood:
    own = corpus.moods == mood
    events = [corpus.events[index] for index in np.flatnonzero(own)]
    around = np.mean([corpus.around[index] for index in np.flatnonzero(own[corpus.floor])], axis=0)
    values = _values(events)
    quantiles = {key: _quantiles(values[key], elsewhere[key]) for key in elsewhere}
    rate, bursts = _backchannels(events)
    return Mood(
        share=_round(own[corpus.floor].mean()),
        speech=_round(around[0]),
        overlap=_round(around[1]),
        turns_per_minute=_round(around[2] * 30 / AROUND),
        speakers=_round(around[3]),
        then=_rounded(then),
        takes=_takes(events, corpus.events),
        silence={name: quantiles["silence", name] for name in (PAUSE, GAP)},
        interrupted=[quantiles[INTERRUPTION, index] for index in CLASSES],
        length={name: quantiles["length", name] for name in TAKES},
        backchannels_per_minute=_round(60 * rate),
        bursts=_round(bursts),
        backchannel=[quantiles[BACKCHANNEL, index] for index in CLASSES],
        memory=_rounded(memory),
    )


def _values(events: Iterable[Event]) -> Values:
    """All values that have a distribution, see `Mood`."""
    values: dict[tuple[str, str | int], list[float]] = {
        **{("silence", name): [] for name in (PAUSE, GAP)},
        **{(INTERRUPTION, index): [] for index in CLASSES},
        **{("length", name): [] for name in TAKES},
        **{(BACKCHANNEL, index): [] for index in CLASSES},
    }
    for event in events:
        length, held = event.length, class_of(event.held, LENGTHS)
        if event.name == BACKCHANNEL:
            values[BACKCHANNEL, held].append(length)
        elif event.name == INTERRUPTION:
            values[INTERRUPTION, held].append(-event.offset / min(event.held, LAST_SECONDS))
            values["length", INTERRUPTION].append(length + event.offset)
        elif event.name == FIRST:
            values["length", GAP].append(length)
        else:
            values["silence", event.name].append(event.offset)
            values["length", event.name].append(length)
    return values


def _complete(values: Values) -> Values:
    """Fill distributions without values from similar ones, or with 1 where there is none."""
    alike = {which: [value for key in values if key[0] == which for value in values[key]] for which, _ in values}
    return {key: values[key] or alike[key[0]] or [1.0] for key in values}


def _quantiles(values: Sequence[float], elsewhere: Sequence[float]) -> list[float]:
    """Quantiles of the values of a mood, together with a few values that represent all moods."""
    few = np.quantile(elsewhere, (np.arange(SMOOTHING) + 0.5) / SMOOTHING)
    return _rounded(np.quantile([*values, *few], LEVELS))


def _takes(events: Sequence[Event], elsewhere: Sequence[Event]) -> dict[str, list[float]]:
    """Shares of pauses, gaps and interruptions after turns of each class, smoothed with those after all turns."""
    everywhere = np.array([sum(event.name == name for event in elsewhere) for name in TAKES])
    counts = np.zeros((len(TAKES), len(CLASSES)))
    for event in events:
        if event.name in TAKES:
            counts[TAKES.index(event.name), class_of(event.held, LENGTHS)] += 1
    mood = counts.sum(axis=1) + everywhere / everywhere.sum()
    counts += SMOOTHING * mood[:, None] / mood.sum()
    return {name: _rounded(share) for name, share in zip(TAKES, counts / counts.sum(axis=0), strict=True)}


def _backchannels(events: Iterable[Event]) -> tuple[float, float]:
    """Backchannels per second of other turns, and the squared coefficient of variation of their rate."""
    seconds: list[float] = []
    numbers: list[int] = []
    for event in events:
        if event.name == BACKCHANNEL:
            numbers[-1] += 1
        else:
            seconds.append(event.length)
            numbers.append(0)
    rate = sum(numbers) / sum(seconds)
    expected = rate * np.array(seconds)
    beyond = np.square(numbers - expected) - expected  # the variance of a Poisson process
    return rate, max(float(beyond.sum() / max(np.square(expected).sum(), 1e-9)), 0.0)


def _shares(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(axis=-1, keepdims=True)


def _round(value: float) -> float:
    """Round to three significant digits."""
    return float(f"{value:.3g}")


def _rounded(values: Iterable[float]) -> list[float]:
    return [_round(value) for value in values]
