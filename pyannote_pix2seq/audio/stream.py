"""Decoding of binary streams, whose errors libsndfile would take for the end of a recording."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, TypeVar

import soundfile

Result = TypeVar("Result")


class DecodedStream(soundfile.SoundFile):
    """A recording in a binary stream; what the stream raises is raised when this is opened or read.

    libsndfile itself calls the stream, and nothing can be raised through it.

    Parameters
    ----------
    stream : binary stream
    """

    def __init__(self, stream: BinaryIO):
        self._stream = _Watched(stream)
        try:
            super().__init__(self._stream)
        finally:
            self._stream.check()

    def read(self, *given: Any, **options: Any) -> Any:
        """Read samples, see `soundfile.SoundFile.read`."""
        try:
            return super().read(*given, **options)
        finally:
            self._stream.check()


class _Watched:
    """A binary stream that seems to end where it raises an error, which is kept."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raise the error, if there was one."""
        if self._error is not None:
            raise self._error

    def read(self, size: int) -> bytes:
        """Read as much as is asked for, unless the stream ends: raw streams may give less at a time."""
        parts: list[bytes] = []
        while size > 0 and (part := self._tried(partial(self._stream.read, size), b"")):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def seek(self, offset: int, whence: int) -> int:
        return self._tried(lambda: self._stream.seek(offset, whence), -1)

    def tell(self) -> int:
        return self._tried(self._stream.tell, -1)

    def _tried(self, call: Callable[[], Result], otherwise: Result) -> Result:
        if self._error is None:
            try:
                return call()
            except BaseException as error:  # Ctrl-C, too
                self._error = error
        return otherwise
