"""Recorded and generated noise."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from pyannote_pix2seq.audio.samples import SAMPLE_RATE, AudioError
from pyannote_pix2seq.errors import Pix2SeqError, missing
from pyannote_pix2seq.simulation.level import fade
from pyannote_pix2seq.simulation.recording import duration_of, find_recordings, read_block
from pyannote_pix2seq.simulation.table import read_table

BLOCK_SECONDS = 10
"""Seconds that are read and cached at a time, so that memory is bounded however long recordings are: to 330 MB."""

_read = lru_cache(maxsize=512)(read_block)
_duration = lru_cache(maxsize=65536)(duration_of)


class NoiseError(Pix2SeqError, ValueError):
    """A source of noise that cannot be used."""


class Noises:
    """Recorded noise.

    Parameters
    ----------
    source : Path or str
        Tab-separated values with columns path (relative to the manifest's folder) and kind; or a folder of audio files,
        whose kind is the name of the folder they are in. If the folder has a `manifest.tsv`, that is used instead.

    Attributes
    ----------
    kinds : list of str
        Sorted.

    Raises
    ------
    NoiseError
        If there is no such source, no recording in it, or the manifest lacks a column, a cell or a file. Recordings
        that cannot be opened, or are empty, are left out, with a warning that lists them.
    """

    def __init__(self, source: Path | str) -> None:
        self.source = Path(source)
        if not self.source.exists():
            raise NoiseError(missing(self.source, "file or folder"))
        manifest = self.source / "manifest.tsv" if self.source.is_dir() else self.source
        self._kinds = _readable(_read_manifest(manifest) if manifest.is_file() else _scan_folder(self.source))
        if not self._kinds:
            raise NoiseError(f"No recording in {self.source}. Give a folder of audio files, or a manifest of them.")
        self.kinds = sorted(self._kinds)

    def __repr__(self) -> str:
        num_recordings = sum(len(paths) for paths in self._kinds.values())
        return f"Noises({str(self.source)!r}): {num_recordings} recordings of {len(self.kinds)} kinds"

    @cached_property
    def digest(self) -> str:
        """Short hash of the kinds, and of the names and sizes of their recordings, wherever these lie.

        Recordings are not read, so that one that is replaced by another of the same name and size is not noticed.
        """
        listing = [f"{kind}/{path.name} {path.stat().st_size}" for kind in self.kinds for path in self._kinds[kind]]
        return hashlib.sha256("\n".join(listing).encode(errors="surrogateescape")).hexdigest()[:16]

    def draw(self, kind: str, rng: np.random.Generator, num_samples: int) -> np.ndarray:
        """Noise of one kind: random crops of its recordings, one after the other.

        Parameters
        ----------
        kind : str
            One of `kinds`.
        rng : np.random.Generator
        num_samples : int
            At 16 kHz.

        Returns
        -------
        noise : (num_samples,) float32

        Raises
        ------
        NoiseError
            If there is no such kind, or its recordings are all too short to have a sample at 16 kHz.
        AudioError
            If a recording cannot be read.
        """
        if kind not in self._kinds:
            raise NoiseError(f"{kind!r} is no kind of noise of {self.source}. It has {', '.join(self.kinds)}.")
        paths = self._kinds[kind]
        noise = np.zeros(num_samples, dtype=np.float32)
        position = 0
        while position < num_samples:
            path = paths[rng.integers(len(paths))]
            start = int(rng.integers(1 + int(_duration(path) / 2 * SAMPLE_RATE)))
            crop = _crop(path, start, num_samples - position)
            if not len(crop) and not any(map(_num_samples, paths)):
                raise NoiseError(_too_short(path, kind))
            noise[position : position + len(crop)] = crop
            fade(noise[position : position + len(crop)])
            position += len(crop)
        return noise


def coloured_noise(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Gaussian noise of a random colour between white and brown: (num_samples,) float32."""
    pole = np.float32(1 - 10 ** rng.uniform(-2, 0))
    white = rng.standard_normal(num_samples, dtype=np.float32)
    return lfilter(np.ones(1, dtype=np.float32), np.array([1, -pole], dtype=np.float32), white)


def _crop(path: Path, start: int, num_samples: int) -> np.ndarray:
    """Up to `num_samples` samples of a recording, from one of them on: (<= num_samples,)."""
    first = start // (BLOCK_SECONDS * SAMPLE_RATE) * BLOCK_SECONDS
    end = min((start + num_samples) / SAMPLE_RATE, _duration(path))
    blocks = [
        _read(path, second, BLOCK_SECONDS) for second in range(first, max(math.ceil(end), first + 1), BLOCK_SECONDS)
    ]
    return np.concatenate(blocks)[start - first * SAMPLE_RATE :][:num_samples]


def _num_samples(path: Path) -> int:
    """Samples of a recording at 16 kHz."""
    return round(_duration(path) * SAMPLE_RATE)


def _too_short(path: Path, kind: str) -> str:
    return (
        f"{path} lasts {1000 * _duration(path):.3f} ms, which is less than a sample at {SAMPLE_RATE} Hz, and kind "
        f"{kind!r} has no longer recording. Give it one, or leave the kind out."
    )


def _readable(kinds: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """The recordings that can be opened and hold samples, by kind, with a warning of all others."""
    problems = {path: problem for paths in kinds.values() for path in paths if (problem := _problem(path))}
    if problems:
        warnings.warn(f"No noise from {len(problems)} recordings: {' '.join(problems.values())}", stacklevel=3)
    readable = {kind: [path for path in paths if path not in problems] for kind, paths in kinds.items()}
    return {kind: paths for kind, paths in readable.items() if paths}


def _problem(path: Path) -> str | None:
    """Why a recording cannot be heard; None if it can."""
    try:
        return None if _duration(path) else f"{path} is empty: there is not one sample in it. Record or copy it again."
    except (AudioError, OSError) as error:
        return str(error)


def _read_manifest(manifest: Path) -> dict[str, list[Path]]:
    kinds: dict[str, list[Path]] = {}
    for where, row in read_table(manifest, ("path", "kind"), NoiseError):
        path = manifest.parent / row["path"]
        if not path.is_file():
            raise NoiseError(f"{where}: there is no file {str(path)!r}. Paths are relative to {manifest.parent}.")
        kinds.setdefault(row["kind"], []).append(path)
    return kinds


def _scan_folder(folder: Path) -> dict[str, list[Path]]:
    kinds: dict[str, list[Path]] = {}
    for path in find_recordings(folder):
        kind = Path(os.path.abspath(path.parent)).name  # "." has no name of its own
        kinds.setdefault(kind, []).append(path)
    return kinds
