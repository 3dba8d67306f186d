"""Folders that are searched, links to other folders included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """Files anywhere below a folder, sorted.

    Links to folders are followed, after what lies in the folder itself: no folder is read twice, and none because of a
    link in it that points back up to it.
    """
    found: list[Path] = []
    seen: set[str] = set()
    tops = [str(folder)]
    for top in tops:  # which grows
        for place, folders, names in os.walk(top):
            real = os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            found += (Path(place, name) for name in names)
            tops += _links(place, real, folders)
    return sorted(found)


def _links(place: str, real: str, folders: list[str]) -> Iterator[str]:
    """Links in a place, of this real path, that lead to folders which it does not lie in, sorted."""
    for link in sorted(os.path.join(place, name) for name in folders):
        if os.path.islink(link) and not Path(real).is_relative_to(os.path.realpath(link)):
            yield link
