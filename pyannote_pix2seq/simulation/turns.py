"""Who speaks when: taken from real recordings, or drawn by a plain rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..vocabulary import Triplet

Turns = list[Triplet]

SHORTEST_TURN = 0.1
"""Shorter turns, left over where turns are cut, are dropped, in seconds."""

MAX_TRIES = 1000


class TurnsError(ValueError):
    """Turns that cannot be read, or cannot be drawn."""


class TurnTaking(Protocol):
    """Anything that can imagine who speaks when."""

    def draw(self, rng: np.random.Generator, duration: float) -> Turns:
        """Turns of one conversation.

        Parameters
        ----------
        rng : np.random.Generator
        duration : float
            Seconds.

        Returns
        -------
        turns : list of Triplet
            Sorted; inside [0, duration]; speakers 0, 1, ... in the order in which they are first heard; a
            speaker never overlaps himself.
        """
        ...


class TakenTurns:
    """Turn-taking of real recordings: a random window of one, sometimes with silence put in.

    Every corpus is as likely as every other, and so is every moment of a corpus. Recorded conversations have
    little silence where they were annotated, and a network that never heard any writes turns over it: hence
    the pauses and the nearly empty windows.

    Parameters
    ----------
    corpora : iterable of iterables of recordings
        A recording is the list of its turns, see `read_rttm`.
    merge_pauses : float
        Pauses of one speaker that are shorter than this are bridged, in seconds.
    max_speakers : int
        Windows with more speakers are drawn again.
    pause_probability : float
        How often a pause of 1 to 8 s is put in at a random moment.
    empty_probability : float
        How often only 1 to 5 s of the window keep their turns.

    Raises
    ------
    TurnsError
        If a corpus has no recording with a turn.
    """

    def __init__(
        self,
        corpora: Iterable[Iterable[Turns]],
        merge_pauses: float = 0.25,
        max_speakers: int = 6,
        pause_probability: float = 0.4,
        empty_probability: float = 0.1,
    ) -> None:
        self.max_speakers = max_speakers
        self.pause_probability = pause_probability
        self.empty_probability = empty_probability
        merged = [[join_pauses(turns, merge_pauses) for turns in corpus] for corpus in corpora]
        self._corpora = [[turns for turns in corpus if crop(turns, 0, np.inf)] for corpus in merged]
        if not self._corpora or not all(self._corpora):
            raise TurnsError("TakenTurns needs one corpus or more, each with a recording that has turns.")
        self._lengths = [np.array([max(turn.end for turn in turns) for turns in corpus]) for corpus in self._corpora]

    @classmethod
    def from_rttms(cls, *paths: Path | str, **options: Any) -> TakenTurns:
        """Take turns from RTTM files.

        Parameters
        ----------
        *paths : Path or str
            Folders, each of them one corpus, and files, which are one more corpus together.
        **options
            Further parameters of the class.

        Raises
        ------
        TurnsError
            If there is no RTTM file in a folder, or a file cannot be read.
        """
        folders = [path for path in map(Path, paths) if path.is_dir()]
        files = [path for path in map(Path, paths) if not path.is_dir()]
        groups = [*(_rttms_of(folder) for folder in folders), *([files] if files else [])]
        return cls([[turns for path in group for turns in read_rttm(path).values()] for group in groups], **options)

    def __repr__(self) -> str:
        sizes = " + ".join(str(len(corpus)) for corpus in self._corpora)
        return f"TakenTurns({sizes} recordings, max_speakers={self.max_speakers})"

    def draw(self, rng: np.random.Generator, duration: float) -> Turns:
        """A window of a random recording, see `TurnTaking.draw`.

        Raises
        ------
        TurnsError
            If no window with few enough speakers is found.
        """
        for _ in range(MAX_TRIES):
            turns = self._window(rng, duration)
            if rng.random() < self.empty_probability:
                turns = _keep_stretch(turns, rng, duration)
            elif rng.random() < self.pause_probability:
                turns = _insert_pause(turns, rng, duration)
            turns = in_order_of_appearance(turns)
            if len({turn.speaker for turn in turns}) <= self.max_speakers:
                return turns
        raise TurnsError(
            f"{MAX_TRIES} windows of {duration} s all had more than max_speakers={self.max_speakers}. "
            f"Allow more speakers or draw shorter conversations."
        )

    def _window(self, rng: np.random.Generator, duration: float) -> Turns:
        corpus = int(rng.integers(len(self._corpora)))
        lengths = self._lengths[corpus]
        recording = int(rng.choice(len(lengths), p=lengths / lengths.sum()))
        start = rng.uniform(0, max(lengths[recording] - duration, 0))
        return crop(shift(self._corpora[corpus][recording], -start), 0, duration)


@dataclass(frozen=True)
class PlainTurns:
    """One speaker after the other, for a length of time drawn uniformly.

    The rule of nanodrz (https://github.com/mogwai/nanodrz): each turn belongs to a speaker other than the one
    before, and starts at a moment drawn uniformly around the end of the turn before.

    Parameters
    ----------
    min_seconds, max_seconds : float
        Shortest and longest turn.
    interrupt_max : float
        Longest time by which a turn starts before the previous one ends, in seconds.
    silence_max : float
        Longest silence between two turns, in seconds.
    max_speakers : int
        Every number of speakers from 1 to this one is as likely.

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
        if not SHORTEST_TURN <= self.min_seconds <= self.max_seconds:
            raise TurnsError(f"{self}: turns must last {SHORTEST_TURN} s or more, and min_seconds <= max_seconds.")
        if self.interrupt_max < 0 or self.silence_max < 0 or self.max_speakers < 1:
            raise TurnsError(f"{self}: interrupt_max and silence_max must not be negative, max_speakers 1 or more.")

    def draw(self, rng: np.random.Generator, duration: float) -> Turns:
        """Turns until the time is over, see `TurnTaking.draw`."""
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


def join_pauses(turns: Iterable[Triplet], longest: float) -> Turns:
    """Join turns of one speaker that overlap or have a pause shorter than `longest` seconds between them."""
    merged: list[Triplet] = []
    last: dict[int, int] = {}
    for turn in sorted(turns):
        index = last.get(turn.speaker)
        if index is not None and turn.start - merged[index].end < longest:
            merged[index] = merged[index]._replace(end=max(merged[index].end, turn.end))
            continue
        last[turn.speaker] = len(merged)
        merged.append(turn)
    return merged


def crop(turns: Iterable[Triplet], start: float, end: float) -> Turns:
    """Parts of turns between two moments; what is left of a turn may be too short to keep."""
    parts = (Triplet(max(turn.start, start), min(turn.end, end), turn.speaker) for turn in turns)
    return [part for part in parts if part.end - part.start >= SHORTEST_TURN]


def shift(turns: Iterable[Triplet], seconds: float) -> Turns:
    """Turns that many seconds later."""
    return [Triplet(turn.start + seconds, turn.end + seconds, turn.speaker) for turn in turns]


def in_order_of_appearance(turns: Iterable[Triplet]) -> Turns:
    """Sort turns, and name speakers 0, 1, ... in the order in which they are first heard."""
    names: dict[int, int] = {}
    return sorted(turn._replace(speaker=names.setdefault(turn.speaker, len(names))) for turn in sorted(turns))


def read_rttm(path: Path) -> dict[str, Turns]:
    """Read turns from Rich Transcription Time Marked lines (NIST RT-09 evaluation plan, appendix A).

        SPEAKER uri channel start duration <NA> <NA> speaker <NA> <NA>

    Parameters
    ----------
    path : Path
        Lines of another type than SPEAKER, comments (;;) and empty lines are passed over.

    Returns
    -------
    recordings : dict of str to list of Triplet
        Turns of each uri, sorted, speakers numbered in order of appearance.

    Raises
    ------
    TurnsError
        If the file cannot be read, or a line is malformed; the message names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TurnsError(f"{path} cannot be read as RTTM: {error}.") from error
    recordings: dict[str, Turns] = {}
    names: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            uri, start, seconds, speaker = fields[1], float(fields[3]), float(fields[4]), fields[7]
        except (IndexError, ValueError) as error:
            raise TurnsError(f"{path}, line {number}: {line!r} is not an RTTM line ({error}).") from error
        if not (0 <= start < np.inf and 0 <= seconds < np.inf):
            raise TurnsError(f"{path}, line {number}: start {start} and duration {seconds} must not be negative.")
        name = names.setdefault((uri, speaker), len(names))
        recordings.setdefault(uri, []).append(Triplet(start, start + seconds, name))
    return {uri: in_order_of_appearance(turns) for uri, turns in recordings.items()}


def _keep_stretch(turns: Turns, rng: np.random.Generator, duration: float) -> Turns:
    """Only what is said in one stretch of 1 to 5 s."""
    start = rng.uniform(0, duration)
    return crop(turns, start, min(start + rng.uniform(1, 5), duration))


def _insert_pause(turns: Turns, rng: np.random.Generator, duration: float) -> Turns:
    """Silence of 1 to 8 s at a random moment; a turn that goes on over it is split."""
    moment, pause = rng.uniform(0, duration), rng.uniform(1, 8)
    before = crop(turns, 0, moment)
    after = shift(crop(turns, moment, duration), pause)
    return before + crop(after, 0, duration)


def _rttms_of(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.rttm"))
    if not files:
        raise TurnsError(f"No .rttm file in {folder}.")
    return files
