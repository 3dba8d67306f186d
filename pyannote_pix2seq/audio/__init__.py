"""Reading of recordings: decoded and checked, whole or block by block."""

from pyannote_pix2seq.audio.reader import Reader
from pyannote_pix2seq.audio.recording import LazyFile, load
from pyannote_pix2seq.audio.samples import AudioError

__all__ = ["AudioError", "LazyFile", "Reader", "load"]
