import io
import os
import struct
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from pyannote.core import Segment

from pyannote_pix2seq.audio.reader import Reader
from pyannote_pix2seq.audio.recording import excerpt, load, prepare
from pyannote_pix2seq.audio.samples import AudioError


def tone(seconds: float, sample_rate: int, frequency: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * sample_rate)) / sample_rate)


def amplitude_at(waveform: torch.Tensor, frequency: float, sample_rate: int = 16000) -> float:
    """Amplitude of the sine at `frequency` in a (1, time) waveform."""
    phase = 2 * torch.pi * frequency * torch.arange(waveform.shape[1]) / sample_rate
    return 2 * (waveform[0] * torch.exp(-1j * phase)).mean().abs().item()


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("sample_rate, num_channels", [(8000, 1), (16000, 1), (44100, 2)])
def test_every_format_becomes_16_khz_mono(tmp_path, suffix, sample_rate, num_channels):
    path = tmp_path / f"talk.{suffix}"
    soundfile.write(path, np.stack([tone(1.0, sample_rate)] * num_channels, axis=1), sample_rate)

    audio, waveform = load(path), prepare(path)

    assert audio["waveform"].shape[0] == num_channels
    assert (audio["sample_rate"], audio["uri"]) == (sample_rate, "talk")
    assert audio["waveform"].dtype == waveform.dtype == torch.float32
    assert waveform.shape[0] == 1 and abs(waveform.shape[1] - 16000) <= 2400  # mp3 pads by up to some frames
    assert amplitude_at(waveform[:, 4000:12000], 440.0) == pytest.approx(0.5, abs=0.03)
    assert amplitude_at(waveform[:, 4000:12000], 880.0) < 0.01


def test_lossless_files_come_back_exactly(tmp_path):
    stereo = np.random.default_rng(0).uniform(-1, 1, (500, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", stereo, 16000, subtype="FLOAT")
    assert torch.equal(load(str(tmp_path / "a.wav"))["waveform"], torch.from_numpy(stereo.T))


def test_channels_are_averaged_unless_one_is_asked_for(tmp_path):
    stereo = np.stack([tone(0.1, 16000), np.zeros(1600)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16000, subtype="FLOAT")
    left = torch.from_numpy(stereo.T[:1]).float()
    assert torch.allclose(prepare(tmp_path / "a.wav"), left / 2)
    assert torch.equal(prepare({"audio": tmp_path / "a.wav", "channel": 0}), left)
    assert torch.equal(prepare({"waveform": stereo.T, "sample_rate": 16000, "channel": 1}), 0 * left)
    with pytest.raises(AudioError, match="Channel 2 of a was asked for, but it has 2 channels, numbered from 0."):
        load({"audio": tmp_path / "a.wav", "channel": 2})
    with pytest.raises(AudioError, match="Channel -1"):
        load({"audio": tmp_path / "a.wav", "channel": -1})
    with pytest.raises(AudioError, match="it has 1 channel, numbered from 0."):
        load({"waveform": stereo.T[:1], "sample_rate": 16000, "channel": 1})


def test_float32_tensors_pass_through():
    waveform = torch.randn(2, 160)
    audio = load({"waveform": waveform, "sample_rate": 8000, "uri": "mine", "annotation": None})
    assert audio["waveform"].data_ptr() == waveform.data_ptr()
    assert (audio["sample_rate"], audio["uri"], set(audio)) == (
        8000,
        "mine",
        {"waveform", "sample_rate", "uri"},
    )
    assert load({"waveform": waveform, "sample_rate": 8000})["uri"] == "waveform"


@pytest.mark.parametrize(
    "waveform",
    [
        torch.tensor([[0.5, -1.0, 0.25]], dtype=torch.float64),
        torch.tensor([[0.5, -1.0, 0.25]], dtype=torch.float16),
        torch.tensor([[2**14, -(2**15), 2**13]], dtype=torch.int16),
        torch.tensor([[2**30, -(2**31), 2**29]], dtype=torch.int32),
        np.array([[0.5, -1.0, 0.25]]),
        np.array([[2**14, -(2**15), 2**13]], dtype=">i2"),
        np.array([[0.25, -1.0, 0.5]], dtype=np.float32)[:, ::-1],
    ],
)
def test_other_samples_are_converted(waveform):
    found = load({"waveform": waveform, "sample_rate": 16000})["waveform"]
    assert found.dtype == torch.float32
    assert torch.equal(found, torch.tensor([[0.5, -1.0, 0.25]]))


def test_streams_are_read_and_left_where_they_were(tmp_path):
    stream = io.BytesIO()
    soundfile.write(stream, tone(0.1, 16000), 16000, format="WAV")
    stream.seek(0)
    for file in (stream, {"audio": stream}):
        audio = load(file)
        assert (audio["waveform"].shape, audio["uri"], stream.tell()) == ((1, 1600), "stream", 0)


def test_temporary_files_are_streams():
    with tempfile.NamedTemporaryFile() as file:
        soundfile.write(file, tone(0.1, 16000), 16000, format="WAV")
        file.seek(0)
        assert load(file)["waveform"].shape == (1, 1600) and file.tell() == 0


@pytest.mark.parametrize("source", [bytes(10**6), io.StringIO("text")])
def test_what_is_no_recording_is_not_printed_in_full(source):
    with pytest.raises(AudioError, match="A recording is a path, a binary stream") as refused:
        load(source)
    assert len(str(refused.value)) < 300


def test_the_name_of_a_file_makes_a_uri_without_spaces(tmp_path):
    path = tmp_path / "my long  talk.v2.wav"
    soundfile.write(path, tone(0.1, 16000), 16000)
    assert load(path)["uri"] == "my_long_talk.v2"
    assert load({"audio": path, "uri": "x"})["uri"] == "x"


def test_names_of_files_need_not_be_text(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav"))
    with open(path, "wb") as file:
        soundfile.write(file, np.full(1600, 0.25), 16000, format="WAV")
    assert torch.equal(load(path)["waveform"], torch.full((1, 1600), 0.25))


def test_ten_milliseconds_are_enough():
    assert prepare({"waveform": torch.zeros(1, 441), "sample_rate": 44100}).shape == (1, 160)


def test_the_result_can_have_another_rate():
    assert prepare({"waveform": torch.zeros(1, 16000), "sample_rate": 16000}, sample_rate=8000).shape == (
        1,
        8000,
    )
    with pytest.raises(AudioError, match="The sample rate of the result is 0"):
        prepare({"waveform": torch.zeros(1, 16000), "sample_rate": 16000}, sample_rate=0)


def test_a_missing_file_is_a_file_not_found(tmp_path):
    for error in (AudioError, FileNotFoundError):
        with pytest.raises(error, match=r"There is no file .*nothing\.wav"):
            load(tmp_path / "nothing.wav")


def test_a_pipe_is_refused_before_anybody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "talk.wav")
    with pytest.raises(AudioError, match=r"talk.wav is a pipe, .* Write it to a file first"):
        load(tmp_path / "talk.wav")


def test_a_file_that_may_not_be_read_is_not_said_to_be_broken():
    with tempfile.TemporaryDirectory() as folder:  # not in that of pytest, which nobody else may enter
        path = Path(folder, "talk.wav")
        soundfile.write(path, tone(1.0, 16000), 16000)
        os.chmod(folder, 0o755)
        os.chmod(path, 0)
        user = os.geteuid()
        if user == 0:  # who may read everything
            os.seteuid(65534)
        try:
            for read in (load, Reader):
                with pytest.raises(AudioError, match=r"talk.wav cannot be opened \(Permission denied\)\. Allow"):
                    read(path)
        finally:
            os.seteuid(user)


def test_a_folder_is_not_audio(tmp_path):
    with pytest.raises(AudioError, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["talk.m4a", "notes.txt", "talk.raw", "bé", "bé.m4a"])
def test_what_is_not_audio_says_which_formats_are_and_how_to_convert(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is not a recording of anything")
    complaint = rf"{name} cannot be read as audio .*FLAC.*MP3.*OGG.*WAV.*ffmpeg -i"
    with pytest.raises(AudioError, match=complaint) as raised:
        load(tmp_path / name)
    assert "b'" not in str(raised.value)


@pytest.mark.parametrize("suffix", ["wav", "FLAC", "opus", "aif"])
def test_a_file_that_should_be_readable_is_copied_again_rather_than_converted(tmp_path, suffix):
    (tmp_path / f"bé.{suffix}").write_bytes(b"this is not a recording of anything")
    complaint = rf"bé.{suffix} cannot be read as audio: it is cut off or broken, or no .{suffix} file .* Copy it again"
    with pytest.raises(AudioError, match=complaint) as raised:
        load(tmp_path / f"bé.{suffix}")
    assert "ffmpeg" not in str(raised.value) and "b'" not in str(raised.value)


def test_half_a_flac_is_cut_off(tmp_path):
    path = tmp_path / "talk.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 160000), 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"talk.flac .*: it is cut off or broken, .*flac decoder.* Copy it again"):
        load(path)


def test_empty_audio(tmp_path):
    (tmp_path / "nothing.wav").touch()
    soundfile.write(tmp_path / "header.wav", np.zeros(0), 16000)
    with pytest.raises(AudioError, match=r"nothing\.wav is empty \(0 bytes\)"):
        load(tmp_path / "nothing.wav")
    with pytest.raises(AudioError, match=r"header is empty: there is not one sample in it"):
        load(tmp_path / "header.wav")
    for shape in [(1, 0), (2, 0), (0, 16000)]:
        with pytest.raises(AudioError, match="is empty"):
            load({"waveform": torch.zeros(shape), "sample_rate": 16000})


def test_a_head_that_claims_nothing_in_a_file_that_holds_something(tmp_path):
    path = tmp_path / "talk.wav"
    soundfile.write(path, tone(3.0, 16000), 16000)
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(4) + content[8:40] + bytes(4) + content[44:])
    for file, name in ((path, "talk.wav"), (io.BytesIO(path.read_bytes()), "stream")):
        complaint = rf"{name} holds no samples according to its head, but has 96044 bytes.* ffmpeg -ignore_length 1 -i"
        for read in (load, prepare, lambda file: list(Reader(file))):
            with pytest.raises(AudioError, match=complaint):
                read(file)
    soundfile.write(tmp_path / "talk.au", tone(3.0, 16000), 16000)
    content = (tmp_path / "talk.au").read_bytes()
    (tmp_path / "talk.au").write_bytes(content[:8] + bytes(4) + content[12:])
    with pytest.raises(AudioError, match=r"talk.au holds no samples .* has 96024 bytes.* Copy or record it again\.$"):
        load(tmp_path / "talk.au")


@pytest.mark.parametrize("suffix", ["wav", "aiff", "au", "w64"])
def test_a_file_that_was_cut_off_is_used_as_far_as_it_goes_and_says_so(tmp_path, suffix):
    path = tmp_path / f"talk.{suffix}"
    soundfile.write(path, tone(3.0, 16000), 16000)
    path.write_bytes(path.read_bytes()[:64000])
    with pytest.warns(UserWarning, match=rf"talk.{suffix} ends after 2.0 s, but its head promises 3.0 s: was it cut"):
        assert load(path)["waveform"].shape[1] == pytest.approx(32000, abs=100)


@pytest.mark.parametrize(("missing", "is_told"), [(0.08, False), (0.12, True)])
def test_a_tenth_of_a_second_has_to_be_missing_to_be_told(tmp_path, recwarn, missing, is_told):
    path = tmp_path / "talk.wav"
    soundfile.write(path, tone(3.0, 16000), 16000)
    path.write_bytes(path.read_bytes()[: -2 * round(missing * 16000)])
    assert load(path)["waveform"].shape[1] == 48000 - round(missing * 16000)
    assert ["its head promises 3.0 s" in str(each.message) for each in recwarn.list] == [True] * is_told


def test_an_mp3_that_was_cut_off_says_so(tmp_path):
    soundfile.write(tmp_path / "whole.mp3", tone(8.0, 16000), 16000)
    content = (tmp_path / "whole.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match=r"cut.mp3 ends after [34]\.\d s, but its head promises 8.0 s: was it cut"):
        assert load(tmp_path / "cut.mp3")["waveform"].shape[1] < 80000
    with pytest.warns(UserWarning, match=r"cut.mp3 ends after [34]\.\d s, but its head promises 8.0 s: was it cut"):
        assert sum(block.shape[1] for block in Reader(tmp_path / "cut.mp3")) < 80000


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("seconds", [3.0, 30.0])
def test_ogg_files_one_after_the_other_are_not_heard_in_part_without_a_word(tmp_path, seconds, subtype):
    noise, both = np.random.default_rng(0).normal(0, 0.1, 480000), tmp_path / "both.ogg"
    for length in (2.0, seconds):
        soundfile.write(tmp_path / f"{length}.ogg", noise[: round(length * 16000)], 16000, subtype=subtype)
    both.write_bytes((tmp_path / "2.0.ogg").read_bytes() + (tmp_path / f"{seconds}.ogg").read_bytes())
    if seconds > 10:
        with pytest.raises(
            AudioError, match=r"both.ogg cannot be read as audio \(its head does not say how long it is"
        ):
            load(both)
    else:
        with pytest.warns(UserWarning, match=r"both.ogg is cut off after 2.0 s, or goes on behind its end"):
            load(both)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("wrong", [b"", bytes([1]), bytes([1]) * 8000])
def test_damage_in_the_middle_of_an_ogg_file_is_told(tmp_path, subtype, wrong):
    path = tmp_path / "talk.ogg"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 480000), 16000, format="OGG", subtype=subtype)
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + wrong + content[middle + len(wrong) :])
    for read in (load, prepare, lambda file: list(Reader(file)), lambda file: excerpt(file, Segment(10, 20))):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            read(path)
        told = [str(each.message) for each in told if "talk.ogg is damaged: a part of it cannot" in str(each.message)]
        assert len(told) == bool(wrong)


def test_a_stream_that_was_not_rewound(tmp_path):
    stream = io.BytesIO()
    soundfile.write(stream, tone(1.0, 16000), 16000, format="WAV")
    with pytest.raises(
        AudioError, match=r"^stream cannot be read as audio from byte \d+ on .* Rewind it first: seek\(0\)"
    ):
        load(stream)
    stream.seek(0)
    assert load(stream)["waveform"].shape[1] == 16000


def test_streams_that_have_no_position_are_told_with_what_to_do(tmp_path):
    soundfile.write(tmp_path / "talk.wav", tone(1.0, 16000), 16000)
    closed = (tmp_path / "talk.wav").open("rb")
    closed.close()
    near, far = os.pipe()
    with os.fdopen(near, "rb") as pipe, os.fdopen(far, "wb"):
        for stream, why in ((pipe, "Illegal seek"), (closed, "closed file")):
            for read in (load, Reader):
                with pytest.raises(AudioError, match=rf"^stream cannot be read .*{why}.*: recordings .* io\.BytesIO\("):
                    read(stream)


def test_channels_that_cancel_each_other_out_are_told(recwarn):
    warnings.simplefilter("always")
    left = torch.randn(1, 300_000, generator=torch.Generator().manual_seed(0))
    for right, is_told in (
        (-left, True),
        (-0.9 * left, True),
        (-0.8 * left, False),
        (0 * left, False),
        (left.flip(1), False),
    ):
        file = {"waveform": torch.cat([left, right]), "sample_rate": 16000, "uri": "pair"}
        for read in (lambda file: [*Reader(file)], prepare, lambda file: excerpt(file, Segment(1, 2))):
            read(file)
            told = [str(each.message) for each in recwarn.list]
            assert [text.startswith("pair: its channels cancel each other out") for text in told] == [True] * is_told
            recwarn.clear()


@pytest.mark.parametrize(
    ("place", "value"),
    [(40, 0xFFFFFFFF), (40, 0x7FFFFFFF - 36), (40, 2_000_000_000), (40, 96001), (4, 999_999), (28, 64_000)],
)
def test_heads_of_streams_and_small_mistakes_promise_nothing(tmp_path, recwarn, place, value):
    """Bytes of the samples at 40, of the whole file at 4, in a second at 28."""
    path = tmp_path / "talk.wav"
    soundfile.write(path, tone(3.0, 16000), 16000)
    head = path.read_bytes()
    path.write_bytes(head[:place] + struct.pack("<I", value) + head[place + 4 :])
    assert load(path)["waveform"].shape[1] == 48000
    assert not recwarn.list


def test_nan_and_infinite_samples_are_counted_and_placed(tmp_path):
    samples = np.zeros((16000, 2))
    samples[4000, 1], samples[8000, 0], samples[8000, 1] = np.nan, np.inf, -np.inf
    soundfile.write(tmp_path / "broken.wav", samples, 16000, subtype="FLOAT")
    for file in (tmp_path / "broken.wav", {"waveform": samples.T, "sample_rate": 16000, "uri": "broken"}):
        with pytest.raises(AudioError, match=r"3 of the 32000 samples of broken .* the first at 0\.250 s"):
            load(file)
    with pytest.raises(AudioError, match=r"1 of the 16000 samples of broken .* the first at 0\.500 s"):
        load({"audio": tmp_path / "broken.wav", "channel": 0})


@pytest.mark.parametrize(
    "waveform, complaint",
    [
        (
            torch.zeros(16000),
            r"shape \(16000,\), but must be \(channel, time\)\. Add the channel: waveform\[None\]",
        ),
        (torch.zeros(16000, 2), r"shape \(16000, 2\).*Transpose"),
        (torch.zeros(16000, 1), r"shape \(16000, 1\).*Transpose"),
        (torch.zeros(1, 1, 16000), r"shape \(1, 1, 16000\)"),
        (torch.zeros(1, 16000, dtype=torch.int64), "holds int64 samples.*float32.*int16"),
        (torch.zeros(1, 16000, dtype=torch.bool), "holds bool samples"),
        (np.zeros((1, 16000), dtype=np.complex64), "holds complex64 samples"),
        ([[0.0, 0.0]], "is a list, but must be a"),
    ],
)
def test_wrong_waveforms(waveform, complaint):
    with pytest.raises(AudioError, match=complaint):
        load({"waveform": waveform, "sample_rate": 16000})


@pytest.mark.parametrize("sample_rate", [None, 0, -8000, 16000.5, "16000", True])
def test_wrong_sample_rates(sample_rate):
    with pytest.raises(AudioError, match="must be a whole number of Hz"):
        load({"waveform": torch.zeros(1, 160), "sample_rate": sample_rate})


def test_what_is_not_a_recording_at_all():
    with pytest.raises(AudioError, match=r"not the keys \['uri'\]"):
        load({"uri": "talk"})
    with pytest.raises(AudioError, match="not 42"):
        load(42)
    with pytest.raises(AudioError, match=r"not 1\.5"):
        load({"audio": 1.5})
