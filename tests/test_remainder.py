"""Files that go on where libsndfile ends: told, and never of files that do not."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pyannote_pix2seq.audio import Reader, load

NOISE = np.random.default_rng(0).normal(0, 0.1, 20 * 16000)
SWELLING = NOISE * np.linspace(0, 1, len(NOISE)) ** 4


def written(samples: np.ndarray = NOISE, kind: str = "MP3", sample_rate: int = 16000, **options: Any) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, sample_rate, format=kind, **options)
    return stream.getvalue()


def heard(content: bytes, path: Path) -> list[str]:
    """What is said when a file is read: the same whole or in blocks, from disk or from memory."""
    path.write_bytes(content)
    said = []
    for read in (load, lambda file: list(Reader(file)), lambda file: load({"audio": io.BytesIO(content), "uri": file})):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            read(str(path))
        said.append([str(each.message) for each in told])
    assert said[0] == said[1] == said[2]
    return said[0]


def without_head(content: bytes) -> bytes:
    """An mp3 file without its first frame, which says how long it is."""
    assert b"Xing" in content[:50] or b"Info" in content[:50]
    return content[content.index(content[:2], 2) :]


def chunk(name: bytes, size: int) -> bytes:
    return name + struct.pack("<I", size) + bytes([65]) * size + bytes(size % 2)


def wav(claimed: int, tail: bytes = b"", **options: Any) -> bytes:
    """A wav file whose head claims a number of bytes of samples."""
    content = written(kind="WAV", **options)
    place = content.index(b"data") + 4
    return content[:place] + struct.pack("<I", claimed) + content[place + 4 :] + tail


@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100])
@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
def test_mp3_files_one_after_the_other(tmp_path: Path, sample_rate: int, mode: str) -> None:
    content = written(sample_rate=sample_rate, bitrate_mode=mode, compression_level=0.5)
    seconds = len(NOISE) / sample_rate
    assert heard(content, tmp_path / "a.mp3") == []
    [said] = heard(2 * content, tmp_path / "a.mp3")
    total = float(said.split("a.mp3 holds ")[1].split(" s, ")[0])
    assert total == pytest.approx(2 * seconds, abs=0.8) and f"of which {seconds:.1f} s are heard" in said
    assert said.endswith("convert it, for instance with: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav")


@pytest.mark.parametrize("kind", ["MP3", "FLAC"])
def test_what_is_in_front_of_the_position_of_a_stream_is_not_unheard(kind: str) -> None:
    content = written(kind=kind)
    stream = io.BytesIO(2 * content)
    stream.seek(len(content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load({"audio": stream, "uri": "talk"})["waveform"].shape == (1, len(NOISE))
    assert stream.tell() == len(content)


class Remote:
    """A stream, as from a network, of which no more is read at a time than is asked for."""

    def __init__(self, content: bytes):
        self.content, self.num_read = io.BytesIO(content), 0
        self.seek, self.tell = self.content.seek, self.content.tell

    def read(self, size: int) -> bytes:
        part = self.content.read(size)
        self.num_read += len(part)
        return part


@pytest.mark.parametrize("kind", ["MP3", "FLAC", "WAV"])
def test_a_stream_that_is_no_file_is_not_read_a_second_time(kind: str) -> None:
    content = written(np.tile(NOISE, 10), kind)
    for read in (load, lambda file: list(Reader(file))):
        stream: Any = Remote(content)
        read(stream)
        assert stream.tell() == 0 and stream.num_read < 1.5 * len(content)  # heads are read again


def test_an_mp3_file_of_variable_bit_rate_without_a_head(tmp_path: Path) -> None:
    content = written(SWELLING[::-1])  # loud first
    assert heard(content, tmp_path / "a.mp3") == []
    [said] = heard(without_head(content), tmp_path / "a.mp3")
    assert "a.mp3 holds 20." in said and "its head is missing or wrong" in said
    assert heard(without_head(written(bitrate_mode="CONSTANT", compression_level=0.5)), tmp_path / "a.mp3") == []


@pytest.mark.parametrize("num_bytes", [1000, 200_000])
def test_tags_of_mp3_files_are_not_unheard(tmp_path: Path, num_bytes: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, num_bytes, dtype=np.uint8).tobytes()
    size = bytes(num_bytes >> shift & 127 for shift in (21, 14, 7, 0))
    front = b"ID3\x03\x00\x00" + size + picture
    ape = b"APETAGEX" + struct.pack("<IIIQ", 2000, num_bytes + 32, 1, 0x80000000 << 32) + picture
    assert heard(front + written() + ape + b"TAG" + bytes(125), tmp_path / "a.mp3") == []
    assert len(heard(2 * (front + written()), tmp_path / "a.mp3")) == 1


def test_flac_files_one_after_the_other(tmp_path: Path) -> None:
    content = written(kind="FLAC")
    assert heard(content, tmp_path / "a.flac") == []
    [said] = heard(content + written(NOISE[: 5 * 16000], "FLAC"), tmp_path / "a.flac")
    assert "a.flac holds 25.0 s, of which 20.0 s are heard" in said


@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
def test_wav_files_whose_heads_claim_too_little(tmp_path: Path, kind: str) -> None:
    content = written(kind=kind)
    place = content.index(b"data") + 4
    for claimed in (160_000, 160_001):
        short = content[:place] + struct.pack("<I", claimed) + content[place + 4 :]
        [said] = heard(short, tmp_path / "a.wav")
        assert "a.wav holds 20.0 s, of which 5.0 s are heard" in said
        assert said.endswith("write it anew, for instance with: ffmpeg -ignore_length 1 -i INPUT OUTPUT.wav")


@pytest.mark.parametrize(("seconds", "is_told"), [(0.9, False), (1.1, True)])
def test_a_second_has_to_be_unheard_to_be_told(tmp_path: Path, seconds: float, is_told: bool) -> None:
    assert len(heard(wav(640_000 - round(seconds * 32_000)), tmp_path / "a.wav")) == is_told


@pytest.mark.parametrize("padding", [b"", b"\x00", b"\xff"])
def test_wav_files_of_odd_size_and_a_big_picture(tmp_path: Path, padding: bytes) -> None:
    content = written(NOISE[:8001], "WAV", 8000, subtype="PCM_U8")[:-1]
    assert heard(content + padding + chunk(b"id3 ", 500_000), tmp_path / "a.wav") == []


@pytest.mark.parametrize("claimed", [640_000, 0xFFFFFFFF, 0x7FFFFFFF])
@pytest.mark.parametrize(
    "tail",
    [
        b"",
        chunk(b"LIST", 90_000) + chunk(b"bext", 602) + chunk(b"cue ", 28) + chunk(b"id3 ", 99_999) + chunk(b"iXML", 3),
        bytes(100_000),
        b"TAG" + bytes([65]) * 125,
        bytes(100_000) + b"TAG" + bytes([65]) * 125,
    ],
)
def test_wav_files_with_something_else_behind_their_samples(tmp_path: Path, claimed: int, tail: bytes) -> None:
    assert heard(wav(claimed, tail), tmp_path / "a.wav") == []


@pytest.mark.parametrize("kind", ["RF64", "W64", "AIFF", "AU", "CAF", "OGG"])
def test_other_formats_and_other_samples(tmp_path: Path, kind: str) -> None:
    assert heard(written(kind=kind), tmp_path / f"a.{kind.lower()}") == []


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "DOUBLE", "ULAW", "IMA_ADPCM", "GSM610"])
def test_wav_files_of_any_samples(tmp_path: Path, subtype: str) -> None:
    assert heard(written(kind="WAV", subtype=subtype), tmp_path / "a.wav") == []
