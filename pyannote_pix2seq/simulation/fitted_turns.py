"""Turn-taking drawn from distributions that were fitted to real recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pyannote_pix2seq.numeric import is_whole
from pyannote_pix2seq.simulation.fitting import fit_turns
from pyannote_pix2seq.simulation.rttm import find_rttms, read_rttm
from pyannote_pix2seq.simulation.turn_parameters import Fit, Kind
from pyannote_pix2seq.simulation.turn_sampler import TurnSampler, choose
from pyannote_pix2seq.simulation.turns import Turns, TurnsError, crop, in_order_of_appearance

FITS = Path(__file__).parent / "fits"


class FittedTurns:
    """Turn-taking like that of real recordings, drawn turn by turn.

    One turn at a time has the floor. The next takes it after a pause (the same speaker goes on), after a gap (another
    begins) or by an interruption (another begins before the end); backchannels, turns of others, come during a turn and
    leave it the floor. Distributions of these, drawn independently of one another, are those of Landini et al., "From
    Simulated Mixtures to Simulated Conversations as Training Data for End-to-End Neural Diarization", Interspeech 2022
    (arXiv 2204.00890), and "Multi-Speaker and Wide-Band Simulated Conversations as Training Data for End-to-End Neural
    Diarization", ICASSP 2023 (arXiv 2211.06750).

    But conversations differ, and change as they go on. So here each is of a kind (debates, lectures...), which has its
    numbers of speakers and its dominance of some over others, and moves between moods (one presents, two talk, all talk
    at once...), which have their own distributions. Who speaks next depends on each speaker's rank by recency, on how
    long ago they spoke, and on how much they are involved in the current topic.

    Parameters
    ----------
    fit : Fit
        See `fit`, `load` and `ready`.
    num_speakers : (int, int), optional
        Fewest and most speakers of a conversation, all numbers equally likely; in a short conversation, some of them
        may not speak. Kinds that have about as many are preferred. Without it, as many as in the recordings.

    Raises
    ------
    TurnsError
        If `num_speakers` is not two whole numbers, or not 1 <= fewest <= most.
    """

    def __init__(self, fit: Fit, num_speakers: tuple[int, int] | None = None) -> None:
        if num_speakers is not None and not _is_range(num_speakers):
            raise TurnsError(
                f"num_speakers={num_speakers}: give the fewest and the most speakers, two whole numbers with "
                f"1 <= fewest <= most."
            )
        self.num_speakers = num_speakers
        self._fit = fit
        self._casts = _casts(fit, num_speakers)
        self._chances = [chance for _, _, chance in self._casts]

    @classmethod
    def fit(cls, *paths: Path | str, num_kinds: int = 16, num_moods: int = 12, **options: Any) -> FittedTurns:
        """Fit turn-taking to RTTM files.

        Parameters
        ----------
        *paths : Path or str
            Files, and folders of them.
        num_kinds, num_moods : int
            Number of kinds of recordings and of moods of conversations; fewer where there is little data.
        **options
            Further parameters of the class.

        Raises
        ------
        TurnsError
            If there is no RTTM file in a folder, a file cannot be read, or no turn follows another.
        """
        recordings = [turns for file in find_rttms(*paths) for turns in read_rttm(file).values()]
        return cls(fit_turns(recordings, num_kinds, num_moods), **options)

    @classmethod
    def load(cls, path: Path | str, **options: Any) -> FittedTurns:
        """Read what `save` wrote; options are further parameters of the class.

        Raises
        ------
        TurnsError
            If the file cannot be read, lacks a key, or has an unknown one.
        """
        return cls(Fit.load(path), **options)

    @classmethod
    def ready(cls, name: str, **options: Any) -> FittedTurns:
        """A fit that comes with the package: "ami" or "voxconverse"; options are further parameters of the class.

        Raises
        ------
        TurnsError
            If there is none of this name.
        """
        names = sorted(path.stem for path in FITS.glob("*.json"))
        if name not in names:
            raise TurnsError(f"There is no ready fit {name!r}. There are {', '.join(names)}.")
        return cls.load(FITS / f"{name}.json", **options)

    def save(self, path: Path | str) -> None:
        """Write the fit, without `num_speakers`, as human-readable JSON, see `turn_parameters.Fit`."""
        self._fit.save(path)

    def __repr__(self) -> str:
        speakers = "" if self.num_speakers is None else f", num_speakers={self.num_speakers}"
        return (
            f"FittedTurns({self._fit.recordings} recordings, {self._fit.hours:g} h, {len(self._fit.kinds)} kinds, "
            f"{len(self._fit.moods)} moods{speakers})"
        )

    def draw(self, rng: np.random.Generator, duration: float) -> Turns:
        """Draw part of a conversation that began before it, see `TurnTaking.draw`."""
        kind, num_speakers, _ = self._casts[choose(self._chances, rng)]
        sampler = TurnSampler(self._fit, kind, num_speakers, rng)
        while sampler.floor.start < duration:
            sampler.go_on()
        return in_order_of_appearance(crop(sampler.turns, 0, duration))


def _is_range(numbers: Any) -> bool:
    is_pair = isinstance(numbers, tuple | list) and len(numbers) == 2 and all(is_whole(number, 1) for number in numbers)
    return is_pair and numbers[0] <= numbers[1]


def _casts(fit: Fit, num_speakers: tuple[int, int] | None) -> list[tuple[Kind, int, float]]:
    """Kinds and numbers of speakers, and the probability of each pair."""
    if num_speakers is None:
        return [(kind, int(number), kind.share * part) for kind in fit.kinds for number, part in kind.speakers.items()]
    casts = []
    for number in range(num_speakers[0], num_speakers[1] + 1):
        chances = [kind.share * _likeness(kind, number) for kind in fit.kinds]
        casts += [(kind, number, chance / sum(chances)) for kind, chance in zip(fit.kinds, chances, strict=True)]
    return casts


def _likeness(kind: Kind, number: int) -> float:
    """Weight of a kind for a number of speakers: large where its recordings have about that many."""
    return sum(part * (min(number, int(n)) / max(number, int(n))) ** 4 for n, part in kind.speakers.items())
