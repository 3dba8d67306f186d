"""Digests of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

BLOCK = 2**20
"""Bytes of a file that are hashed at a time."""


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Digest of the contents of a file of any size, as sha256sum gives it, or md5sum for "md5"."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
