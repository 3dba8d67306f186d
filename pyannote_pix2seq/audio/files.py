"""Decoding of audio files.

Files are decoded by libsndfile, which comes with the `soundfile` wheel and reads wav, flac, ogg and mp3 by itself: no
FFmpeg is needed.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

import soundfile

from pyannote_pix2seq.audio.remainder import UNHEARD
from pyannote_pix2seq.audio.samples import SAMPLE_RATE, AudioError, AudioNotFoundError
from pyannote_pix2seq.audio.stream import DecodedStream
from pyannote_pix2seq.errors import missing

CUT_OFF = re.compile(r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""libsndfile's log message about a file that has fewer bytes than its header says."""
LENGTH = re.compile(r"^Length : (\d+)", re.MULTILINE)
"""libsndfile's log message about the bytes of a file."""
MAX_EMPTY = 1000
"""Largest file, in bytes, that is believed to hold no samples."""
MAX_HEADER_BYTES = 1.9e9
"""Largest size in a header that is believed: programs that write to a pipe put about 2 or 4 GB for an unknown size."""
CHAINED_OGG = re.compile("Ogg ?: Junk after the last page")
"""libsndfile's log message about concatenated ogg files, if the second one is short..."""
UNKNOWN_LENGTH = 2**48
"""... and the least number of samples that it reports if the second one is long: about 2^63."""
DAMAGED_OGG = re.compile("Ogg : Warning, libogg reports a hole|Opus : Hole found")
"""libsndfile's log message about an ogg file of which a part cannot be decoded, once that was read."""
MIN_MISSING = 0.1
"""Seconds that have to be missing for a warning: headers that are wrong by a few bytes are common."""

MIN_BEHIND = 1.0
"""Seconds that have to be behind the end for a warning: encoders of mp3 put some hundredths in front and behind."""

CONVERT = f"convert it, for instance with: ffmpeg -i INPUT -ac 1 -ar {SAMPLE_RATE} OUTPUT.wav"
"""What to do with a file of a format that is not read."""
WAV = frozenset({"WAV", "WAVEX", "RF64"})
REPAIR = "To have all of it, write it anew, for instance with: ffmpeg -ignore_length 1 -i INPUT OUTPUT.wav"
"""What to do with a file of a format in `WAV` whose head is wrong."""
OTHER_SUFFIXES = frozenset({"AIF", "OGA", "OPUS"})
"""Suffixes that libsndfile reads, beside those that are names of its formats."""


@contextmanager
def decoded(source: str | Path | BinaryIO, uri: str) -> Iterator[soundfile.SoundFile]:
    """Open a file with libsndfile; the position of a stream is restored afterwards.

    Raises
    ------
    AudioError
        If the file does not exist or cannot be decoded, or a stream is closed or a pipe. What a stream raises itself,
        as where a network fails, is raised as it is.
    """
    if isinstance(source, (str, Path)):
        _check_path(Path(source))
    name = called(source, uri)
    position = 0 if isinstance(source, (str, Path)) else _position(name, source)
    try:
        with _opened(source) as file:
            _check_head(name, file)
            yield file
            _check_damage(name, file)
            if not position and file.seekable() and file.tell() == file.frames:
                _check_behind(name, source, file)
    except soundfile.SoundFileError as error:
        why = getattr(error, "error_string", error)  # which does not name the file again, as bytes
        if position:
            raise AudioError(
                f"{name} cannot be read as audio from byte {position} on ({why}). Rewind it first: seek(0)."
            ) from error
        raise AudioError(_unreadable(name, why)) from error
    finally:
        if not isinstance(source, (str, Path)):
            source.seek(position)


def _position(name: object, stream: BinaryIO) -> int:
    try:
        return stream.tell()
    except (OSError, ValueError) as error:  # the latter if it is closed
        raise AudioError(
            f"{name} cannot be read as audio ({error}): recordings are read more than once, each time from where the "
            f"stream stands. Leave it open, and read a pipe into memory first: io.BytesIO(stream.read())."
        ) from error


def _opened(source: str | Path | BinaryIO) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(os.fsencode(source)) if isinstance(source, (str, Path)) else DecodedStream(source)
    except TypeError as error:  # a headerless .raw file
        raise soundfile.SoundFileError(str(error)) from error


def _unreadable(name: object, why: object) -> str:
    """What to say of a file that libsndfile cannot decode: by its suffix, it is damaged or of another format."""
    suffix, formats = Path(str(name)).suffix, soundfile.available_formats().keys() - {"RAW"}
    if suffix[1:].upper() in formats | OTHER_SUFFIXES:
        return (
            f"{name} cannot be read as audio: it is cut off or broken, or no {suffix} file in spite of its name "
            f"({why}). Copy it again."
        )
    return f"{name} cannot be read as audio ({why}). libsndfile reads {', '.join(sorted(formats))}; {CONVERT}"


def _check_head(name: object, file: soundfile.SoundFile) -> None:
    """Refuse a file whose head is of no use, and warn of one that is not as long as its head says."""
    length, seconds = LENGTH.search(file.extra_info), file.frames / file.samplerate
    if file.frames >= UNKNOWN_LENGTH:
        raise AudioError(
            f"{name} cannot be read as audio (its head does not say how long it is, or only of a first part of it). "
            f"Copy it again if it is broken; if not, {CONVERT}"
        )
    if file.frames == 0 and length and int(length[1]) > MAX_EMPTY:
        raise AudioError(
            f"{name} holds no samples according to its head, but has {length[1]} bytes: was it recorded, and stopped "
            f"before the length was written? {REPAIR if file.format in WAV else 'Copy or record it again.'}"
        )
    warn_if_cut_off(name, seconds, _promised(file))
    if CHAINED_OGG.search(file.extra_info):
        warnings.warn(
            f"{name} is cut off after {seconds:.1f} s, or goes on behind its end, as recordings do that were put one "
            f"after the other: nothing is heard of that. Copy or convert it.",
            stacklevel=1,
        )


def _check_damage(name: object, file: soundfile.SoundFile) -> None:
    """Warn of an ogg file that was read, of which libsndfile left something out; of others, that is an error."""
    if DAMAGED_OGG.search(file.extra_info):
        warnings.warn(
            f"{name} is damaged: a part of it cannot be decoded and is left out, so that what is behind it may be "
            f"heard too early. Copy it again.",
            stacklevel=1,
        )


def called(source: object, uri: str) -> object:
    """Name of a recording in messages: its path if it has one, else its uri."""
    return source if isinstance(source, (str, Path)) else uri


def warn_if_cut_off(name: object, seconds: float, promised: float) -> None:
    """Warn of a file that ends earlier than its header says."""
    if promised - seconds >= MIN_MISSING:
        warnings.warn(
            f"{name} ends after {seconds:.1f} s, but its head promises {promised:.1f} s: was it cut off? What is there "
            f"is used; copy it again to have all of it.",
            stacklevel=1,  # always this line, whoever calls, so that it is shown once
        )


def _check_behind(name: object, source: str | Path | BinaryIO, file: soundfile.SoundFile) -> None:
    """Warn of a file that was read to what libsndfile takes for its end, and goes on behind it."""
    if file.format not in UNHEARD:
        return
    heard = file.frames / file.samplerate
    behind = UNHEARD[file.format](_content(source), heard)
    if behind >= MIN_BEHIND:
        warnings.warn(
            f"{name} holds {heard + behind:.1f} s, of which {heard:.1f} s are heard: its head is missing or wrong, or "
            f"that of the first of several files that were put one after the other. "
            f"{REPAIR if file.format in WAV else f'To have all of it, {CONVERT}'}",
            stacklevel=1,
        )


def _content(source: str | Path | BinaryIO) -> bytes | mmap:
    """All bytes of a file, of which those on disk are only loaded where they are looked at, and of `io.BytesIO`.

    None of other streams, such as those from a network: they would have to be read again, and be held in memory.
    """
    if isinstance(source, BytesIO):
        return source.getvalue()
    with open(source, "rb") if isinstance(source, (str, Path)) else nullcontext(source) as file:
        try:
            return mmap(file.fileno(), 0, access=ACCESS_READ)
        except (AttributeError, OSError, ValueError):  # no file, or in a file system that maps nothing
            return file.read() if isinstance(source, (str, Path)) else b""


def _promised(file: soundfile.SoundFile) -> float:
    """Duration in seconds according to the header; for wav, aiff and au, libsndfile itself only reports what exists."""
    sizes = CUT_OFF.search(file.extra_info)
    promised, found = map(int, sizes.groups()) if sizes else (1, 1)
    share = promised / found if 0 < found < promised < MAX_HEADER_BYTES else 1.0
    return file.frames / file.samplerate * share


def _check_path(path: Path) -> None:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the latter if no file can have that name
        raise AudioNotFoundError(missing(path)) from None
    except OSError as error:  # a name that is too long, or a folder that this user may not enter
        raise AudioError(
            f"{path} cannot be opened ({error.strerror}). Check its name, and allow this user to enter its folder."
        ) from error
    if path.is_dir():
        raise AudioError(f"{path} is a folder, not an audio file. Give the path of one of the files in it.")
    if path.is_fifo():
        raise AudioError(f"{path} is a pipe, and recordings are read more than once. Write it to a file first.")
    try:
        with path.open("rb") as file:
            is_empty = path.is_file() and not file.read(1)
    except OSError as error:  # which libsndfile calls a system error, whatever it is
        raise AudioError(f"{path} cannot be opened ({error.strerror}). Allow this user to read it.") from error
    if is_empty:
        raise AudioError(f"{path} is empty (0 bytes). Record or copy it again.")
