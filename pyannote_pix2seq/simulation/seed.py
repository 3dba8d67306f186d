"""Seeds that are the same in every process."""

from __future__ import annotations

import hashlib


def seed_of(text: str) -> int:
    """64-bit seed made from a text, for `np.random.default_rng`; unlike `hash`, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
