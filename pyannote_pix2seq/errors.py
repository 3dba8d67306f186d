"""Base classes of the errors of this package."""


class Pix2SeqError(Exception):
    """Invalid input; the message says what was given, what is allowed and how to fix it.

    Errors about input derive from this class and from a built-in one, mostly ValueError. The exceptions are unknown
    options and some arguments of a wrong type, for which a plain TypeError is raised.
    """


class ArgumentError(Pix2SeqError, ValueError):
    """An argument that is out of its range, or inconsistent with others."""
