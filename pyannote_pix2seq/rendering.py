"""Simulated conversations rendered to files, for tools that need files, with a database.yml that registers them.

folder/database.yml                      for pyannote.database
folder/NAME/wav/URI.wav                  16 kHz, 16 bits, one channel
folder/NAME/SUBSET.{lst,rttm,uem,map}    uris, turns, annotated regions, style of labels
folder/NAME/origin.json                  what it was made from
folder/NAME/SHA256SUMS                   for `sha256sum -c`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from pyannote_pix2seq.atomic import atomic_write, part_of
from pyannote_pix2seq.audio.writing import write
from pyannote_pix2seq.locking import LOCK, alone
from pyannote_pix2seq.origin import changes, note_origin
from pyannote_pix2seq.parallel import parallel_map
from pyannote_pix2seq.protocol import DATABASE, ENDLESS, SCOPE, SUBSETS, TASK, SyntheticProtocol, annotate
from pyannote_pix2seq.simulation import Conversation, Simulator
from pyannote_pix2seq.simulation.labels import HEARD, Labels
from pyannote_pix2seq.verification import REGISTRY, RenderingError, folder_of, verify

ORIGIN = "origin.json"
HEAD = "# Written by recipes/render.py"
SUFFIXES = {"uri": "lst", "annotation": "rttm", "annotated": "uem", "labels": "map"}
"""Key of a protocol's files -> suffix of the list that holds it."""

Place = tuple[str, int]  # subset and number of a conversation


def render(protocol: SyntheticProtocol, into: Path | str, origin: Mapping[str, Any], num_jobs: int = 1) -> float:
    """Render a protocol as `into/NAME`, register it in `into/database.yml`, read it back and compare.

    Recordings of an interrupted run are not rendered again, except for the first, to check that rendering still gives
    the same bytes. While another process renders into `into/NAME`, this one waits.

    Parameters
    ----------
    protocol : SyntheticProtocol
        Of finite size.
    into : Path or str
        Created if it does not exist.
    origin : mapping
        Everything that the protocol is made from, saved as JSON.
    num_jobs : int
        Number of processes that render.

    Returns
    -------
    hours : float
        Total duration of the audio.

    Raises
    ------
    RenderingError
        If the protocol does not end, or the folder holds something else, a protocol of another origin, a damaged one,
        or a database.yml that was not written by this module. The message names it.
    """
    into = Path(into)
    folder = folder_of(protocol, into)
    _check(protocol, into, origin)  # before anything is written
    with alone(folder, is_patient=True):
        _check(protocol, into, origin)  # what another process has rendered meanwhile
        note_origin(folder / ORIGIN, origin)
        _write_recordings(protocol, folder, num_jobs)
        for subset in SUBSETS:
            _write_lists(protocol, folder, subset)
        with alone(into, is_patient=True):  # other protocols are registered there, too
            _write_registry(into)
        return verify(protocol, into)


def record(conversation: Conversation, simulator: Simulator, folder: Path, labels: Labels = HEARD) -> Path:
    """Write a conversation as `URI.wav` and `URI.rttm`.

    The audio is not rendered again if, according to `URI.sha256`, it was rendered from the same conversation by the
    same voices and acoustics, see `Simulator.digest`. While another process records into that folder, this one waits.

    Returns
    -------
    audio : Path
        Path of the wav file.
    """
    audio, rttm = (folder / f"{conversation.uri}.{suffix}" for suffix in ("wav", "rttm"))
    note = folder / f"{conversation.uri}.sha256"
    digest = simulator.digest(conversation)
    with alone(folder, is_patient=True):
        with atomic_write(rttm) as part:
            part.write_text(annotate(conversation, labels).to_rttm(), encoding="utf-8")
        if not audio.exists() or not note.exists() or note.read_text() != digest:
            note.unlink(missing_ok=True)  # or it would vouch for other audio if this is interrupted
            with atomic_write(audio) as part:
                write(part, simulator.render(conversation)[0])
            note.write_text(digest)
    return audio


def registration(subsets: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Contents of a database.yml that registers rendered protocols, whose folders are beside it.

    Parameters
    ----------
    subsets : mapping of str to iterable of str
        Subsets of each protocol, by its name.
    """
    protocols: dict[str, dict[str, Any]] = {}
    for name, there in subsets.items():
        protocols[name] = {"scope": SCOPE}
        for subset in there:
            lists = {key: f"{name}/{subset}.{suffix}" for key, suffix in SUFFIXES.items()}
            protocols[name][subset] = lists
    recordings = [f"{name}/wav/{{uri}}.wav" for name in subsets]
    return {"Databases": {DATABASE: recordings}, "Protocols": {DATABASE: {TASK: protocols}}}


def _path(folder: Path, uri: str) -> Path:
    return folder / "wav" / f"{uri}.wav"


def _check(protocol: SyntheticProtocol, into: Path, origin: Mapping[str, Any]) -> None:
    """Refuse what `render` refuses."""
    folder = folder_of(protocol, into)
    note = folder / ORIGIN
    if ENDLESS in protocol.sizes.values():
        raise RenderingError(f"{protocol} cannot be rendered: it does not end. Say how many conversations you want.")
    _check_registry(into)
    if not note.exists() and folder.is_dir() and {*folder.iterdir()} - {part_of(note), folder / LOCK}:
        raise RenderingError(f"{folder} holds something else, which may be replaced. Render into another folder.")
    if changed := changes(note, origin):
        raise RenderingError(
            f"{folder} was rendered from something else: {'; '.join(changed)}. Use another folder or delete this one."
        )


def _write_recordings(protocol: SyntheticProtocol, folder: Path, num_jobs: int) -> None:
    """Render the conversations that are not there yet, and compare the first of those that are."""
    (folder / "wav").mkdir(exist_ok=True)
    places = [(subset, number) for subset in SUBSETS for number in range(protocol.sizes[subset])]
    there = {path.stem for path in (folder / "wav").glob("*.wav")}
    missing = [place for place in places if protocol.uri(*place) not in there]
    if len(missing) < len(places):
        _check_bytes(protocol, folder, next(place for place in places if protocol.uri(*place) in there))
    write_one = partial(_write_recording, protocol, folder)
    for _ in tqdm(parallel_map(write_one, missing, num_jobs), total=len(missing), desc=protocol.name, unit="recording"):
        pass


def _write_recording(protocol: SyntheticProtocol, folder: Path, place: Place) -> None:
    """Render one conversation to a file, atomically."""
    with atomic_write(_path(folder, protocol.uri(*place))) as part:
        part.write_bytes(_recording(protocol, place))


def _recording(protocol: SyntheticProtocol, place: Place) -> bytes:
    """Render one conversation to the bytes of a wav file."""
    file = BytesIO()
    write(file, protocol.file(*place)["waveform"][0].numpy())
    return file.getvalue()


def _check_bytes(protocol: SyntheticProtocol, folder: Path, place: Place) -> None:
    """Render a conversation again, and compare it with the file that an earlier run wrote."""
    path = _path(folder, protocol.uri(*place))
    if path.read_bytes() != _recording(protocol, place):
        raise RenderingError(
            f"{path} is not how this conversation sounds now: another version of this package or of its dependencies "
            f"made it, or it is damaged. Use another folder, or delete {folder} to render all of it again."
        )


def _write_lists(protocol: SyntheticProtocol, folder: Path, subset: str) -> None:
    """Write the lists of a subset, or remove them if it has no conversation."""
    paths = {key: folder / f"{subset}.{suffix}" for key, suffix in SUFFIXES.items()}
    if not protocol.sizes[subset]:
        for path in paths.values():
            path.unlink(missing_ok=True)
        return
    with ExitStack() as stack:
        parts = {key: stack.enter_context(atomic_write(path)) for key, path in paths.items()}
        lists = {key: stack.enter_context(part.open("w", encoding="utf-8")) for key, part in parts.items()}
        for file in getattr(protocol, subset)():
            lists["uri"].write(f"{file['uri']}\n")
            lists["annotation"].write(file["annotation"].to_rttm())
            lists["annotated"].write(file["annotated"].to_uem())
            lists["labels"].write(f"{file['uri']} {file['labels']}\n")


def _check_registry(into: Path) -> None:
    """Refuse to replace a database.yml that this module did not write."""
    path = into / REGISTRY
    if path.exists() and not path.read_bytes().startswith(HEAD.encode()):
        raise RenderingError(
            f"{path} registers something else, and would be replaced. Render into another folder: a database.yml can "
            f"name another one under `Requirements`."
        )


def _write_registry(into: Path) -> None:
    """Write a database.yml that registers all protocols rendered into a folder."""
    folders = sorted(note.parent for note in into.glob(f"*/{ORIGIN}"))
    subsets = {path.name: [subset for subset in SUBSETS if (path / f"{subset}.lst").exists()] for path in folders}
    text = yaml.safe_dump(registration(subsets), sort_keys=False)
    with atomic_write(into / REGISTRY) as part:
        part.write_text(f"{HEAD}\n{text}", encoding="utf-8")
