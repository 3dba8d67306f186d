"""Recordings as a pipeline takes them: every way to give one, every length, and what cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from pipelines import RATE, noise, recording, same
from pyannote.core import Segment

from pyannote_pix2seq.audio.reader import Reader
from pyannote_pix2seq.audio.recording import excerpt, load, prepare
from pyannote_pix2seq.audio.samples import AudioError
from pyannote_pix2seq.errors import OptionError
from pyannote_pix2seq.pipeline import Pix2SeqDiarization


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "my noise.wav"
    soundfile.write(path, noise(3.0)[0].numpy(), RATE, subtype="FLOAT")
    return path


def test_every_way_to_give_a_recording_is_the_same(pipeline: Pix2SeqDiarization, wav: Path) -> None:
    expected = pipeline(recording(3.0))
    with open(wav, "rb") as stream:
        ways = [
            pipeline(wav),
            pipeline(str(wav)),
            pipeline({"audio": wav}),
            pipeline(stream),
            pipeline(wav, preload=True),
            pipeline({"waveform": noise(3.0).repeat(2, 1), "sample_rate": RATE}),
            pipeline({"waveform": noise(3.0).numpy(), "sample_rate": RATE}),
        ]
    assert all(same(way, expected) for way in ways)
    assert [way.speaker_diarization.uri for way in ways] == [
        "my_noise", "my_noise", "my_noise", "stream", "my_noise", "waveform", "waveform",
    ]  # fmt: skip


def test_after_an_error_a_stream_can_be_tried_again(pipeline: Pix2SeqDiarization, tmp_path: Path) -> None:
    def fail(step: str, *_: Any, completed: int = 0, **__: Any) -> None:
        if completed:
            raise InterruptedError

    soundfile.write(tmp_path / "long.wav", noise(35.0)[0].numpy(), RATE)
    with open(tmp_path / "long.wav", "rb") as stream:
        expected = pipeline(stream)
        try:
            pipeline(stream, hook=fail)
        except InterruptedError:  # while what was under way is still in the traceback
            assert same(pipeline(stream), expected)
        else:
            pytest.fail("Nothing has been interrupted.")


@pytest.mark.parametrize("preload", [False, True])
def test_one_channel_can_be_chosen(pipeline: Pix2SeqDiarization, preload: bool) -> None:
    both = torch.cat([noise(3.0, seed=1), noise(3.0)])
    file = {"waveform": both, "sample_rate": RATE, "uri": "noise", "channel": 1}
    assert same(pipeline(file, preload=preload), pipeline(recording(3.0)))


@pytest.mark.parametrize("preload", [False, True])
def test_many_files_at_once(pipeline: Pix2SeqDiarization, wav: Path, preload: bool) -> None:
    found = list(pipeline([wav, recording(2.0, uri="other")], preload=preload))
    assert [output.speaker_diarization.uri for _, output in found] == ["my_noise", "other"]
    assert same(found[0][1], pipeline(wav))


def test_8_khz_mono(pipeline: Pix2SeqDiarization, tmp_path: Path) -> None:
    path = tmp_path / "telephone.wav"
    soundfile.write(path, noise(10.0, sample_rate=8000)[0].numpy(), 8000)
    extent = pipeline(path).speaker_diarization.get_timeline().extent()
    assert 0 <= extent.start < extent.end <= 10.0


def test_44_khz_stereo_of_integers(pipeline: Pix2SeqDiarization, tmp_path: Path) -> None:
    samples = (noise(3.0, 44100, channels=2) * 2**15).short()
    path = tmp_path / "music.wav"
    soundfile.write(path, samples.T.numpy(), 44100)
    assert soundfile.info(path).subtype == "PCM_16"
    assert same(pipeline(path), pipeline({"waveform": samples, "sample_rate": 44100}))


def test_mp3(pipeline: Pix2SeqDiarization, tmp_path: Path) -> None:
    path = tmp_path / "noise.mp3"
    soundfile.write(path, noise(3.0)[0].numpy(), RATE, format="MP3")
    output = pipeline(path)
    assert output.speaker_diarization.uri == "noise" and output.speaker_diarization


def write_samples(samples: torch.Tensor) -> Callable[[Path], Any]:
    def write(path: Path) -> Path:
        soundfile.write(path / "x.wav", samples.numpy(), RATE, subtype="FLOAT")
        return path / "x.wav"

    return write


def write_text(path: Path) -> Path:
    (path / "x.wav").write_text("this is not audio")
    return path / "x.wav"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (write_text, "x.wav cannot be read as audio"),
        (write_samples(torch.zeros(0)), "x is empty"),
        (write_samples(torch.zeros(160)), "x lasts 10 ms; 100 ms or more are needed"),
        (write_samples(torch.full((RATE,), torch.nan)), "16000 of the 16000 samples of x are NaN"),
        (lambda path: path, "is a folder"),
        (lambda path: {"uri": "nothing"}, "A recording is a path"),
        (lambda path: {"waveform": noise(1.0)}, "sample rate"),
        (lambda path: {"waveform": noise(1.0)[0], "sample_rate": RATE}, "Add the channel"),
    ],
)
def test_recordings_that_cannot_be_used(
    pipeline: Pix2SeqDiarization, tmp_path: Path, make: Callable[[Path], Any], message: str
) -> None:
    with pytest.raises(AudioError, match=message):
        pipeline(make(tmp_path))


def test_a_recording_that_is_not_there(pipeline: Pix2SeqDiarization, tmp_path: Path) -> None:
    for file in (tmp_path / "no.wav", {"audio": str(tmp_path / "no.wav")}):
        with pytest.raises(FileNotFoundError, match="There is no file .*no.wav"):
            pipeline(file)


def test_one_bad_file_of_many_is_left_out(pipeline: Pix2SeqDiarization, wav: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"no\.wav is left out: There is no file") as told:
        found = list(pipeline([tmp_path / "no.wav", wav]))
    assert [output.speaker_diarization.uri for _, output in found] == ["my_noise"]
    assert str(told.list[-1].message) == f"1 of 2 recordings have no result: {tmp_path / 'no.wav'}"


def test_what_one_file_asks_for_goes_before_what_is_asked_for_all(pipeline: Pix2SeqDiarization) -> None:
    files = [recording(3.0, uri="two"), {**recording(3.0, uri="one"), "pipeline_kwargs": {"num_speakers": 1}}]
    found = [len(output.speaker_diarization.labels()) for _, output in pipeline.apply_batch(files, num_speakers=2)]
    assert found == [2, 1]


def test_what_a_single_file_asks_for_cannot_be_given_as_well(pipeline: Pix2SeqDiarization) -> None:
    file = {**recording(3.0, uri="one"), "pipeline_kwargs": {"num_speakers": 1}}
    both = "^one: num_speakers=1 is in the pipeline_kwargs of this file, and num_speakers=2 was given as well. Leave"
    with pytest.raises(OptionError, match=both):
        pipeline(file, num_speakers=2)
    assert len(pipeline(file, min_speakers=1).speaker_diarization.labels()) == 1


@pytest.mark.parametrize("seconds", [0.1, 0.161, 9.99, 10.0, 10.01, 19.9999, 30.1])
def test_recordings_of_any_length(pipeline: Pix2SeqDiarization, seconds: float) -> None:
    chunks: list[int] = []

    def hook(step: str, artifact: Any, completed: int = 0, **about: Any) -> None:
        chunks.append(completed)

    output = pipeline(recording(seconds), num_speakers=2, hook=hook)
    assert len(output.speaker_diarization.labels()) == 2
    assert output.speaker_diarization.get_timeline().extent().end <= seconds + 1e-9
    # chunks of 63 tokens, one every 50
    assert max(chunks) == 1 + max(0, -(-(seconds - 10.08) // 8))


class Sought(dict[str, Any]):
    """A file whose path is looked for on access, as pyannote.database's FileFinder does, and not there."""

    def get(self, key: str, default: Any = None) -> Any:
        if key == "audio":
            raise FileNotFoundError("Could not find file")
        return super().get(key, default)


def test_what_is_in_memory_is_not_looked_for_on_disk() -> None:
    file = Sought(waveform=torch.full((1, 3200), 0.5), sample_rate=16000, uri="here")
    assert Reader(file).duration == 0.2 and prepare(file).shape == (1, 3200)
    assert excerpt(file, Segment(0, 0.1)).shape == (1, 1600)
    assert excerpt(file, Segment(-0.1, 0.1)).shape == (1, 1600)  # nothing is before the beginning
    for start in (0.2, 0.3):
        with pytest.raises(AudioError, match=rf"here lasts 0.200 s, and nothing of it is left from {start}00 s on"):
            excerpt(file, Segment(start, 0.5))


def test_a_file_of_a_protocol_that_has_no_path_is_told_where_paths_come_from() -> None:
    with pytest.raises(AudioError, match=r"not the keys \['database', 'uri'\]. Load its protocol with preprocessors="):
        load({"uri": "a", "database": "AMI"})
