"""What options of acoustics may be."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import soundfile

from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.numeric import is_number, is_whole
from pyannote_pix2seq.simulation.codec import FILES, TELEPHONES

Range = tuple[float, float]

LIMITS: dict[str, Range] = {
    "loudness": (0, 20),
    "quiet": (0, 40),
    "drift": (0, 10),
    "speed": (0.5, 2),
    "pitch": (-12, 12),
    "rt60": (0.05, 3),
    "near": (0.1, 20),
    "distant": (0.1, 20),
    "signal_to_noise": (-30, 100),
    "signal_to_crowd": (-30, 100),
    "crowd_size": (1, 100),
    "clipping": (0, 60),
    "peak": (-60, 0),
    "compression": (0, 0.99),
}
"""Allowed values, both ends included; probabilities are between 0 and 1."""


class AcousticsError(Pix2SeqError, ValueError):
    """Invalid options of acoustics."""


def check_limits(acoustics: Any) -> None:
    """Check all numbers, ranges and codecs of an `Acoustics`.

    Raises
    ------
    AcousticsError
        If one of them is not allowed.
    """
    for field in fields(acoustics):
        value = getattr(acoustics, field.name)
        if field.name.endswith("_probability"):
            _check_number(field.name, value, (0, 1))
        elif field.name in LIMITS:
            check = _check_number if isinstance(field.default, float) else _check_range
            check(field.name, value, LIMITS[field.name])
    if not all(is_whole(number, 1) for number in acoustics.crowd_size):
        raise AcousticsError(f"crowd_size={acoustics.crowd_size!r}: it must be two whole numbers.")
    _check_codecs("telephones", acoustics.telephones, TELEPHONES)
    _check_codecs("codecs", acoustics.codecs, FILES)


def _check_number(name: str, value: Any, limits: Range) -> None:
    if not is_number(value, limits[0]) or value > limits[1]:
        raise AcousticsError(f"{name}={value!r}: it must be a number from {limits[0]} to {limits[1]}.")


def _check_range(name: str, value: Any, limits: Range) -> None:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise AcousticsError(f"{name}={value!r}: it must be two numbers, the lowest and the highest.")
    for number in value:
        _check_number(name, number, limits)
    if value[0] > value[1]:
        raise AcousticsError(f"{name}={value!r}: the first number must not be above the second.")


def _check_codecs(name: str, value: Any, known: dict[str, tuple[str, str]]) -> None:
    if not isinstance(value, (tuple, list)) or not value or not set(value) <= set(known):
        raise AcousticsError(f"{name}={value!r}: it must be one or more of {', '.join(known)}.")
    missing = [codec for codec in value if not soundfile.check_format(*known[codec])]
    if missing:
        raise AcousticsError(
            f"{name}={value!r}: libsndfile {soundfile.__libsndfile_version__} here lacks {', '.join(missing)}. "
            f"Leave them out, or install the wheel of soundfile from PyPI, which has them all."
        )
