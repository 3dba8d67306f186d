"""Voices: the speakers of a store, and what they say."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.errors import missing
from pyannote_pix2seq.simulation.level import fade
from pyannote_pix2seq.simulation.store import INDEX_FILE, SPEECH_FILE, Voice, VoicesError, check_size, read_index

CHOOSE = (
    "One name in ten is of split 'dev' and one of 'test': prepare more speakers, or give a manifest whose column "
    "`split` says who is of which."
)

NUM_HASHED = 100
"""Seconds of speech that `Voices.digest` hashes."""
PAUSE = (SAMPLE_RATE // 20, SAMPLE_RATE // 4)
"""Shortest and longest pause between two regions that follow each other, in samples."""


class Voices:
    """Speakers of one split of a store.

    Parameters
    ----------
    folder : Path
    split : str
        "train", "dev"...
    corpus : str, optional
        Leave out the speakers of other corpora.

    Attributes
    ----------
    speakers : list of str
        Sorted names.

    Raises
    ------
    VoicesError
        If there is no such folder, no store in it, it is damaged, or the split has no such speaker.
    """

    def __init__(self, folder: Path | str, split: str, corpus: str | None = None) -> None:
        self.folder = Path(folder)
        self.split = split
        self.corpus = corpus
        if not self.folder.is_dir():
            raise VoicesError(f"{missing(self.folder, 'folder')} recipes/prepare_voices.py makes stores of voices.")
        voices = read_index(self.folder)
        check_size(self.folder / SPEECH_FILE, voices)
        self._voices = {speaker: voice for speaker, voice in voices.items() if _is(voice, split, corpus)}
        if not self._voices:
            of, kind = ("", "{0.split}") if corpus is None else (f" and corpus {corpus!r}", "{0.split} ({0.corpus})")
            there = ", ".join(sorted({kind.format(voice) for voice in voices.values()}))
            raise VoicesError(
                f"No speaker of split {split!r}{of} in {self.folder}. It has {there or 'no speaker at all'}. {CHOOSE}"
            )
        self.speakers = sorted(self._voices)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the path and the index, not gigabytes of speech."""
        return {name: value for name, value in vars(self).items() if name not in ("_samples", "_probabilities")}

    def __repr__(self) -> str:
        regions = np.concatenate([voice.regions for voice in self._voices.values()])
        minutes = regions[:, 1].sum() / SAMPLE_RATE / 60
        duration = f"{minutes:.1f} min" if minutes < 60 else f"{minutes / 60:.1f} h"
        number = len(self.speakers)
        return f"Voices({str(self.folder)!r}, {self.split!r}): {number} speaker{'s' * (number != 1)}, {duration}"

    @cached_property
    def _samples(self) -> np.ndarray:
        return np.memmap(self.folder / SPEECH_FILE, dtype=np.int16, mode="r")

    @cached_property
    def digest(self) -> str:
        """Hash of the index and of parts of the speech, of all splits; most changes to a store change it.

        Halves of `apart` have hashes of their own.
        """
        digest = hashlib.sha256((self.folder / INDEX_FILE).read_bytes())
        for start in np.linspace(0, len(self._samples), NUM_HASHED, endpoint=False).astype(int):
            digest.update(self._samples[start : start + SAMPLE_RATE].tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def _probabilities(self) -> np.ndarray:
        """Half of the draws go to a corpus whatever its size, half to a speaker whatever the corpus."""
        corpora = [self._voices[speaker].corpus for speaker in self.speakers]
        size = Counter(corpora)
        return np.array([0.5 / (len(size) * size[corpus]) + 0.5 / len(corpora) for corpus in corpora])

    def choose(self, num_speakers: int, rng: np.random.Generator, excluding: Collection[str] = ()) -> tuple[str, ...]:
        """Draw distinct speakers, those of small corpora more often than the number of speakers would give.

        Parameters
        ----------
        num_speakers : int
        rng : np.random.Generator
        excluding : collection of str
            Speakers that must not be drawn.

        Raises
        ------
        VoicesError
            If the store has fewer speakers.
        """
        is_left = np.array([speaker not in excluding for speaker in self.speakers])
        if num_speakers > is_left.sum():
            raise VoicesError(
                f"{num_speakers} speakers were asked for and {self!r} has {is_left.sum()} to choose from. "
                f"Draw turns of fewer speakers, or have more voices. {CHOOSE}"
            )
        if not num_speakers:
            return ()
        probabilities = self._probabilities * is_left
        drawn = rng.choice(len(is_left), num_speakers, replace=False, p=probabilities / probabilities.sum())
        return tuple(self.speakers[number] for number in drawn)

    def apart(self, seconds: float) -> tuple[Voices, Voices]:
        """Split the speech of each speaker in two, e.g. to enrol speakers with other speech than is simulated.

        Parameters
        ----------
        seconds : float
            Least speech of each speaker in either half. Speakers who have too little are in neither.

        Returns
        -------
        first, second : Voices
            The same speakers, with different speech.

        Raises
        ------
        VoicesError
            If no speaker has enough.
        """
        first, second = copy(self), copy(self)
        first._voices, second._voices = {}, {}
        for speaker, voice in self._voices.items():
            heard = voice.regions[:, 1].cumsum() / SAMPLE_RATE
            place = int(np.searchsorted(heard, seconds)) + 1
            if heard[-1] - heard[min(place, len(heard)) - 1] >= seconds:
                first._voices[speaker] = replace(voice, regions=voice.regions[:place])
                second._voices[speaker] = replace(voice, regions=voice.regions[place:])
        first.speakers = second.speakers = sorted(first._voices)
        if not first.speakers:
            raise VoicesError(f"Nobody of {self!r} has twice {seconds:g} s of speech. Ask for less, or prepare more.")
        for name, half in (("first", first), ("second", second)):
            half.digest = hashlib.sha256(f"{name} half, {float(seconds)} s, of {self.digest}".encode()).hexdigest()[:16]
        return first, second

    def regions(self, speaker: str) -> Iterator[np.ndarray]:
        """Speech regions of one speaker as they are stored: each (num_samples,) int16.

        Raises
        ------
        VoicesError
            If there is no such speaker.
        """
        return (self._samples[offset : offset + length] for offset, length in self._regions_of(speaker))

    def speech(self, speaker: str, rng: np.random.Generator, num_samples: int) -> np.ndarray:
        """Speech of one speaker that begins with an onset and goes on without a long pause.

        Regions follow one another in random order, and again from the start when all have been used, each faded in and
        out over 10 ms and followed by a pause of 50 to 250 ms.

        Parameters
        ----------
        speaker : str
        rng : np.random.Generator
        num_samples : int
            At 16 kHz.

        Returns
        -------
        waveform : (num_samples,) float32

        Raises
        ------
        VoicesError
            If there is no such speaker.
        """
        regions = self._regions_of(speaker)
        waveform = np.zeros(num_samples, dtype=np.float32)
        order: list[int] = []
        position = 0
        while position < num_samples:
            order = order or rng.permutation(len(regions)).tolist()
            offset, length = regions[order.pop()]
            stop = min(position + length, num_samples)
            waveform[position:stop] = self._samples[offset : offset + stop - position]
            fade(waveform[position:stop])
            position = stop + int(rng.integers(*PAUSE))
        return waveform / 32768  # int16 -> [-1, 1)

    def _regions_of(self, speaker: str) -> np.ndarray:
        if speaker not in self._voices:
            raise VoicesError(f"{speaker!r} is none of the {len(self.speakers)} speakers of {self!r}.")
        return self._voices[speaker].regions


def _is(voice: Voice, split: str, corpus: str | None) -> bool:
    return voice.split == split and corpus in (None, voice.corpus)
