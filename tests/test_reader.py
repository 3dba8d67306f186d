"""Recordings block by block: the same samples as all at once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyannote_pix2seq.audio.reader import Reader, Resampler
from pyannote_pix2seq.audio.recording import LazyFile, load, prepare
from pyannote_pix2seq.audio.samples import AudioError, AudioNotFoundError


def noise(seconds: float, sample_rate: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * sample_rate), channels)).astype(np.float32)


def same(blocks: list[torch.Tensor], waveform: torch.Tensor) -> bool:
    """But for rounding, which libsndfile's mp3 decoder does otherwise block by block."""
    return torch.allclose(torch.cat(blocks, dim=1), waveform, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("sample_rate", "channels"), [(16000, 1), (8000, 2), (44100, 2)])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_blocks_are_the_recording(tmp_path: Path, sample_rate: int, channels: int, suffix: str) -> None:
    path = tmp_path / f"my talk.{suffix}"
    soundfile.write(path, noise(23.0001, sample_rate, channels), sample_rate)
    reader = Reader(path)
    blocks = list(reader)
    assert all(block.shape[0] == 1 and block.shape[1] <= 160000 for block in blocks) and len(blocks) >= 3
    assert same(blocks, prepare(path)) and same(list(reader), prepare(path))
    assert reader.uri == "my_talk"
    assert reader.duration == pytest.approx(prepare(path).shape[1] / 16000, abs=1e-4)


def test_nothing_is_read_beyond_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "talk.mp3", noise(23.0, 16000), 16000)
    found: list[int] = []
    read = soundfile.SoundFile.read

    def counted(file: soundfile.SoundFile, *sizes: int, **options: Any) -> np.ndarray:
        samples = read(file, *sizes, **options)
        found.append(len(samples))
        return samples

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    list(Reader(tmp_path / "talk.mp3"))
    assert found == [160000, 160000, 48000]  # the decoder of mp3 complains, on stderr, of a fourth


def test_every_way_to_give_a_recording_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = noise(12.0, 8000, 2)
    soundfile.write(path, samples, 8000, subtype="FLOAT")
    expected = prepare(path)
    waveform = {"waveform": samples.T, "sample_rate": 8000}
    stream = io.BytesIO(path.read_bytes())
    for file in (str(path), {"audio": path}, LazyFile(path), waveform, LazyFile(waveform), stream, stream):
        assert torch.equal(torch.cat(list(Reader(file)), dim=1), expected)
    left = Reader({"audio": path, "channel": 0})
    assert torch.equal(torch.cat(list(left), dim=1), prepare({"audio": path, "channel": 0}))


@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_default_device_of_the_caller_changes_nothing(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "talk.wav"
    soundfile.write(path, noise(12.0, rate), rate)
    with torch.device("meta"):  # as `torch.set_default_device` makes it, where there is no GPU
        blocks = list(Reader(path))
    assert torch.equal(torch.cat(blocks, dim=1), prepare(path))


@given(st.lists(st.integers(1, 5000), max_size=8))
@settings(deadline=None, max_examples=20)
def test_blocks_of_any_size_resample_to_the_same(sizes: list[int]) -> None:
    samples = torch.from_numpy(noise(1.0, 44100)[: sum(sizes)].T)
    resampler = Resampler(44100, 16000)
    blocks = [resampler.push(block) for block in samples.split(sizes, dim=1)] if sum(sizes) else []
    whole = Resampler(44100, 16000)
    expected = torch.cat([whole.push(samples), whole.close()], dim=1)
    assert torch.equal(torch.cat([*blocks, resampler.close()], dim=1), expected)


@pytest.mark.parametrize("rate", [4000, 6000, 8000, 11025, 22050, 24000, 32000, 44100, 48000, 96000, 192000, 16000])
@pytest.mark.parametrize("size", [0.005, 0.02, 0.1])
def test_no_more_is_held_back_than_is_said(rate: int, size: float) -> None:
    resampler, block = Resampler(rate, 16000), torch.zeros(1, round(size * rate))
    pushed = block.shape[1] / rate * np.arange(1, round(2 / size) + 1)
    returned = np.cumsum([resampler.push(block).shape[1] for _ in pushed]) / 16000
    assert (pushed - returned).max() <= resampler.delay + 1e-9
    assert resampler.delay == pytest.approx({16000: 0, 4000: 0.24, 6000: 0.16}.get(rate, 0.12))


def test_what_is_wrong_in_a_channel_that_is_not_asked_for_is_wrong_no_more(tmp_path: Path) -> None:
    samples = np.stack([np.zeros(8000), np.full(8000, np.nan)], axis=1)
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    assert sum(block.shape[1] for block in Reader({"audio": tmp_path / "a.wav", "channel": 0})) == 16000
    with pytest.raises(AudioError, match="are NaN"):
        list(Reader(tmp_path / "a.wav"))


def test_what_is_wrong_is_found_where_it_is(tmp_path: Path) -> None:
    samples = noise(25.0, 8000)
    for wrong in (np.nan, np.inf, 1e30):
        samples[8000 * 21] = wrong
        soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
        with pytest.raises(AudioError, match=r"samples of a are NaN, infinite or beyond .* the first at 21.000 s"):
            list(Reader(tmp_path / "a.wav"))
    for channel in (1, -1, 0.0, False):
        with pytest.raises(AudioError, match=rf"Channel {channel} of a was asked for, but it has 1"):
            list(Reader({"audio": tmp_path / "a.wav", "channel": channel}))
    with pytest.raises(AudioError, match="There is no file"):
        Reader(tmp_path / "b.wav")
    soundfile.write(tmp_path / "empty.wav", samples[:0], 8000)
    with pytest.raises(AudioError, match="empty is empty"):
        list(Reader(tmp_path / "empty.wav"))
    with pytest.raises(AudioError, match="A recording is a path, a binary stream, or a mapping"):
        Reader({"sound": 1})


def test_a_path_that_cannot_even_be_looked_at_is_no_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for read in (load, Reader):
        with pytest.raises(AudioError, match=r"xxx cannot be opened \(File name too long\)\. Check its name"):
            read(tmp_path / ("x" * 300))
    for nowhere in ("no\0name", Path(__file__) / "talk.wav"):
        with pytest.raises(AudioNotFoundError, match="There is no file"):
            load(nowhere)
    monkeypatch.setattr(Path, "stat", lambda path, **_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(AudioError, match=r"talk.wav cannot be opened \(Permission denied\)\. .* to enter its folder"):
        load("/locked/talk.wav")


class Failing:
    """A stream, as from a network, that fails behind a share of its bytes."""

    def __init__(self, content: bytes, share: float, error: BaseException):
        self.content, self.last, self.error, self.num_errors = io.BytesIO(content), share * len(content), error, 0
        self.seek, self.tell = self.content.seek, self.content.tell

    def read(self, size: int = -1) -> bytes:
        if self.tell() > self.last:
            self.num_errors += 1
            raise self.error
        return self.content.read(size)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("share", [-1.0, 0.5])
@pytest.mark.parametrize("error", [ConnectionResetError("the network is gone"), KeyboardInterrupt()])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_a_stream_that_fails_is_not_taken_for_one_that_ends(
    tmp_path: Path, suffix: str, error: BaseException, share: float
) -> None:
    path = tmp_path / f"talk.{suffix}"
    soundfile.write(path, noise(23.0, 16000), 16000)
    for read in (load, lambda file: list(Reader(file))):
        stream: Any = Failing(path.read_bytes(), share, error)
        with pytest.raises(type(error)) as raised:
            read(stream)
        assert raised.value is error and (stream.tell(), stream.num_errors) == (0, 1)
        stream.last = np.inf
        assert sum(block.shape[1] for block in Reader(stream)) == pytest.approx(23 * 16000, abs=2000)


class Raw(io.RawIOBase):
    """A stream that gives 1000 bytes at a time, as raw streams may."""

    def __init__(self, content: bytes):
        self.content = io.BytesIO(content)
        self.seek, self.tell = self.content.seek, self.content.tell  # type: ignore[method-assign]

    def readinto(self, buffer: Any) -> int:
        part = self.content.read(min(len(buffer), 1000))
        buffer[: len(part)] = part
        return len(part)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_raw_stream_that_gives_less_than_is_asked_for_is_not_taken_for_one_that_ends(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"talk.{suffix}"
    soundfile.write(path, noise(12.0, 16000), 16000)
    stream: Any = Raw(path.read_bytes())
    assert torch.equal(load(stream)["waveform"], load(path)["waveform"])
    assert same(list(Reader(stream)), prepare(path))


@pytest.mark.parametrize("seconds", [5.0, 10.0])
def test_a_recording_that_is_cut_off_before_it_is_read_says_so_wherever_it_ends(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "talk.wav"
    soundfile.write(path, noise(12.0, 16000), 16000)
    reader = Reader(path)
    soundfile.write(path, noise(seconds, 16000), 16000)
    with pytest.warns(UserWarning, match=rf"ends after {seconds} s, but its head promises 12\.0 s"):
        assert sum(block.shape[1] for block in reader) == seconds * 16000
