"""How much a file holds behind the part of it that libsndfile reads: more recordings, or more of this one.

Of that, what is cheap to tell without decoding: from the heads in the file and the sizes in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from mmap import mmap

FRAME = re.compile(
    rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][%b]." % re.escape(bytes(byte for byte in range(0x10, 0xF0) if byte >> 2 & 3 < 3)),
    re.DOTALL,
)
"""Header of a frame of MPEG layer 3 (ISO/IEC 11172-3 and 13818-3) whose bitrate is given."""
BITRATES = {
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bitrates that such a frame can have, in kbit/s, from index 1, by the version of MPEG; 2.5 has those of 2."""
STREAMINFO = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22.{10}(.{8})", re.DOTALL)
"""Beginning of a flac file, with 20 bits of sample rate, 8 of something else and 36 of number of samples."""
CHUNK = re.compile(rb"[^ -~]?([ -~]{4})(.{4})", re.DOTALL)
"""Head of a chunk of a wav file: its name and its size, behind a byte that should be there after a chunk of odd size,
but that some programs forget."""
NOT_ZERO = re.compile(rb"[^\x00]")


def mp3_duration(content: bytes | mmap) -> float:
    """Seconds of all frames of MPEG layer 3; a frame that no other one of its kind follows is taken for chance."""
    seconds, position = 0.0, 0
    while found := FRAME.search(content, position):
        size, duration = _frame(found[0])
        end = found.start() + size
        is_frame = content[end : end + 2] == found[0][:2]
        seconds += is_frame * duration
        position = end if is_frame else found.start() + 1
    return seconds


def _frame(header: bytes) -> tuple[int, float]:
    """Bytes and seconds of a frame."""
    version = {3: 1, 2: 2, 0: 4}[header[1] >> 3 & 3]  # MPEG 1, 2, 2.5: each has half the sample rates
    sample_rate = (44100, 48000, 32000)[header[2] >> 2 & 3] // version
    bitrate = 1000 * BITRATES[min(version, 2)][(header[2] >> 4) - 1]
    num_samples = 1152 if version == 1 else 576
    return num_samples // 8 * bitrate // sample_rate + (header[2] >> 1 & 1), num_samples / sample_rate


def flac_duration(content: bytes | mmap) -> float:
    """Seconds of all flac files in one, according to their heads."""
    heads = (int.from_bytes(head[1], "big") for head in STREAMINFO.finditer(content))
    return sum((head & (2**36 - 1)) / max(head >> 44, 1) for head in heads)


def behind_samples(content: bytes | mmap) -> float:
    """What a wav file holds behind its samples, in no chunk, as a share of its samples; 0 if it was cut off before."""
    position, num_bytes = 12, 0
    while chunk := CHUNK.match(content, position):
        size = int.from_bytes(chunk[2], "little")
        if chunk.end() + size > len(content):
            break
        num_bytes = num_bytes or size * (chunk[1] == b"data")
        position = chunk.end() + size
    rest = NOT_ZERO.search(content, position) if num_bytes else None  # recorders pad with zeros
    return (len(content) - rest.start()) / num_bytes if rest else 0.0


UNHEARD: dict[str, Callable[[bytes | mmap, float], float]] = {
    "MP3": lambda content, heard: mp3_duration(content) - heard,
    "FLAC": lambda content, heard: flac_duration(content) - heard,
    "WAV": lambda content, heard: behind_samples(content) * heard,
    "WAVEX": lambda content, heard: behind_samples(content) * heard,
}
"""By format, as libsndfile calls it: from a whole file and the seconds that were read of it, the seconds that were not;
less than 0 for mp3 files that were cut off."""
