"""Whether something that was given is a number; True and False are none."""

from __future__ import annotations

from math import isfinite
from numbers import Integral, Real
from typing import Any


def is_number(value: Any) -> bool:
    """Whether it is a finite number, of Python or NumPy."""
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def is_whole(value: Any, least: int) -> bool:
    """Whether it is a whole number, of Python or NumPy, and no smaller than the least."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
