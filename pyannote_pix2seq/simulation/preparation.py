"""Preparation of single-speaker recordings as a store of voices (see `store.py`).

Each speaker is prepared separately and kept under `folder/.speakers` until all are done, so that an interrupted
preparation goes on where it stopped.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.locking import alone
from pyannote_pix2seq.numeric import check_ranges, is_number
from pyannote_pix2seq.parallel import parallel_map
from pyannote_pix2seq.simulation.denoising import denoise, noisereduce
from pyannote_pix2seq.simulation.dependency import dependency
from pyannote_pix2seq.simulation.layout import AUTO, Recordings, find_left_out, find_speakers
from pyannote_pix2seq.simulation.recording import read_recording
from pyannote_pix2seq.simulation.seed import seed_of
from pyannote_pix2seq.simulation.store import PARTS, VoicesError, check_store, to_level, write_voices

LONGEST_PAUSE = 0.3
"""Longest pause that is kept, in seconds; longer ones are cut out."""

MIN_SPEECH = 3.0
"""Least speech of a speaker, in seconds; speakers with less are refused."""

MOST_SPEECH = 1800.0
"""Speech of a speaker that is enough, in seconds; audio books are much longer."""


@dataclass(frozen=True)
class Refusal:
    """A recording or a speaker that was left out, and why.

    Attributes
    ----------
    speaker, path : str
        "*" for no speaker in particular, or for all recordings.
    reason : str
    """

    speaker: str
    path: str
    reason: str


@dataclass(frozen=True)
class Preparation:
    """Options of the preparation of recordings.

    Parameters
    ----------
    is_denoised : bool
        Whether steady noise is reduced, see `denoising.py`.
    most_speech : float
        Further recordings of a speaker are skipped once there is this much speech, in seconds: `MIN_SPEECH` or more.

    Raises
    ------
    ArgumentError
        If it is less, so that speakers might be refused for what they were not asked to say.
    """

    is_denoised: bool = False
    most_speech: float = MOST_SPEECH

    def __post_init__(self) -> None:
        allowed = (is_number(self.most_speech, MIN_SPEECH), f"a number of seconds, {MIN_SPEECH:g} or more")
        check_ranges("Preparation", vars(self), {"most_speech": allowed})


AS_THEY_ARE = Preparation()


def prepare_voices(
    sources: Sequence[Path] | Path,
    folder: Path,
    num_jobs: int = 2,
    layout: str = AUTO,
    preparation: Preparation = AS_THEY_ARE,
) -> list[Refusal]:
    """Cut recordings at their pauses and write the store; what is refused is listed in `folder/refused.tsv`.

    Parameters
    ----------
    sources, layout
        See `layout.find_speakers`.
    folder : Path
        Where the store goes.
    num_jobs : int
        Number of parallel processes.
    preparation : Preparation

    Returns
    -------
    refusals : list of Refusal

    Raises
    ------
    LayoutError
        If a source cannot be understood.
    ModuleNotFoundError
        If silero-vad is not installed, or noisereduce where it is asked for.
    VoicesError
        If every speaker is refused, or the folder has files that are not a store's and would be replaced.
    InUseError
        If another process prepares voices in that folder.
    """
    check_store(folder)
    speakers = find_speakers(sources, layout)
    _detector()  # without it every recording would be refused
    if preparation.is_denoised:
        noisereduce()
    parts = folder / PARTS
    with alone(parts):
        prepare = partial(_prepare_speaker, parts=parts, preparation=preparation)
        for _ in tqdm(parallel_map(prepare, speakers, num_jobs), total=len(speakers), unit="speaker"):
            pass
        refusals = _left_out(sources, speakers)
        try:
            write_voices(folder, _accepted(speakers, parts, preparation, refusals))
        except VoicesError:
            _remove(parts)  # what was refused may be mended before the next run
            raise
        finally:
            _write_refusals(folder / "refused.tsv", refusals)
        _remove(parts)
    return refusals


def speech_regions(waveform: np.ndarray, preparation: Preparation) -> list[np.ndarray]:
    """Speech of a (num_samples,) float32 waveform: pauses longer than 0.3 s are cut out, regions are at one level.

    Voice activity is detected by Silero VAD (Silero Team, 2024, https://github.com/snakers4/silero-vad).
    """
    found = _silero().get_speech_timestamps(
        torch.from_numpy(waveform),
        _detector(),
        sampling_rate=SAMPLE_RATE,
        min_silence_duration_ms=1000 * LONGEST_PAUSE,
    )
    regions = [(region["start"], region["end"]) for region in found]
    if preparation.is_denoised:
        waveform = denoise(waveform, regions)
    return [to_level(waveform[start:end]) for start, end in regions]


@lru_cache(maxsize=1)
def _detector() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", FutureWarning)
        return _silero().load_silero_vad()


def _silero() -> Any:
    return dependency("silero_vad", "Finding speech needs silero-vad", "simulation")


def _prepare_speaker(recordings: Recordings, parts: Path, preparation: Preparation) -> None:
    """Write one speaker's regions and refusals, unless an earlier run did."""
    part = _part(parts, recordings, preparation)
    if part.exists():
        return
    regions: list[np.ndarray] = []
    refused: list[tuple[str, str]] = []
    for number, path in enumerate(recordings.paths):
        if sum(map(len, regions)) >= preparation.most_speech * SAMPLE_RATE:
            rest = len(recordings.paths) - number
            refused.append(("*", f"{rest} more recordings: {preparation.most_speech:g} s of speech are enough"))
            break
        try:
            regions += speech_regions(read_recording(path), preparation)
        except Exception as error:  # one bad recording must not stop the others, whatever is bad about it
            refused.append((str(path), " ".join(str(error).split()) or type(error).__name__))
    with atomic_write(part) as unfinished, unfinished.open("wb") as file:
        np.savez(
            file,
            samples=np.concatenate([np.zeros(0, dtype=np.int16), *regions]),
            lengths=np.array([len(region) for region in regions], dtype=np.int64),
            refused=np.array(refused, dtype=str).reshape(-1, 2),
        )


def _accepted(
    speakers: Iterable[Recordings], parts: Path, preparation: Preparation, refusals: list[Refusal]
) -> Iterator[tuple[str, str, str, list[np.ndarray]]]:
    """Speakers with enough speech, read back; refusals are added to the list on the way."""
    for recordings in speakers:
        with np.load(_part(parts, recordings, preparation)) as part:
            samples, lengths, refused = part["samples"], part["lengths"], part["refused"]
        refusals += [Refusal(recordings.speaker, path, reason) for path, reason in refused.tolist()]
        seconds = len(samples) / SAMPLE_RATE
        if seconds < MIN_SPEECH:
            reason = f"{seconds:.1f} s of speech, at least {MIN_SPEECH:.1f} s are needed"
            refusals.append(Refusal(recordings.speaker, "*", reason))
            continue
        regions = np.split(samples, np.cumsum(lengths)[:-1])
        yield recordings.speaker, recordings.corpus, recordings.split, regions


def _left_out(sources: Sequence[Path] | Path, speakers: Iterable[Recordings]) -> list[Refusal]:
    """Sound files in the sources that are no recordings of anybody."""
    taken = {path for recordings in speakers for path in recordings.paths}
    return [Refusal("*", str(path), why) for path, why in find_left_out(sources) if path not in taken]


def _part(parts: Path, recordings: Recordings, preparation: Preparation) -> Path:
    """File of a prepared speaker; another one if the recordings or the options of the preparation differ."""
    return parts / f"{seed_of(repr((recordings, preparation))):016x}.npz"


def _remove(parts: Path) -> None:
    """Remove what was prepared; of a folder on NFS or SMB, the lock, which is still open, may stay."""
    shutil.rmtree(parts, ignore_errors=True)


def _write_refusals(path: Path, refusals: Iterable[Refusal]) -> None:
    lines = [f"{refusal.speaker}\t{refusal.path}\t{refusal.reason}" for refusal in refusals]
    with atomic_write(path) as part:
        text = "\n".join(["speaker\tpath\treason", *lines]) + "\n"
        part.write_text(text, encoding="utf-8", errors="surrogateescape")  # names of files are any bytes
