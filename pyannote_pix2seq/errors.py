"""Errors about what this package is given."""

from collections.abc import Collection, Iterable
from pathlib import Path


class Pix2SeqError(Exception):
    """Something that this package cannot work with; its message says what was given, what is allowed and the way out.

    Subclasses that the library raises derive from a built-in exception as well, mostly ValueError.
    """


class ArgumentError(Pix2SeqError, ValueError):
    """An argument that is out of its range, or that does not fit others."""


class OptionError(Pix2SeqError, TypeError):
    """An option that does not exist, or arguments of the wrong type."""


def check_methods(owner: str, name: str, value: object, methods: tuple[str, ...], way_out: str) -> None:
    """Refuse an argument without the methods that it is needed for.

    Raises
    ------
    OptionError
        If it lacks one, or is a class in the place of an object.
    """
    kind = type(value).__name__
    if isinstance(value, type):
        raise OptionError(f"{owner}: {name}={value!r} was given, a class. Give {way_out}.")
    for method in methods:
        if not hasattr(value, method):
            raise OptionError(
                f"{owner}: {name}={value!r} was given, a {kind}, which has no `{method}`. Give {way_out}."
            )


def check_known(owner: str, given: Iterable[object], allowed: Collection[str]) -> None:
    """Refuse options that do not exist.

    Raises
    ------
    OptionError
        About all of them, with those that do.
    """
    if unknown := sorted(map(str, set(given) - set(allowed))):
        raise OptionError(f"{owner} has no option {', '.join(unknown)}. It has {', '.join(allowed)}.")


def reason(error: Exception) -> str:
    """What went wrong, in one line: the message of an error, with its type unless it is one of this package."""
    said = one_line(str(error))
    return said if isinstance(error, Pix2SeqError) else f"{type(error).__name__}: {said}"


def one_line(text: str) -> str:
    """Lines of a text joined by spaces; names within a line stay as they are."""
    return " ".join(line.strip() for line in text.splitlines())


def missing(path: Path | str, kind: str = "file") -> str:
    """What to say of a path at which there is nothing: that there is no such file, where it was sought, what to do."""
    sought = "" if Path(path).is_absolute() else f" (looked in {Path.cwd()})"
    return f"There is no {kind} {path}{sought}. Check its name and folder."
