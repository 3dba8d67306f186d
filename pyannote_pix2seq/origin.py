"""Record of what a folder was made from, so that files of different origins are not mixed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.errors import Pix2SeqError


class OriginError(Pix2SeqError, ValueError):
    """A note of an origin that cannot be read."""


def note_origin(note: Path, origin: Mapping[str, Any]) -> None:
    """Record what a folder is made from, unless a record exists already.

    Parameters
    ----------
    note : Path
        JSON file; its folder is created if it does not exist.
    origin : mapping
        Values that JSON can hold, by name.
    """
    if not note.exists():
        note.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(note) as part:
            part.write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")


def weights_digest(weights: Mapping[str, Tensor], what: str = "") -> str:
    """Short hash of weights, by their names, and of what they are the weights of."""
    digest = hashlib.sha256(what.encode())
    for name, weight in sorted(weights.items()):
        content = weight.detach().cpu().reshape(-1).view(torch.uint8)  # NumPy has no bfloat16
        digest.update(name.encode() + content.numpy().tobytes())
    return digest.hexdigest()[:16]


def changes(note: Path, origin: Mapping[str, Any], may_be_new: bool = False) -> list[str]:
    """Differences from the recorded origin, as phrases; none if there is no record. See `note_origin`.

    Parameters
    ----------
    note : Path
    origin : mapping
    may_be_new : bool, optional
        Whether names that are not in the record are no differences: an earlier version did not record them.

    Raises
    ------
    OriginError
        If the record is damaged.
    """
    if not note.exists():
        return []
    try:
        noted = {**json.loads(note.read_text(encoding="utf-8"))}
    except (TypeError, ValueError) as error:
        raise OriginError(f"{note} is damaged ({error}). Take another folder, or remove that of this file.") from error
    origin = json.loads(json.dumps(origin))  # tuples -> lists
    keys = noted if may_be_new else dict.fromkeys([*origin, *noted])
    both = ((key, noted.get(key), origin.get(key)) for key in keys)
    return [f"{key} was {before!r} and is {now!r}" for key, before, now in both if before != now]
