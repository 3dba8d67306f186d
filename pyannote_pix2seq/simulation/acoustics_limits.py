"""What options of acoustics may be."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

import soundfile

from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.numeric import check_ranges, is_number, is_probability, is_whole
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
CODECS = {"telephones": TELEPHONES, "codecs": FILES}
"""Codecs that each option may name."""


class AcousticsError(Pix2SeqError, ValueError):
    """Invalid options of acoustics."""


def check_limits(acoustics: Any) -> None:
    """Check all numbers, ranges and codecs of an `Acoustics`.

    Raises
    ------
    AcousticsError
        If one of them is not allowed.
    """
    ranges = {field.name: _checked(field, getattr(acoustics, field.name)) for field in fields(acoustics)}
    check_ranges("Acoustics", vars(acoustics), ranges, AcousticsError)
    _check_built({*acoustics.telephones, *acoustics.codecs})


def _checked(field: Field, value: Any) -> tuple[bool, str]:
    """Whether the value of an option is allowed, and what is."""
    if field.name.endswith("_probability"):
        return is_probability(value), "a number from 0 to 1"
    if field.name in CODECS:
        known = CODECS[field.name]
        return bool(_is_sequence(value) and value and {*value} <= {*known}), f"one or more of {', '.join(known)}"
    if field.name not in LIMITS:
        return True, "anything"
    least, most = LIMITS[field.name]
    if isinstance(field.default, float):
        return is_number(value, least) and value <= most, f"a number from {least} to {most}"
    is_pair = _is_sequence(value) and len(value) == 2 and all(is_number(number, least) for number in value)
    is_count = field.name == "crowd_size"
    is_range = is_pair and value[0] <= value[1] <= most and (not is_count or all(is_whole(n, 1) for n in value))
    return is_range, f"two {'whole ' * is_count}numbers from {least} to {most}, the lowest first"


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (tuple, list))


def _check_built(codecs: set[str]) -> None:
    """Refuse codecs that libsndfile was built without."""
    formats = {name: names for known in CODECS.values() for name, names in known.items()}
    if missing := sorted(codec for codec in codecs if not soundfile.check_format(*formats[codec])):
        raise AcousticsError(
            f"Acoustics: libsndfile {soundfile.__libsndfile_version__} here lacks {', '.join(missing)}. Leave them out "
            f"of codecs and telephones, or install the wheel of soundfile from PyPI, which has them all."
        )
