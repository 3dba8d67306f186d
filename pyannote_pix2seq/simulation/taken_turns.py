"""Turn-taking that is taken from real recordings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pyannote_pix2seq.joining import shifted
from pyannote_pix2seq.numeric import check_ranges, is_number, is_probability, is_whole
from pyannote_pix2seq.simulation.rttm import find_rttms, read_rttm
from pyannote_pix2seq.simulation.turns import (
    SHORTEST_SPOKEN,
    Turns,
    TurnsError,
    crop,
    in_order_of_appearance,
    join_pauses,
)

MAX_TRIES = 1000
HESITATION = (0.25, 0.8)
"""Shortest and longest hesitation, in seconds."""


class TakenTurns:
    """Turn-taking of real recordings: a random window of one, sometimes with silence inserted.

    All corpora are equally likely; of a corpus, a recording that is twice as long is twice as likely, and then so are
    all windows of it. Annotated parts of recorded conversations have little silence, and a network that was never
    trained on silence writes turns over it: hence the pauses and the nearly empty windows.

    Parameters
    ----------
    corpora : iterable of iterables of recordings
        A recording is the list of its turns, see `read_rttm`.
    merge_pauses : float
        Pauses of one speaker that are shorter than this are bridged, in seconds.
    max_speakers : int
        Windows with more speakers are drawn again.
    pause_probability : float
        How often a pause of 1 to 8 s is inserted at a random moment, in windows that are not nearly empty.
    empty_probability : float
        How often only 1 to 5 s of the window keep their turns.
    hesitations : float
        How many times per second of speech, on average, a speaker hesitates for 0.25 to 0.8 s. Annotators mark one turn
        there (see `Labels.merge_pauses`), and so do the RTTMs that turns are taken from.

    Raises
    ------
    TurnsError
        If a corpus has no recording with a turn, or an option is out of its range.
    """

    def __init__(
        self,
        corpora: Iterable[Iterable[Turns]],
        merge_pauses: float = 0.25,
        max_speakers: int = 6,
        pause_probability: float = 0.4,
        empty_probability: float = 0.1,
        hesitations: float = 0.0,
    ) -> None:
        self.hesitations = hesitations
        self.max_speakers = max_speakers
        self.pause_probability = pause_probability
        self.empty_probability = empty_probability
        ranges = {
            "merge_pauses": (is_number(merge_pauses, 0), "a number of seconds, 0 or more"),
            "max_speakers": (is_whole(max_speakers, 1), "a whole number, 1 or more"),
            "pause_probability": (is_probability(pause_probability), "a number from 0 to 1"),
            "empty_probability": (is_probability(empty_probability), "a number from 0 to 1"),
            "hesitations": (is_number(hesitations, 0), "a number of times per second, 0 or more"),
        }
        check_ranges("TakenTurns", {**vars(self), "merge_pauses": merge_pauses}, ranges, TurnsError)
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
            Folders, each of them one corpus, and files, which together are one more corpus.
        **options
            Further parameters of the class.

        Raises
        ------
        TurnsError
            If there is no RTTM file in a folder, or a file cannot be read.
        """
        folders = [path for path in map(Path, paths) if path.is_dir()]
        files = [path for path in map(Path, paths) if not path.is_dir()]
        groups = [*(find_rttms(folder) for folder in folders), *([files] if files else [])]
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
            turns = in_order_of_appearance(_hesitate(turns, rng, self.hesitations))
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
        return crop(shifted(self._corpora[corpus][recording], -start), 0, duration)


def _keep_stretch(turns: Turns, rng: np.random.Generator, duration: float) -> Turns:
    """Only the turns in one stretch of 1 to 5 s."""
    start = rng.uniform(0, duration)
    return crop(turns, start, start + rng.uniform(1, 5))


def _insert_pause(turns: Turns, rng: np.random.Generator, duration: float) -> Turns:
    """Insert silence of 1 to 8 s at a random moment; a turn that spans it is split."""
    moment, pause = rng.uniform(0, duration), rng.uniform(1, 8)
    before = crop(turns, 0, moment)
    after = shifted(crop(turns, moment, duration), pause)
    return before + crop(after, 0, duration)


def _hesitate(turns: Turns, rng: np.random.Generator, rate: float) -> Turns:
    """Insert short pauses into turns, `rate` per second on average."""
    parts: Turns = []
    for turn in turns:
        for moment in sorted(rng.uniform(turn.start, turn.end, rng.poisson(rate * (turn.end - turn.start)))):
            resumed = moment + rng.uniform(*HESITATION)
            if moment - turn.start >= SHORTEST_SPOKEN and turn.end - resumed >= SHORTEST_SPOKEN:
                parts.append(turn._replace(end=moment))
                turn = turn._replace(start=resumed)
        parts.append(turn)
    return sorted(parts)
