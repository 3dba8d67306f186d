"""Layouts of single-speaker corpora: where the recordings are, and who speaks in them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyannote_pix2seq.audio.files import CONVERT
from pyannote_pix2seq.errors import Pix2SeqError, missing
from pyannote_pix2seq.simulation.folder import files_below
from pyannote_pix2seq.simulation.recording import AUDIO_SUFFIXES, find_recordings
from pyannote_pix2seq.simulation.seed import seed_of
from pyannote_pix2seq.simulation.table import read_table

SPLITS = ("train", "dev", "test")
Row = tuple[str, str, str, Path, Path | None]
"""Speaker, corpus, split and path; the folder or manifest that has the speaker, unless the corpus is known by name."""

UNREAD_SUFFIXES = frozenset(
    {".3gp", ".aac", ".aif", ".aiff", ".amr", ".au", ".caf", ".m4a", ".m4b", ".mka", ".mp4", ".webm", ".wma"}
)
"""Suffixes of sound files that are not taken."""


class LayoutError(Pix2SeqError, ValueError):
    """Recordings that are missing, or whose speakers are not known."""


@dataclass(frozen=True)
class Recordings:
    """All recordings of one speaker.

    Attributes
    ----------
    speaker, corpus, split : str
        Names; the split is one of `SPLITS`.
    paths : tuple of Path
    """

    speaker: str
    corpus: str
    split: str
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Layout:
    """How the files of a corpus are named.

    Attributes
    ----------
    people : str
        Source of its speaker numbers: reader 19 is one person in all corpora made from LibriVox.
    example : str
        A file.
    pattern : str
        Regular expression for the end of a path, with a group `speaker`; a file with a group `copy` was recorded by a
        second microphone.
    """

    people: str
    example: str
    pattern: str

    def match(self, path: str) -> re.Match[str] | None:
        """Match the pattern with a path that has `/` between its parts."""
        return re.search(f"(?:^|/){self.pattern}[.][^./]+$", path)


LAYOUTS = {
    "librispeech": Layout(
        "librivox", "19/198/19-198-0000.flac", r"(?P<speaker>\d+)/(?P<chapter>\d+)/(?P=speaker)-(?P=chapter)-\d+"
    ),
    "libritts": Layout(
        "librivox",
        "19/198/19_198_000000_000000.wav",
        r"(?P<speaker>\d+)/(?P<chapter>\d+)/(?P=speaker)_(?P=chapter)_\w+",
    ),
    "librilight": Layout(
        "librivox", "small/19/a_book/a_chapter.flac", r"(?:small|medium|large|duplicate)/(?P<speaker>\d+)/[^/]+/[^/]+"
    ),
    "vctk": Layout(
        "vctk",
        "wav48_silence_trimmed/p225/p225_001_mic1.flac",
        r"wav48(?:_silence_trimmed)?/(?P<speaker>[ps]\d+)/(?P=speaker)_\d+(?:_mic1|(?P<copy>_mic2))?",
    ),
}
"""Corpora that are recognised by their file names."""

AUTO, COMMON_VOICE, SPEAKERS = "auto", "commonvoice", "speakers"
CHOICES = (AUTO, *LAYOUTS, COMMON_VOICE, SPEAKERS)


def find_speakers(sources: Sequence[Path] | Path, layout: str = AUTO) -> list[Recordings]:
    """Speakers of manifests and folders.

    Parameters
    ----------
    sources : Path or sequence of Path
        Manifests: tab-separated values with columns speaker, path (relative to the manifest's folder) and, if there
        are any, corpus and split. Folders: LibriSpeech, LibriTTS, Libri-light, VCTK, Common Voice, or one folder per
        speaker (`{speaker}/**`).
    layout : str
        One of `CHOICES`. "auto" recognises a folder by its file names; with another layout, only files that are named
        like it are taken.

    Returns
    -------
    speakers : list of Recordings
        Sorted by name. The split depends on the name alone, unless a manifest says otherwise. One name is one speaker
        in all corpora, and is in one split. A recording that two sources have is taken once.

    Raises
    ------
    LayoutError
        If there is no recording, a manifest lacks a column, a cell or a file, a speaker has two splits or may be two
        people, as their names are in two folders, or a folder holds more than one corpus.
    """
    if layout not in CHOICES:
        raise LayoutError(f"There is no layout {layout!r}. There are {', '.join(CHOICES)}.")
    homes: dict[str, tuple[str, str]] = {}
    places: dict[str, Path | None] = {}
    paths: dict[str, dict[str, Path]] = {}
    for source in [sources] if isinstance(sources, Path) else sources:
        for speaker, corpus, split, path, place in _rows(source, layout):
            home = homes.setdefault(speaker, (corpus, split))
            if (_people(corpus), split) != (_people(home[0]), home[1]):
                raise LayoutError(
                    f"{source}: speaker {speaker!r} is in {home} and in {(corpus, split)} (corpus, split). "
                    f"Names must be unique over corpora and a speaker belongs to one split."
                )
            there = places.get(speaker)
            if there and place and there != place:
                raise LayoutError(
                    f"{source}: speaker {speaker!r} is in {there} and in {place}: two people? Rename one or, if they "
                    f"are one, name the corpus in a manifest of both."
                )
            places[speaker] = there or place
            paths.setdefault(speaker, {}).setdefault(os.path.realpath(path), path)
    return [Recordings(speaker, *homes[speaker], tuple(paths[speaker].values())) for speaker in sorted(homes)]


def find_left_out(sources: Sequence[Path] | Path) -> Iterator[tuple[Path, str]]:
    """Sound files of folders that are no recordings of a speaker, sorted, and why: their format or their place."""
    for folder in filter(Path.is_dir, [sources] if isinstance(sources, Path) else sources):
        for path in files_below(folder):
            suffix = path.suffix.lower()
            if suffix in UNREAD_SUFFIXES:
                yield path, f"{suffix} files are not taken, only {', '.join(sorted(AUDIO_SUFFIXES))}: {CONVERT}"
            elif suffix in AUDIO_SUFFIXES and path.parent == folder:
                yield path, f"it lies in {folder} itself, not in a folder of a speaker: move it into one"


def split_of(speaker: str) -> str:
    """One speaker in ten goes to "dev", one to "test", the others to "train"; always the same for the same name."""
    return {0: "dev", 1: "test"}.get(seed_of(speaker) % 10, "train")


def _rows(source: Path, layout: str) -> list[Row]:
    """Rows of a source, at least one."""
    if not source.exists():
        raise LayoutError(missing(source, "file or folder"))
    if source.is_file():
        rows = list(_read_manifest(source))
    elif layout == COMMON_VOICE or (layout == AUTO and _clips(source)):
        rows = list(_read_common_voice(source))
    else:
        rows = list(_scan(source, layout))
    if not rows:
        raise LayoutError(_nothing_in(source))
    return rows


def _nothing_in(source: Path) -> str:
    """What to say of a source without recordings of speakers."""
    left_out = list(find_left_out(source))
    if not left_out:
        return f"No recording in {source}. Give a manifest, or a folder with one folder a speaker."
    path, why = left_out[0]
    files = "one sound file" if len(left_out) == 1 else f"{len(left_out)} sound files, the first"
    return f"No recording in {source} can be taken. It has {files} {path.relative_to(source)}: {why}"


def _people(corpus: str) -> str:
    return LAYOUTS[corpus].people if corpus in LAYOUTS else corpus


def _read_manifest(manifest: Path) -> Iterator[Row]:
    for where, row in read_table(manifest, ("speaker", "path"), LayoutError):
        speaker, path = row["speaker"], manifest.parent / row["path"]
        if not path.is_file():
            raise LayoutError(
                f"{where}: speaker {speaker!r} has a recording {path}, and there is no such file. Paths are relative "
                f"to {manifest.parent}."
            )
        if speaker != speaker.encode(errors="ignore").decode():
            raise LayoutError(f"{where}: speaker {speaker!r} is not written in UTF-8. Save the manifest in UTF-8.")
        split = row.get("split") or split_of(speaker)
        if split not in SPLITS:
            raise LayoutError(
                f"{where}: speaker {speaker!r} is of split {split!r}. Splits are {', '.join(SPLITS)}; leave it empty "
                f"to have the name decide."
            )
        corpus = row.get("corpus")
        yield speaker, corpus or manifest.stem, split, path, None if corpus else manifest.resolve()


def _scan(folder: Path, layout: str) -> Iterator[Row]:
    """Recordings of a folder, by their file names."""
    names = {path: f"{folder.resolve().name}/{path.relative_to(folder).as_posix()}" for path in find_recordings(folder)}
    if layout == AUTO:
        layout = _recognise(folder, names.values())
    if layout == SPEAKERS:
        yield from _scan_speakers(folder, names)
        return
    found = [(path, match) for path, name in names.items() if (match := LAYOUTS[layout].match(name))]
    if names and not found:
        raise LayoutError(f"No recording in {folder} is named like {LAYOUTS[layout].example}, as {layout} has it.")
    for path, match in found:
        speaker = f"{LAYOUTS[layout].people}-{match['speaker']}"
        if not match.groupdict().get("copy"):
            yield speaker, layout, split_of(speaker), path, None


def _scan_speakers(folder: Path, paths: Iterable[Path]) -> Iterator[Row]:
    for path in paths:
        speaker = path.relative_to(folder).parts[0]
        if path.parent == folder:
            continue
        if not speaker.isprintable():
            raise LayoutError(f"{str(folder)!r}: the folder of speaker {speaker!r} has no printable name. Rename it.")
        yield speaker, folder.resolve().name, split_of(speaker), path, (folder / speaker).resolve()


def _recognise(folder: Path, names: Iterable[str]) -> str:
    """The one layout that all files follow."""
    known = Counter(next((key for key, layout in LAYOUTS.items() if layout.match(name)), SPEAKERS) for name in names)
    if len(known) > 1:
        found = ", ".join(f"{number} like {layout}" for layout, number in known.most_common())
        raise LayoutError(
            f"{folder} holds recordings of more than one kind: {found} ('{SPEAKERS}' is one folder a speaker). "
            f"Give each corpus by itself, or choose a layout."
        )
    return next(iter(known), SPEAKERS)


def _clips(folder: Path) -> list[Path]:
    """Folders of Common Voice clips, of one language or of several."""
    return [clips for pattern in ("clips", "*/clips") for clips in sorted(folder.glob(pattern)) if clips.is_dir()]


def _read_common_voice(folder: Path) -> Iterator[Row]:
    """Validated clips; speakers are identified by the hash that is their `client_id`, in all languages and releases."""
    for clips in _clips(folder):
        table = clips.parent / "validated.tsv"
        if not table.is_file():
            raise LayoutError(
                f"There is {clips} and no {table}, which tells who speaks in Common Voice's clips. If {folder} has a "
                f"folder for each speaker, say so: layout {SPEAKERS}."
            )
        for where, row in read_table(table, ("client_id", "path"), LayoutError, has_quotes=False):
            client, path = row["client_id"][:16], clips / row["path"]
            if not path.is_file():
                raise LayoutError(f"{where}: client {client} has a clip {path}: there is no such file.")
            speaker = f"{COMMON_VOICE}-{client}"
            yield speaker, COMMON_VOICE, split_of(speaker), path, None
