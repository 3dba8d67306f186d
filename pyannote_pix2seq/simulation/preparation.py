"""Recordings of single speakers -> a store of voices (see `voices.py`).

Every speaker is prepared by itself and kept under `folder/speakers` until all are done, so that an
interrupted preparation goes on where it stopped.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..audio import SAMPLE_RATE
from .recording import find_recordings, read_recording
from .seed import seed_of
from .voices import to_level, write_voices

LONGEST_PAUSE = 0.3
"""Longer pauses are cut out, in seconds."""

MIN_SPEECH = 3.0
"""Speakers with less speech are refused, in seconds."""

COLUMNS = ("speaker", "path")


class PreparationError(ValueError):
    """A source of recordings that cannot be understood."""


@dataclass(frozen=True)
class Recordings:
    """All recordings of one speaker."""

    speaker: str
    corpus: str
    split: str
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Refusal:
    """What was left out, and why."""

    speaker: str
    path: str
    reason: str


def find_speakers(source: Path) -> list[Recordings]:
    """Speakers of a manifest, or of a folder with one folder a speaker.

    Parameters
    ----------
    source : Path
        Tab-separated values with columns speaker, path (relative to the manifest's folder) and, if there are
        any, corpus and split; or a folder `{speaker}/**` of audio files. Where there is no split, one speaker
        in ten goes to "dev", the others to "train".

    Raises
    ------
    PreparationError
        If a column is missing, a speaker has two corpora or splits, or there is no recording at all.
    """
    rows = _read_manifest(source) if source.is_file() else _scan_folder(source)
    speakers: dict[str, tuple[str, str]] = {}
    paths: dict[str, list[Path]] = {}
    for speaker, corpus, split, path in rows:
        home = speakers.setdefault(speaker, (corpus, split))
        if home != (corpus, split):
            raise PreparationError(
                f"{source}: speaker {speaker!r} is in {home} and in {(corpus, split)} (corpus, split). "
                f"Names must be unique over corpora and a speaker belongs to one split."
            )
        paths.setdefault(speaker, []).append(path)
    if not speakers:
        raise PreparationError(f"No recording in {source}. Give a manifest, or a folder with one folder a speaker.")
    return [Recordings(speaker, *speakers[speaker], tuple(paths[speaker])) for speaker in sorted(speakers)]


def prepare_voices(source: Path, folder: Path, num_jobs: int = 2) -> list[Refusal]:
    """Cut recordings at their pauses and write the store; what is refused is listed in `folder/refused.tsv`.

    Parameters
    ----------
    source : Path
        See `find_speakers`.
    folder : Path
        Where the store goes.
    num_jobs : int
        Processes that work side by side.

    Raises
    ------
    PreparationError
        If the source cannot be understood.
    """
    speakers = find_speakers(source)
    parts = folder / "speakers"
    parts.mkdir(parents=True, exist_ok=True)
    for _ in tqdm(_prepare_all(speakers, parts, num_jobs), total=len(speakers), unit="speaker"):
        pass
    refusals: list[Refusal] = []
    write_voices(folder, _accepted(speakers, parts, refusals))
    _write_refusals(folder / "refused.tsv", refusals)
    shutil.rmtree(parts)
    return refusals


def speech_regions(waveform: np.ndarray) -> list[np.ndarray]:
    """Speech of a (num_samples,) float32 waveform: pauses longer than 0.3 s cut out, regions at one level.

    Voice activity is found by Silero VAD (Silero Team, 2024, https://github.com/snakers4/silero-vad).
    """
    from silero_vad import get_speech_timestamps

    found = get_speech_timestamps(
        torch.from_numpy(waveform),
        _detector(),
        sampling_rate=SAMPLE_RATE,
        min_silence_duration_ms=1000 * LONGEST_PAUSE,
    )
    return [to_level(waveform[region["start"] : region["end"]]) for region in found]


@lru_cache(maxsize=1)
def _detector() -> Any:
    try:
        from silero_vad import load_silero_vad
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Finding speech needs silero-vad: pip install pyannote-pix2seq[simulation]."
        ) from error
    return load_silero_vad()


def _prepare_all(speakers: Iterable[Recordings], parts: Path, num_jobs: int) -> Iterator[None]:
    """Prepare speakers one after the other, in this process or side by side in others."""
    prepare = partial(_prepare_speaker, parts=parts)
    if num_jobs == 1:
        yield from map(prepare, speakers)
        return
    with get_context("spawn").Pool(num_jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.imap_unordered(prepare, speakers)


def _prepare_speaker(recordings: Recordings, parts: Path) -> None:
    """Write one speaker's regions and refusals, unless an earlier run did."""
    part = _part(parts, recordings.speaker)
    if part.exists():
        return
    _detector()  # without it every recording would be refused
    regions: list[np.ndarray] = []
    refused: list[tuple[str, str]] = []
    for path in recordings.paths:
        try:
            regions += speech_regions(read_recording(path))
        except Exception as error:  # one bad recording must not stop the others, whatever is bad about it
            refused.append((str(path), " ".join(str(error).split()) or type(error).__name__))
    unfinished = part.with_suffix(".tmp.npz")
    np.savez(
        unfinished,
        samples=np.concatenate([np.zeros(0, dtype=np.int16), *regions]),
        lengths=np.array([len(region) for region in regions], dtype=np.int64),
        refused=np.array(refused, dtype=str).reshape(-1, 2),
    )
    os.replace(unfinished, part)


def _accepted(
    speakers: Iterable[Recordings], parts: Path, refusals: list[Refusal]
) -> Iterator[tuple[str, str, str, list[np.ndarray]]]:
    """Speakers with enough speech, read back; refusals are added to the list on the way."""
    for recordings in speakers:
        with np.load(_part(parts, recordings.speaker)) as part:
            samples, lengths, refused = part["samples"], part["lengths"], part["refused"]
        refusals += [Refusal(recordings.speaker, path, reason) for path, reason in refused.tolist()]
        seconds = len(samples) / SAMPLE_RATE
        if seconds < MIN_SPEECH:
            reason = f"{seconds:.1f} s of speech, at least {MIN_SPEECH:.1f} s are needed"
            refusals.append(Refusal(recordings.speaker, "*", reason))
            continue
        regions = np.split(samples, np.cumsum(lengths)[:-1])
        yield recordings.speaker, recordings.corpus, recordings.split, regions


def _part(parts: Path, speaker: str) -> Path:
    return parts / f"{seed_of(speaker):016x}.npz"


def _read_manifest(manifest: Path) -> Iterator[tuple[str, str, str, Path]]:
    with manifest.open(newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            raise PreparationError(
                f"{manifest} has no column {', '.join(missing)}. Its first line must name "
                f"tab-separated columns: speaker and path, and if you like corpus and split."
            )
        for row in rows:
            speaker = row["speaker"]
            split = row.get("split") or _split_of(speaker)
            yield speaker, row.get("corpus") or manifest.stem, split, manifest.parent / row["path"]


def _scan_folder(folder: Path) -> Iterator[tuple[str, str, str, Path]]:
    for path in find_recordings(folder):
        speaker = path.relative_to(folder).parts[0]
        if path.parent != folder:
            yield speaker, folder.name, _split_of(speaker), path


def _split_of(speaker: str) -> str:
    return "dev" if seed_of(speaker) % 10 == 0 else "train"


def _write_refusals(path: Path, refusals: Iterable[Refusal]) -> None:
    lines = [f"{refusal.speaker}\t{refusal.path}\t{refusal.reason}" for refusal in refusals]
    unfinished = path.with_suffix(".part")
    unfinished.write_text("\n".join(["speaker\tpath\treason", *lines]) + "\n")
    os.replace(unfinished, path)
