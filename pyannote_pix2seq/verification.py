"""Rendered protocols (see `rendering.py`), read back and compared with what they should be."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

import soundfile
from pyannote.core import Annotation
from pyannote.database import FileFinder, ProtocolFile
from pyannote.database.registry import Registry

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.digest import file_digest
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.protocol import SyntheticProtocol

SUMS, REGISTRY = "SHA256SUMS", "database.yml"


class RenderingError(Pix2SeqError, ValueError):
    """A protocol that cannot be rendered, or rendered files that are not what they should be."""


def folder_of(protocol: SyntheticProtocol, into: Path) -> Path:
    """Folder of a protocol that is rendered into another one."""
    return into / protocol.name.rpartition(".")[2]


def verify(protocol: SyntheticProtocol, into: Path) -> float:
    """Read a rendered protocol with pyannote.database, and compare it with what it should be.

    Returns
    -------
    hours : float
        Total duration of the audio.

    Raises
    ------
    RenderingError
        If a recording or a turn is missing, or not what it should be. The message names it.
    """
    registry = Registry()
    registry.load_database(into / REGISTRY)
    rendered = registry.get_protocol(protocol.name, preprocessors={"audio": FileFinder(registry)})
    sums = folder_of(protocol, into) / SUMS
    known, seconds = _read_sums(sums), 0.0
    for subset in (subset for subset, size in protocol.sizes.items() if size):
        for expected, found in zip_longest(getattr(protocol, subset)(), getattr(rendered, subset)()):
            if expected is None or found is None:
                raise RenderingError(
                    f"{(expected or found)['uri']} is {'missing' if found is None else 'one too many'} in the {subset} "
                    f"list of {protocol.name}. Run again: lists are written anew."
                )
            _compare(expected, found)
            digest = file_digest(found["audio"])
            if known.setdefault(found["uri"], digest) != digest:
                raise RenderingError(f"{found['audio']} has changed since it was rendered. Delete it and run again.")
            seconds += found["annotated"].duration()
    with atomic_write(sums) as part:
        part.write_text(
            "".join(f"{digest}  wav/{uri}.wav\n" for uri, digest in sorted(known.items())), encoding="utf-8"
        )
    return seconds / 3600


def _compare(expected: ProtocolFile, found: ProtocolFile) -> None:
    """Compare a rendered file of a protocol with what was to be rendered."""
    for key in ("uri", "database", "subset", "scope", "labels"):
        if found[key] != expected[key]:
            raise RenderingError(f"{found['uri']}: {key} is {found[key]!r}, not {expected[key]!r}.")
    for key in ("annotation", "annotated"):
        different = sorted(_milliseconds(expected[key]) ^ _milliseconds(found[key]), key=str)
        if different:
            raise RenderingError(
                f"{found['uri']}: {key} is not what was written; the first difference is {different[0]} "
                f"(from, to, who; in ms). Was it changed? Delete it, and render it again."
            )
    audio = soundfile.info(found["audio"])
    form = (audio.channels, audio.frames, audio.samplerate)
    wanted = (1, round(expected["annotated"].duration() * SAMPLE_RATE), SAMPLE_RATE)
    if form != wanted:
        raise RenderingError(
            f"{found['audio']} has {form}, not {wanted} (channels, samples, sample rate). Delete it and run again."
        )


def _milliseconds(turns: Any) -> set[tuple[Any, ...]]:
    """Segments in milliseconds, with their labels."""
    tracks = turns.itertracks(yield_label=True) if isinstance(turns, Annotation) else ((part, 0, "") for part in turns)
    return {(_written(segment.start), _written(segment.end), label) for segment, _, label in tracks}


def _written(seconds: float) -> int:
    """Milliseconds, rounded as in RTTM and UEM: 1000 times a number may be half a millisecond where it is not."""
    return round(1000 * round(seconds, 3))


def _read_sums(path: Path) -> dict[str, str]:
    """Hash of each recording that an earlier run verified, by uri."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return {Path(name).stem: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except ValueError as error:
        raise RenderingError(f"{path} is damaged. Delete it and run again: it is written anew.") from error
