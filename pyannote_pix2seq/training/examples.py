"""Audio tokens of whole recordings, cached on disk so that a frozen frontend processes each recording once."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import numpy as np
import torch
from pyannote.core import Segment
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.audio.recording import excerpt
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.faults import OUT_OF_MEMORY
from pyannote_pix2seq.frontends import TOKEN_DURATION, AudioTokens, Frontend
from pyannote_pix2seq.joining import cropped
from pyannote_pix2seq.locking import alone
from pyannote_pix2seq.origin import changes, note_origin
from pyannote_pix2seq.training.reference import Reference
from pyannote_pix2seq.training.stretches import SHORTEST_STRETCH, Stretch, copy_of, stretches_of, warn_of_silent
from pyannote_pix2seq.vocabulary import Triplet

SHORTEST_PART = 1e-6
"""Seconds of a turn that have to be within the audio."""
TOGETHER = 8
"""Number of stretches that a GPU processes at once, at most."""

KEPT = ["content", "voice", "turns", "names", "seconds"]
"""Arrays that are stored of an example."""
PLACES = "database/uri@start.npz"
"""Where an example is stored."""


class CacheError(Pix2SeqError, ValueError):
    """A cache that was made from something else, or that has no usable examples."""


@dataclass(frozen=True)
class Example:
    """A stretch of a recording, with its turns.

    Attributes
    ----------
    uri : str
        Name of the recording, and start of the stretch.
    audio : AudioTokens
        (num_tokens, content_dim) and (num_tokens, num_voices, voice_dim), without a batch dimension.
    turns : list of Triplet
        In seconds from the start of the stretch, sorted, none beyond its audio; speakers are numbered but not in order.
    names : tuple of str
        Names of the speakers, by number. One person may have different names in different examples, but two people
        never share a name.
    """

    uri: str
    audio: AudioTokens
    turns: list[Triplet]
    names: tuple[str, ...]


class ExampleCache(Dataset):
    """A folder of examples, one file each.

    Parameters
    ----------
    folder : Path
        Created if it does not exist. A partly filled one is completed: existing examples are not computed again.
    frontend : Frontend
        If it is frozen, it has to have its final weights, and its tokens are stored. Otherwise waveforms are stored.
    source : str
        What the examples are made from, e.g. the name of the protocol. A cache made from another source or by other
        weights is refused.
    duration : float
        Longer recordings are cut into stretches of this many seconds.

    Raises
    ------
    CacheError
        If the folder holds examples of another source or another frontend.
    """

    def __init__(self, folder: Path, frontend: Frontend, source: str, duration: float):
        self.folder = folder
        self.frontend = frontend
        self.duration = duration
        heard_by = {"frontend": frontend.fingerprint, "kept": KEPT, "places": PLACES}
        origin = {"source": source, "duration": duration, **heard_by}
        if changed := changes(folder / "origin.json", origin):
            raise CacheError(
                f"{folder} was made from something else: {'; '.join(changed)}. Use another folder or delete it."
            )
        note_origin(folder / "origin.json", origin)
        self.paths = sorted(folder.rglob("*.npz"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Example:
        with np.load(self.paths[index]) as arrays:
            audio = AudioTokens(torch.from_numpy(arrays["content"]), torch.from_numpy(arrays["voice"]))
            turns = [Triplet(start, end, int(speaker)) for start, end, speaker in arrays["turns"].tolist()]
            names = tuple(arrays["names"].tolist())
        seconds = len(audio.content) * TOKEN_DURATION  # an annotation may go on beyond the audio
        return Example(unquote(self.paths[index].stem), audio, cropped(turns, 0.0, seconds, SHORTEST_PART), names)

    def fill(
        self,
        files: Iterable[Mapping[str, Any]],
        num_workers: int = 0,
        device: torch.device | None = None,
        each: Callable[[], Any] = lambda: None,
    ) -> None:
        """Compute the tokens of every stretch that has none yet, or was annotated otherwise.

        While another process fills the same folder, this one waits.

        Parameters
        ----------
        files : iterable of ProtocolFile
            With `uri`, `annotation`, `audio` or `waveform` and, unless all of it is annotated, `annotated`. Files of
            several databases may have the same uri.
        num_workers : int
            Processes that read or render audio, and compute tokens; 0 for this process alone.
        device : torch.device, optional
            GPU that computes tokens, of several stretches at once; the processes then only read or render.
        each : callable, optional
            Called after each stretch.

        Raises
        ------
        CacheError
            If there are no examples at all, or several files of a database have the same uri. A stretch that cannot be
            read, and a file nothing of which is annotated, is reported in a warning and skipped.
        """
        files = [file for file in files if file["uri"]]  # a blank line of a list has none
        names = Counter((file.get("database"), file["uri"]) for file in files)
        if twice := [uri for (_, uri), count in names.items() if count > 1]:
            raise CacheError(
                f"Several recordings are called {twice[0]}. List each recording once, and give each a uri of its own."
            )
        stretches = [
            stretch for file in files for stretch in stretches_of(file, self.duration, self.frontend.sample_rate)
        ]
        with alone(self.folder, is_patient=True):
            self._complete(stretches, num_workers, device, each)
        self.paths = [path for path in (self._path(*stretch) for stretch in stretches) if path.exists()]
        if not self.paths:
            raise CacheError(
                f"{self.folder}: none of {len(stretches)} stretches of audio gave an example. Each needs "
                f"{SHORTEST_STRETCH} s or more that can be read; warnings above say what is wrong with others."
            )
        warn_of_silent(stretches)

    def _complete(
        self, stretches: list[Stretch], num_workers: int, device: torch.device | None, each: Callable[[], Any]
    ) -> None:
        """Store the tokens of those stretches that have none, with a warning of each problem."""
        missing = [stretch for stretch in stretches if not self._is_stored(*stretch)]
        for stretch in missing:
            self._path(*stretch).unlink(missing_ok=True)
        done = self._compute_together(missing, num_workers, device) if device else self._compute(missing, num_workers)
        for problem in tqdm(done, f"audio tokens in {self.folder}", len(missing), disable=not missing):
            each()
            if problem:
                warnings.warn(problem, stacklevel=3)

    def _compute(self, stretches: list[Stretch], num_workers: int) -> Iterator[str | None]:
        """Store the tokens of stretches, in the processes that read them; yield the problem of each, or None."""
        for problem in DataLoader(_ComputedStretches(self, stretches), batch_size=None, num_workers=num_workers):
            if isinstance(problem, OSError):
                raise problem  # here, as PyTorch makes a traceback of what is raised in its processes
            yield problem

    def _compute_together(
        self, stretches: list[Stretch], num_workers: int, device: torch.device
    ) -> Iterator[str | None]:
        """Store the tokens of several stretches at once, which other processes read; yield as `_compute` does."""
        frontend = deepcopy(self.frontend).to(device)
        reading = iter(DataLoader(_Reading(self, stretches), batch_size=None, num_workers=num_workers))
        while some := list(islice(reading, TOGETHER)):
            yield from (read for read in some if isinstance(read, str))
            reads = sorted((read for read in some if isinstance(read, Read)), key=_length)
            for _, same in groupby(reads, _length):
                together = list(same)
                store(together, frontend, device)
                yield from [None] * len(together)

    def read(self, file: Mapping[str, Any], stretch: Segment) -> Read:
        """Read or render a stretch of a file."""
        waveform = excerpt(copy_of(file), stretch, self.frontend.sample_rate)
        self.frontend.check(waveform[None])
        return Read(self._path(file, stretch), waveform, Reference.of(file, stretch))

    def _is_stored(self, file: Mapping[str, Any], stretch: Segment) -> bool:
        """Whether there is an example of a stretch, of its length and with the turns that the file has now."""
        try:
            with np.load(self._path(file, stretch)) as arrays:
                stored = tuple(arrays[name].tolist() for name in Reference._fields)
            return stored == Reference.of(file, stretch)
        except OUT_OF_MEMORY:
            raise
        except Exception:  # NumPy raises anything on files that are damaged; `read` says what is wrong with references
            return False

    def _path(self, file: Mapping[str, Any], stretch: Segment) -> Path:
        folder = self.folder / quote(file.get("database") or "", safe="")
        name = file["uri"].replace("%", "%25").replace("/", "%2F")  # as `unquote` reads it
        return folder / f"{name}@{stretch.start:.2f}.npz"


class Read(NamedTuple):
    """A stretch that was read: path of its example, waveform (1, num_samples), and reference."""

    path: Path
    waveform: Tensor
    reference: Reference


class _Reading(Dataset):
    """Reads or renders stretches on demand; an item is what was read, or the problem."""

    def __init__(self, cache: ExampleCache, stretches: list[Stretch]):
        self.cache, self.stretches = cache, stretches

    def __len__(self) -> int:
        return len(self.stretches)

    def __getitem__(self, index: int) -> Read | str:
        try:
            return self.cache.read(*self.stretches[index])
        except (OSError, ValueError) as error:
            return f"{self.stretches[index][0]['uri']} is left out: {error}"


class _ComputedStretches(Dataset):
    """Stores the tokens of stretches on demand; an item is the problem, why nothing can be stored, or None."""

    def __init__(self, cache: ExampleCache, stretches: list[Stretch]):
        self.frontend, self.reading = cache.frontend, _Reading(cache, stretches)

    def __len__(self) -> int:
        return len(self.reading)

    def __getitem__(self, index: int) -> str | OSError | None:
        read = self.reading[index]
        if isinstance(read, str):
            return read
        try:
            store([read], self.frontend)
        except OSError as error:  # a full disk
            return error
        return None


def store(reads: Sequence[Read], frontend: Frontend, device: torch.device | None = None) -> None:
    """Compute and store the tokens of stretches of equal length."""
    with torch.inference_mode():
        kept = frontend.precompute(torch.stack([read.waveform for read in reads]).to(device))
    for read, content, voice in zip(reads, *(field.half().cpu().numpy() for field in kept), strict=True):
        read.path.parent.mkdir(exist_ok=True)
        with atomic_write(read.path) as part, part.open("wb") as handle:
            turns, names, seconds = read.reference
            np.savez(handle, content=content, voice=voice, turns=turns, names=np.array(names, str), seconds=seconds)


def _length(read: Read) -> int:
    return read.waveform.shape[-1]
