"""Reading of recordings: decoded and checked, whole or block by block."""

from .reader import Reader
from .recording import LazyFile, load
from .samples import AudioError

__all__ = ["AudioError", "LazyFile", "Reader", "load"]
