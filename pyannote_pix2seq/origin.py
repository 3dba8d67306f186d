"""What a folder was made from: what is made from something else does not belong into it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyannote_pix2seq.atomic import atomic_write


def changes(note: Path, origin: Mapping[str, Any]) -> list[str]:
    """Note what a folder is made from, where that is not noted yet; what has changed since, as phrases.

    Parameters
    ----------
    note : Path
        A file of JSON; its folder is made where it is missing.
    origin : mapping
        What JSON can hold, by name.
    """
    origin = json.loads(json.dumps(origin))  # tuples -> lists
    if not note.exists():
        note.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(note) as part:
            part.write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
    noted = json.loads(note.read_text(encoding="utf-8"))
    return [f"{key} was {noted.get(key)!r} and is {origin[key]!r}" for key in origin if noted.get(key) != origin[key]]
