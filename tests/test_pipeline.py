from __future__ import annotations

import math
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import soundfile
import torch
import yaml
from pyannote.audio import Audio, Pipeline
from pyannote.audio.pipelines.speaker_diarization import DiarizeOutput
from pyannote.audio.pipelines.utils.hook import ArtifactHook, Hooks, TimingHook
from pyannote.core import Annotation, Segment

from pyannote_pix2seq.audio.samples import AudioError
from pyannote_pix2seq.checkpoints import ModelError
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.decoding.search import Hypothesis
from pyannote_pix2seq.frontends.segmentation import build_segmentation
from pyannote_pix2seq.limits import SpeakerCountError, SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.output import Pix2SeqOutput
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.specifications import specifications_of
from pyannote_pix2seq.vocabulary import Triplet, Vocabulary

RATE = 16000

pytestmark = pytest.mark.filterwarnings("ignore:The pipeline has been automatically instantiated")


def noise(seconds: float, sample_rate: int = RATE, channels: int = 1, seed: int = 0) -> torch.Tensor:
    """Noise that comes and goes, (channels, num_samples)."""
    generator = torch.Generator().manual_seed(seed)
    num_samples = round(seconds * sample_rate)
    loud = torch.sin(torch.arange(num_samples) / sample_rate * 2) ** 2
    return 0.1 * loud * torch.randn(channels, num_samples, generator=generator)


def recording(seconds: float, uri: str = "noise", **fields: Any) -> dict[str, Any]:
    return {"waveform": noise(seconds), "sample_rate": RATE, "uri": uri, **fields}


@pytest.fixture(scope="module")
def pipeline(tiny_pipeline: Path) -> Pix2SeqDiarization:
    """Of 12 turns a chunk at most: random weights would write on and on."""
    loaded = with_params(tiny_pipeline, decoding={"max_turns": 12})
    assert isinstance(loaded, Pix2SeqDiarization)
    return loaded


def with_params(folder: Path, **params: Any) -> Pix2SeqDiarization:
    """The pipeline of a folder with further parameters in its configuration."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["pipeline"]["params"] |= {"model": str(folder / "model" / "pytorch_model.bin"), **params}
    return Pipeline.from_pretrained(config)  # type: ignore[return-value]


def rows(annotation: Annotation) -> list[tuple[float, float, str]]:
    return [(*segment, str(label)) for segment, _, label in annotation.itertracks(yield_label=True)]


def same(first: Pix2SeqOutput, second: Pix2SeqOutput) -> bool:
    return (
        rows(first.speaker_diarization) == rows(second.speaker_diarization)
        and rows(first.exclusive_speaker_diarization) == rows(second.exclusive_speaker_diarization)
        and first.confidence == second.confidence
    )


# what comes out


@pytest.mark.parametrize("seconds", [3.0, 25.0])
def test_outputs_are_what_pyannote_audio_expects(pipeline: Pix2SeqDiarization, seconds: float) -> None:
    output = pipeline(recording(seconds, uri="talk"))
    assert isinstance(output, Pix2SeqOutput) and isinstance(output, DiarizeOutput)
    diarization, exclusive = output.speaker_diarization, output.exclusive_speaker_diarization
    assert diarization.uri == exclusive.uri == "talk"
    labels = diarization.labels()
    assert labels == [f"SPEAKER_{number:02d}" for number in range(len(labels))]
    first_heard = [diarization.label_timeline(label)[0].start for label in labels]
    assert first_heard == sorted(first_heard)
    extent = diarization.get_timeline().extent()
    assert 0 <= extent.start < extent.end <= seconds
    assert all(segment.duration >= 0.0099 for segment in diarization.itersegments())
    assert output.speaker_embeddings is None  # mel-spectrograms have no voices
    assert len(output.confidence) == len(rows(diarization)) > 0
    assert all(0 <= sure <= 1 for sure in output.confidence)
    assert output.serialize()["diarization"][0]["speaker"] == "SPEAKER_00"


def test_a_model_that_is_trained_in_the_meantime_is_used_without_dropout(tiny_pipeline: Path) -> None:
    pipeline = with_params(tiny_pipeline, decoding={"max_turns": 12})
    before = pipeline(recording(3.0))
    pipeline.model.train()  # as Lightning's Trainer leaves it
    assert same(pipeline(recording(3.0)), before)
    assert not pipeline.model.training


@pytest.mark.parametrize("seconds", [3.0, 25.0])
def test_one_speaker_at_a_time_whenever_anybody_speaks(pipeline: Pix2SeqDiarization, seconds: float) -> None:
    output = pipeline(recording(seconds))
    diarization, exclusive = output.speaker_diarization, output.exclusive_speaker_diarization
    assert diarization.get_overlap() and not exclusive.get_overlap()
    difference = diarization.get_timeline().support().duration() - exclusive.get_timeline().duration()
    assert abs(difference) < 1e-6
    assert exclusive.get_timeline().support() == diarization.get_timeline().support()
    # a moment goes to the surest of those who claim it
    claims = list(zip(rows(diarization), output.confidence, strict=True))
    for start, end, label in rows(exclusive):
        middle = (start + end) / 2
        sure = {who: confidence for (s, e, who), confidence in claims if s <= middle <= e}
        assert sure[label] == max(sure.values())


def test_turns_of_a_speaker_lie_apart(pipeline: Pix2SeqDiarization) -> None:
    diarization = pipeline(recording(25.0)).speaker_diarization
    for label in diarization.labels():
        timeline = list(diarization.label_timeline(label))
        assert all(second.start - first.end > 0.1 for first, second in zip(timeline[:-1], timeline[1:], strict=True))


def test_the_same_recording_gives_the_same_output(pipeline: Pix2SeqDiarization, tiny_pipeline: Path) -> None:
    first = pipeline(recording(12.0))
    assert same(pipeline(recording(12.0)), first)
    assert same(with_params(tiny_pipeline, decoding={"max_turns": 12})(recording(12.0)), first)
    assert not same(pipeline({**recording(12.0), "waveform": noise(12.0, seed=1)}), first)


def test_a_folder_is_all_it_takes(tiny_pipeline: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(tiny_pipeline, tmp_path / "moved")
    loaded = Pipeline.from_pretrained(moved)
    assert isinstance(loaded, Pix2SeqDiarization) and not loaded.model.training
    assert loaded.chunk == 10.0 and loaded.decoding.method == "greedy"
    expected = Pipeline.from_pretrained(tiny_pipeline)(recording(2.0))
    assert same(loaded(recording(2.0)), expected)
    assert same(Pipeline.from_pretrained(str(moved / "config.yaml"))(recording(2.0)), expected)


def test_embeddings_come_in_the_order_of_labels() -> None:
    torch.manual_seed(0)
    model = Pix2Seq(frontend="speaker", width=16, num_layers=1, num_heads=2)
    model.specifications = specifications_of(Vocabulary(window=20.0, resolution=0.04, num_speakers=4))
    model.build()
    pipeline = Pix2SeqDiarization(model, chunk=5.0, decoding={"max_turns": 10})
    output = pipeline(recording(9.0), num_speakers=3)
    assert output.speaker_embeddings is not None
    assert output.speaker_embeddings.shape == (len(output.speaker_diarization.labels()), 192) == (3, 192)
    np.testing.assert_allclose(np.linalg.norm(output.speaker_embeddings, axis=1), 1.0, atol=1e-4)


def test_legacy_pipelines_return_an_annotation(tiny_pipeline: Path, pipeline: Pix2SeqDiarization) -> None:
    legacy = with_params(tiny_pipeline, legacy=True, decoding={"max_turns": 12})
    annotation = legacy(recording(3.0))
    assert isinstance(annotation, Annotation)
    assert rows(annotation) == rows(pipeline(recording(3.0)).speaker_diarization)


def test_moving_to_a_device(tiny_pipeline: Path, pipeline: Pix2SeqDiarization) -> None:
    moved = with_params(tiny_pipeline, decoding={"max_turns": 12}).to(torch.device("cpu"))
    assert moved.model.device == torch.device("cpu")
    assert same(moved(recording(3.0)), pipeline(recording(3.0)))
    with pytest.raises(TypeError, match="torch.device"):
        moved.to("cpu")


def test_speakers_keep_their_names_from_chunk_to_chunk(tiny_model: Pix2Seq, monkeypatch: pytest.MonkeyPatch) -> None:
    # 20.16 s are 126 tokens: two chunks of 63
    script = [
        [Triplet(1.0, 4.0, 0), Triplet(3.0, 8.0, 1)],
        [Triplet(1.0, 2.0, 2), Triplet(3.0, 5.0, 1), Triplet(6.0, 7.0, 2)],
    ]
    asked: list[tuple[list[Triplet], int, int | None]] = []

    def write(
        model: Pix2Seq, context: Any, num_bins: torch.Tensor, given: Any, options: Any, limits: Any
    ) -> list[Hypothesis]:
        prompts = model.vocabulary.decode(given[0])
        offset = 0.04 * int(num_bins) - 0.16 * 63
        later = [Triplet(start + offset, end + offset, speaker) for start, end, speaker in script[len(asked)]]
        asked.append((prompts, *limits))
        return [Hypothesis([], [*prompts, *later], [0.5] * (len(prompts) + len(later)), 0.0)]

    monkeypatch.setattr("pyannote_pix2seq.strategies.writer.decode", write)
    output = Pix2SeqDiarization(tiny_model, chunk=10.0, hop=10.0, prompts="clip")(recording(20.16), max_speakers=3)
    assert rows(output.speaker_diarization) == [
        (pytest.approx(start), pytest.approx(end), label)
        for start, end, label in [
            (1.0, 4.0, "SPEAKER_00"),
            (3.0, 8.0, "SPEAKER_01"),
            (11.08, 12.08, "SPEAKER_02"),
            (13.08, 15.08, "SPEAKER_01"),
            (16.08, 17.08, "SPEAKER_02"),
        ]
    ]
    # A said 1 s to 3 s alone, 11 whole tokens; B 4 s to 8 s, 25; two tokens of silence after A
    (nothing, least, most), (prompts, least_later, most_later) = asked
    assert nothing == [] and (least, most) == (0, 3)
    assert [prompt.speaker for prompt in prompts] == [0, 1] and (least_later, most_later) == (2, 3)
    times = [(prompt.start, prompt.end) for prompt in prompts]
    expected = [(0.0, 11 * 0.16), (13 * 0.16, 38 * 0.16)]
    assert times == [pytest.approx(time, abs=0.021) for time in expected]


# how many speakers


@pytest.mark.parametrize("num_speakers", [1, 2, 3, 4])
@pytest.mark.parametrize("seconds", [0.2, 3.0, 45.0])
def test_the_number_of_speakers_is_obeyed(pipeline: Pix2SeqDiarization, num_speakers: int, seconds: float) -> None:
    output = pipeline(recording(seconds), num_speakers=num_speakers)
    assert len(output.speaker_diarization.labels()) == num_speakers


@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam"])
@pytest.mark.parametrize(("least", "most"), [(None, 2), (3, None), (2, 3), (6, 9)])
def test_limits_are_obeyed_over_several_chunks(
    tiny_pipeline: Path, strategy: str, least: int | None, most: int | None
) -> None:
    pipeline = with_params(tiny_pipeline, chunk=2.0, decoding={"method": strategy, "max_turns": 10})
    output = pipeline(recording(11.0), min_speakers=least, max_speakers=most)
    assert (least or 0) <= len(output.speaker_diarization.labels()) <= (most or 99)


def test_a_recording_may_have_more_speakers_than_a_window(tiny_pipeline: Path) -> None:
    pipeline = with_params(tiny_pipeline, chunk=1.0, decoding={"max_turns": 8})
    with torch.no_grad():  # newcomers all the time
        pipeline.model.name.weight.zero_()
        pipeline.model.name.bias.copy_(torch.tensor([0.0, 5.0, 10.0, 15.0]))
        pipeline.model.stop.bias.fill_(-100.0)
    labels = pipeline(recording(12.0)).speaker_diarization.labels()
    assert len(labels) > 6
    assert len(pipeline(recording(12.0), max_speakers=6).speaker_diarization.labels()) == 6
    assert len(pipeline(recording(12.0), num_speakers=2).speaker_diarization.labels()) == 2


@pytest.mark.parametrize("num_speakers", [1, 2, 4])
def test_the_number_is_obeyed_by_a_model_that_hears_one_voice_only(tiny_pipeline: Path, num_speakers: int) -> None:
    pipeline = with_params(tiny_pipeline, decoding={"max_turns": 5})
    with torch.no_grad():
        pipeline.model.name.weight.zero_()
        pipeline.model.name.bias.copy_(torch.tensor([100.0, 0.0, 0.0, 0.0]))
    labels = pipeline(recording(15.0), num_speakers=num_speakers).speaker_diarization.labels()
    assert len(labels) == num_speakers


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"num_speakers": 0}, "num_speakers=0.*1 or more"),
        ({"min_speakers": -1}, "1 or more"),
        ({"max_speakers": 0}, "max_speakers=0.*1 or more"),
        ({"max_speakers": -1}, "1 or more"),
        ({"num_speakers": 5}, "num_speakers=5.*at most 4 speakers"),
        ({"min_speakers": 5}, "at most 4 speakers"),
        ({"min_speakers": 3, "max_speakers": 2}, "min_speakers cannot be more than max_speakers"),
        ({"num_speakers": 2.5}, "whole number"),
    ],
)
def test_numbers_of_speakers_that_cannot_be_obeyed(
    pipeline: Pix2SeqDiarization, numbers: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpeakerCountError, match=message):
        pipeline(recording(1.0), **numbers)


def test_no_limits_are_what_they_are_to_pyannote_audio() -> None:
    assert SpeakerLimits.check(None, 0, math.inf) == SpeakerLimits.check(None, None, None)


# hooks


def test_hooks_hear_of_every_chunk(pipeline: Pix2SeqDiarization) -> None:
    calls: list[tuple[str, Any, dict[str, Any]]] = []

    def hook(step: str, artifact: Any, **about: Any) -> None:
        calls.append((step, artifact, about))

    file = recording(25.0)
    output = pipeline(file, hook=hook)
    assert [(step, about.get("completed"), about.get("total")) for step, _, about in calls] == [
        ("chunks", 0, 3),
        ("chunks", 1, 3),
        ("chunks", 2, 3),
        ("chunks", 3, 3),
        ("speaker_diarization", None, None),
    ]
    assert all(about["file"]["uri"] == "noise" for _, _, about in calls)
    assert calls[-1][1] is output.speaker_diarization


def test_what_pyannotes_own_hooks_write_is_found_in_the_file_that_was_given(pipeline: Pix2SeqDiarization) -> None:
    file = recording(25.0)
    with Hooks(TimingHook(), ArtifactHook()) as hook:
        output = pipeline(file, hook=hook)
    assert set(file["timing"]) == {"total", "chunks"} and file["timing"]["total"] > file["timing"]["chunks"] > 0
    assert file["artifact"] == {"speaker_diarization": output.speaker_diarization}


def test_hooks_write_into_the_file_that_is_preloaded(pipeline: Pix2SeqDiarization, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "noise.wav", noise(1.5)[0].numpy(), RATE)
    file: dict[str, Any] = {"audio": tmp_path / "noise.wav"}
    with ArtifactHook() as hook:
        pipeline(file, preload=True, hook=hook)
    assert set(file) == {"audio", "artifact"}


def test_a_file_can_be_read_by_pyannotes_own_reader_in_hooks_and_afterwards(
    pipeline: Pix2SeqDiarization, tmp_path: Path
) -> None:
    waveform = noise(1.5, 8000, 2)
    soundfile.write(tmp_path / "noise.wav", waveform.T.numpy(), 8000, subtype="FLOAT")
    heard = []

    def hook(step: str, artifact: Any, file: Any, **about: Any) -> None:
        heard.append(Audio()(file))

    for given in (str(tmp_path / "noise.wav"), {"audio": tmp_path / "noise.wav", "uri": "noise"}):
        ((file, _),) = pipeline([given], hook=hook)
        heard.append(Audio()(file))
        assert Audio().get_duration(file) == 1.5
    assert len(heard) == 2 * 4 and all(rate == 8000 and torch.equal(found, waveform) for found, rate in heard)


def test_a_batch_is_refused_before_it_begins(tiny_pipeline: Path) -> None:
    loaded = with_params(tiny_pipeline)
    loaded.strategy = "two_pass"
    with pytest.raises(ValueError, match="strategy='two_pass' was given"):
        loaded.apply_batch([recording(3.0)])


def test_a_batch_gives_back_the_files_that_it_was_given(pipeline: Pix2SeqDiarization, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "noise.wav", noise(1.5)[0].numpy(), RATE)
    files = [recording(1.0), tmp_path / "noise.wav", {"audio": tmp_path / "gone.wav"}]
    with pytest.warns(UserWarning, match="gone is left out"):
        found = [file for file, _ in pipeline.apply_batch(files)]
    assert found[0] is files[0] and found[1] is files[1] and len(found) == 2


# what goes in


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
    with pytest.warns(UserWarning, match="no is left out: There is no file"):
        found = list(pipeline([tmp_path / "no.wav", wav]))
    assert [output.speaker_diarization.uri for _, output in found] == ["my_noise"]


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


# models and parameters


def save_segmentation(path: Path) -> None:
    """A checkpoint of pyannote.audio that holds another network."""
    model = build_segmentation()
    checkpoint = {
        "state_dict": model.state_dict(),
        "hyper_parameters": dict(model.hparams),
        "pytorch-lightning_version": lightning.__version__,
    }
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)


def save_damaged(path: Path) -> None:
    torch.save({"pyannote.audio": {"versions": {"pyannote.audio": "4.0.7"}}}, path)


CHECKPOINTS: dict[str, Callable[[Path], Any]] = {
    "another network": save_segmentation,
    "saved dictionary": lambda path: torch.save({"weights": torch.ones(3)}, path),
    "pickled dictionary": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    "pickled list": lambda path: path.write_bytes(pickle.dumps([1, 2])),
    "half a checkpoint": save_damaged,
    "random bytes": lambda path: path.write_bytes(np.random.default_rng(0).bytes(1000)),
    "text": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
    "nothing": lambda path: path.write_bytes(b""),
    "no file": lambda path: path.unlink(),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.filterwarnings("ignore")
def test_checkpoints_that_are_not_ours(tiny_pipeline: Path, tmp_path: Path, kind: str) -> None:
    folder = shutil.copytree(tiny_pipeline, tmp_path / "broken")
    checkpoint = folder / "model" / "pytorch_model.bin"
    CHECKPOINTS[kind](checkpoint)
    with pytest.raises(ModelError, match="There is no file gone.ckpt"):  # and no hub is asked
        Pix2SeqDiarization("gone.ckpt")
    with pytest.raises(ModelError, match="this pipeline needs a Pix2Seq model|is not a checkpoint of a Pix2Seq"):
        Pipeline.from_pretrained(folder)


def test_a_model_that_is_not_named() -> None:
    with pytest.raises(ModelError, match="A model was given as {'path': 'x'}; it has to say which"):
        Pix2SeqDiarization({"path": "x"})


@pytest.mark.parametrize(("frontend", "strategy"), [("speaker", "two_pass"), ("mel", "chain")])
def test_two_passes_are_the_default_where_voices_are_heard(frontend: str, strategy: str) -> None:
    model = Pix2Seq(frontend=frontend, width=32, num_layers=1, num_heads=2)
    model.specifications = specifications_of(Vocabulary(window=20.0, resolution=0.04, num_speakers=4))
    model.build()
    assert Pix2SeqDiarization(model, chunk=10.0).strategy == strategy


def test_a_truncated_checkpoint(tiny_pipeline: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_pipeline, tmp_path / "truncated")
    checkpoint = folder / "model" / "pytorch_model.bin"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(ModelError, match="is not a checkpoint of a Pix2Seq model"):
        Pipeline.from_pretrained(folder)


def test_every_way_to_give_a_model_is_the_same(
    tiny_model: Pix2Seq, tiny_pipeline: Path, pipeline: Pix2SeqDiarization
) -> None:
    path = tiny_pipeline / "model" / "pytorch_model.bin"
    expected = pipeline(recording(2.0))
    for model in (tiny_model, path, str(path), {"checkpoint": str(path)}):
        given = Pix2SeqDiarization(model, chunk=10.0, decoding={"max_turns": 12})  # type: ignore[arg-type]
        assert same(given(recording(2.0)), expected)


def test_unknown_parameters(tiny_pipeline: Path) -> None:
    with pytest.raises(TypeError, match="chunks"):
        with_params(tiny_pipeline, chunks=10.0)
    with pytest.raises(TypeError, match=r"DecodingOptions has no option beams\."):
        with_params(tiny_pipeline, decoding={"beams": 3})
    with pytest.raises(ValueError, match="temperature=0"):
        with_params(tiny_pipeline, decoding={"temperature": 0})


def test_unknown_options_of_a_call(pipeline: Pix2SeqDiarization) -> None:
    with pytest.raises(TypeError, match="speakers"):
        pipeline(recording(1.0), speakers=2)


@pytest.mark.parametrize("chunk", [0.5, 10.5, -1.0, float("nan")])
def test_chunks_that_do_not_fit_the_model(tiny_model: Pix2Seq, chunk: float) -> None:
    with pytest.raises(ValueError, match=r"it has to be 1 s to 10.0 s, half of the model's window"):
        Pix2SeqDiarization(tiny_model, chunk=chunk)


@pytest.mark.parametrize("options", [{}, {"chunk": 0.75}, {"chunk": 1.0}])
def test_a_window_that_is_too_short_for_chunks(tiny_model: Pix2Seq, options: dict[str, float]) -> None:
    tiny_model.specifications = specifications_of(Vocabulary(window=1.5, resolution=0.04, num_speakers=4))
    with pytest.raises(ValueError, match=r"a window of 1\.5 s was given; it has to be 2 s or more.*model_window"):
        Pix2SeqDiarization(tiny_model, **options)
    tiny_model.specifications = specifications_of(Vocabulary(window=2.0, resolution=0.04, num_speakers=4))
    assert Pix2SeqDiarization(tiny_model).grid.chunk == 7  # 1 s, in whole audio tokens


def test_decoding_may_be_changed_later(tiny_model: Pix2Seq) -> None:
    pipeline = Pix2SeqDiarization(tiny_model, chunk=5.0)
    pipeline.decoding = {"method": "beam", "max_turns": 3}
    assert pipeline.writer.decoding == DecodingOptions(method="beam", max_turns=3)
    with pytest.raises(TypeError, match="DecodingOptions has no option beams. It has method, temperature, "):
        pipeline.decoding = {"beams": 4}
    with pytest.raises(TypeError, match="Decoding options are a mapping, such as .*, not 'beam'"):
        Pix2SeqDiarization(tiny_model, chunk=5.0, decoding="beam")


def test_what_is_changed_later_is_checked_too(tiny_model: Pix2Seq) -> None:
    for name, value, complaint in (
        ("strategy", "both", "strategy='both' was given; it has to be chain with this model's frontend\\."),
        ("strategy", "two_pass", "it has to be chain with this model's frontend\\."),
        ("chunk", 0.0, "chunk=0.0 was given"),
        ("chunk", "30", "chunk='30' was given"),
        ("hop", "4", "hop='4' was given"),
        ("hop", 0.8, r"hop=0\.8 was given; it has to be 1 s to 5 s, a fifth of the chunk to all of it"),
        ("hop", 5.1, r"hop=5\.1 was given"),
    ):
        pipeline = Pix2SeqDiarization(tiny_model, chunk=5.0)
        setattr(pipeline, name, value)
        with pytest.raises(ValueError, match=complaint):
            pipeline(recording(1.0))


@pytest.mark.parametrize("chunk", [1.0, 1.1, 2.3, 3.0, 4.9])
def test_hops_are_a_fifth_of_the_chunk_to_all_of_it(tiny_model: Pix2Seq, chunk: float) -> None:
    for hop in (0.2 * chunk, chunk / 5, float(f"{chunk / 5:g}"), chunk, chunk + 9e-7):
        grid = Pix2SeqDiarization(tiny_model, chunk=chunk, hop=hop).grid
        assert 1 <= grid.hop <= grid.chunk
    with pytest.raises(ValueError, match=f"it has to be {chunk / 5:g} s to {chunk:g} s, a fifth of the chunk"):
        Pix2SeqDiarization(tiny_model, chunk=chunk, hop=0.19 * chunk)


def test_there_is_nothing_to_tune_for_pyannote_pipeline(pipeline: Pix2SeqDiarization) -> None:
    assert pipeline.default_parameters() == {} == pipeline.parameters()
    assert pipeline.get_direction() == "minimize"
    classes = pipeline.classes()
    assert [next(classes), next(classes)] == ["SPEAKER_00", "SPEAKER_01"]
    reference = Annotation(uri="x")
    reference[Segment(0, 1)] = "ann"
    assert pipeline.get_metric()(reference, reference.rename_labels(generator="string")) == 0.0
