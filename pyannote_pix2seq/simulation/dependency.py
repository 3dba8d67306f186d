"""Dependencies that only parts of the simulation need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def dependency(module: str, needed: str, extra: str, otherwise: str = "") -> Any:
    """Import a package that may be missing.

    Parameters
    ----------
    module : str
    needed : str
        What needs which package.
    extra : str
        Extra of this package that installs it.
    otherwise : str
        How to do without.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{needed}: pip install 'pyannote-pix2seq[{extra}]'{otherwise}.") from error
