"""Protocols that are registered with pyannote.database."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from pyannote.database import FileFinder, Protocol, ProtocolFile, registry

from pyannote_pix2seq.errors import Pix2SeqError, missing, reason
from pyannote_pix2seq.protocol import SUBSETS


class ProtocolError(Pix2SeqError, ValueError):
    """A protocol that is not registered, lacks a subset or files, or whose files cannot be read."""


def files_of(name: str, subset: str) -> Iterator[ProtocolFile]:
    """Files of a registered protocol.

    Raises
    ------
    ProtocolError
        If there is no such protocol or subset, or its lists, RTTM or UEM files are missing or damaged.
    """
    try:
        protocol = registry.get_protocol(name, preprocessors={"audio": FileFinder()})
    except (KeyError, ValueError) as error:
        raise ProtocolError(
            f"There is no protocol {name}. There are: {', '.join(registered()) or 'none'}. Others need a --registry."
        ) from error
    files = _listed(protocol, name, subset)
    first = list(islice(files, 1))  # so that what is wrong with all of them is told at once
    return chain(first, files)


def _listed(protocol: Protocol, name: str, subset: str) -> Iterator[ProtocolFile]:
    """Files of a protocol; errors are those of `files_of`, at any file, as a protocol may consist of several."""
    try:
        yield from (file for file in getattr(protocol, subset)() if file["uri"])  # a blank line of a list has none
    except (AttributeError, NotImplementedError) as error:
        others = ", ".join(other for other in SUBSETS if other != subset and _has(protocol, other)) or "it has none"
        raise ProtocolError(f"{name} has no {subset} files. Choose another --subset: {others}.") from error
    except FileNotFoundError as error:
        raise ProtocolError(
            f"{name} is not there yet ({str(error).rstrip('.')}): the lists of our protocols lie beside their "
            f"database.yml once recipes/fetch_corpora.py has fetched them or recipes/render.py rendered them, see "
            f"protocols/README.md. In a database.yml of yours, mend the path."
        ) from error
    except Pix2SeqError:
        raise
    except Exception as error:  # whatever is wrong with somebody's RTTM and UEM files
        raise ProtocolError(
            f"Lists, RTTM or UEM files of {name} cannot be read ({reason(error)}). Mend those that its database.yml "
            f"names."
        ) from error


def _has(protocol: Protocol, subset: str) -> bool:
    """Whether a protocol has a subset, be its lists, RTTM and UEM files there or not."""
    try:
        next(iter(getattr(protocol, subset)()), None)
    except (AttributeError, NotImplementedError):
        return False
    except Exception:  # whatever is wrong with the files of a subset that nobody asked for
        return True
    return True


def register(path: Path) -> None:
    """Make the protocols of a database.yml known.

    pyannote.database has loaded that of the current folder already, and warns of each protocol that is loaded again.

    Raises
    ------
    ProtocolError
        If there is no such file, or it cannot be used as one.
    """
    if not path.exists():
        raise ProtocolError(missing(path))
    try:
        with warnings.catch_warnings():
            if path.resolve() in registry.configs:
                warnings.filterwarnings("ignore", "Replacing existing ")
            registry.load_database(path)
    except Exception as error:  # a file from anywhere may be wrong in any way
        raise ProtocolError(f"{path} cannot be used as a database.yml: {reason(error)}") from error


def registered() -> list[str]:
    """Names of all registered protocols."""
    databases = {name: registry.get_database(name) for name in registry.databases}
    return [
        f"{name}.{task}.{protocol}"
        for name, database in databases.items()
        for task in database.get_tasks()
        for protocol in database.get_protocols(task)
    ]
