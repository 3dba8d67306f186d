"""Checks of numbers; True and False do not count as numbers."""

from __future__ import annotations

from math import isfinite
from numbers import Integral, Real
from typing import Any


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number, of Python or NumPy."""
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def is_whole(value: Any, least: int) -> bool:
    """Whether `value` is a whole number, of Python or NumPy, and not below `least`."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
