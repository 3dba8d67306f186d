"""Checks of numbers, of which True and False are none; numbers of NumPy as those of Python; rounding of quotients."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor, inf, isfinite
from numbers import Integral, Real
from typing import Any

from pyannote_pix2seq.errors import ArgumentError, Pix2SeqError

ROUNDING = 1e-6
"""Rounding error that a number may have."""


def is_number(value: Any, least: float = -inf) -> bool:
    """Whether `value` is a finite number, of Python or NumPy, and not below `least`."""
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    return is_real and isfinite(value) and bool(value >= least)


def is_whole(value: Any, least: int) -> bool:
    """Whether `value` is a whole number, of Python or NumPy, and not below `least`."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def is_probability(value: Any) -> bool:
    """Whether `value` is a number from 0 to 1."""
    return is_number(value) and 0 <= value <= 1


def plain(value: Any) -> Any:
    """A number of NumPy, which may overflow or be no number to PyTorch, as one of Python; what is none, as it is."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def rounded_down(number: float) -> int:
    """Largest whole number that is not above `number`, up to `ROUNDING`."""
    return floor(number + ROUNDING)


def rounded_up(number: float) -> int:
    """Smallest whole number that is not below `number`, up to `ROUNDING`."""
    return ceil(number - ROUNDING)


def check_ranges(
    owner: str,
    given: Mapping[str, Any],
    ranges: Mapping[str, tuple[bool, str]],
    error: type[Pix2SeqError] = ArgumentError,
) -> None:
    """Refuse options that are out of their ranges.

    Parameters
    ----------
    owner : str
        Whose options they are.
    given : mapping of str to Any
        Value of each option.
    ranges : mapping of str to (bool, str)
        Whether the value is in its range, and what that is.
    error : type, optional
        What to raise.

    Raises
    ------
    error
        About the first option that is not.
    """
    for name, (is_valid, allowed) in ranges.items():
        if not is_valid:
            raise error(f"{owner}: {name}={given[name]!r} was given; it has to be {allowed}.")
