"""What goes wrong with what this package is given."""


class Pix2SeqError(Exception):
    """Something that this package cannot work with; its message says what was given, what is allowed and the way out.

    All errors that this package raises about what it is given are of this class, and of a built-in one as well:
    ValueError, mostly.
    """


class ArgumentError(Pix2SeqError, ValueError):
    """An argument that is out of its range, or that does not fit others."""
