"""A store of single-speaker speech, cut at its pauses and brought to one level.

    folder/
      speech.int16    speech regions one after the other, 16 kHz
      voices.json     speaker -> corpus, split, [[offset, length], ...] in samples

`preparation.py` makes a store of recordings; `voices.py` draws from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.simulation.level import rms

SPEECH_FILE = "speech.int16"
PARTS = ".speakers"
"""Folder of the speakers that `preparation.py` has prepared so far."""
INDEX_FILE = "voices.json"

LEVEL = 10 ** (-26 / 20)
"""Root mean square of every speech region: -26 dBFS, the usual active level of telephony (ITU-T P.56)."""


class VoicesError(Pix2SeqError, ValueError):
    """A store of voices that is missing or damaged, or does not have what is asked of it."""


@dataclass(frozen=True)
class Voice:
    """One speaker of a store.

    Attributes
    ----------
    corpus, split : str
    regions : (num_regions, 2) int64
        Offset and length of each speech region, in samples.
    """

    corpus: str
    split: str
    regions: np.ndarray


def check_store(folder: Path) -> None:
    """Check that a folder has no other file of the name of one of a store, which would be replaced.

    Raises
    ------
    VoicesError
        If it has.
    """
    if (folder / INDEX_FILE).exists():
        read_index(folder)
    elif (folder / SPEECH_FILE).exists() and not (folder / PARTS).exists():
        raise VoicesError(f"{folder / SPEECH_FILE} is no store's and would be replaced. Name another folder.")


def write_voices(folder: Path, voices: Iterable[tuple[str, str, str, Sequence[np.ndarray]]]) -> None:
    """Write a store.

    Parameters
    ----------
    folder : Path
        Created if it does not exist. A store that is already there is replaced when the new one is complete; between
        its two files, there is none, so that an interruption never leaves the speech of one with the index of another.
    voices : iterable of (speaker, corpus, split, regions)
        Regions are (num_samples,) int16, see `to_level`.

    Raises
    ------
    VoicesError
        If there is no speaker at all, one is given twice, or one has no speech.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / INDEX_FILE) as index_part, atomic_write(folder / SPEECH_FILE) as speech_part:
        with speech_part.open("wb") as file:
            index = _write_speech(file, voices)
        if not index:
            raise VoicesError(
                f"No speaker is left to be kept in {folder}. If recordings were refused, refused.tsv says why."
            )
        index_part.write_text(json.dumps({"sample_rate": SAMPLE_RATE, "speakers": index}))
        (folder / INDEX_FILE).unlink(missing_ok=True)  # or, if this is killed now, it would be read with other speech


def _write_speech(
    file: BinaryIO, voices: Iterable[tuple[str, str, str, Sequence[np.ndarray]]]
) -> dict[str, dict[str, Any]]:
    """Write the speech of all speakers, and return the entry of each in the index; see `write_voices`."""
    index: dict[str, dict[str, Any]] = {}
    offset = 0
    for speaker, corpus, split, regions in voices:
        if speaker in index:
            raise VoicesError(f"Speaker {speaker!r} comes twice. Give every speaker one name and one corpus.")
        if not any(map(len, regions)):
            raise VoicesError(f"Speaker {speaker!r} has no speech. Leave out whoever says nothing.")
        placed = []
        for region in regions:
            file.write(region.tobytes())
            placed.append((offset, len(region)))
            offset += len(region)
        index[speaker] = {"corpus": corpus, "split": split, "regions": placed}
    return index


def to_level(region: np.ndarray) -> np.ndarray:
    """Scale a (num_samples,) float waveform to `LEVEL`, as int16; rare peaks above full scale are clipped."""
    return np.clip(region * (LEVEL / max(rms(region), 1e-6) * 32768), -32768, 32767).astype(np.int16)


def read_index(folder: Path) -> dict[str, Voice]:
    """Voices of a store by speaker.

    Raises
    ------
    VoicesError
        If there is no store in the folder, or it is damaged.
    """
    try:
        speakers = json.loads((folder / INDEX_FILE).read_text())["speakers"]
        return {speaker: _voice(entry) for speaker, entry in speakers.items()}
    except FileNotFoundError as error:
        raise VoicesError(
            f"No {INDEX_FILE} in {folder}: not a store of voices. Make one with recipes/prepare_voices.py."
        ) from error
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise VoicesError(
            f"{folder / INDEX_FILE} is damaged ({error!r}), or no store's. Prepare voices in another folder, or "
            f"remove it."
        ) from error


def _voice(entry: Mapping[str, Any]) -> Voice:
    regions = np.array(entry["regions"], dtype=np.int64).reshape(-1, 2)
    return Voice(entry["corpus"], entry["split"], regions)


def check_size(path: Path, voices: Mapping[str, Voice]) -> None:
    """Check that the speech file is complete: a truncated one would give other speech, or none.

    Raises
    ------
    VoicesError
        If it is missing or too short.
    """
    num_samples = max((int(voice.regions.sum(axis=1).max()) for voice in voices.values()), default=0)
    size, needed = path.stat().st_size if path.is_file() else 0, num_samples * np.dtype(np.int16).itemsize
    if size < needed:
        raise VoicesError(f"{path} has {size} bytes of {needed}: it is damaged. Prepare the voices again.")
