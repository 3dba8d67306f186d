"""What comes out of a pipeline, what its hooks hear of, and batches."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from pipelines import RATE, noise, recording, rows, same, with_params
from pyannote.audio import Audio, Pipeline
from pyannote.audio.pipelines.speaker_diarization import DiarizeOutput
from pyannote.audio.pipelines.utils.hook import ArtifactHook, Hooks, TimingHook
from pyannote.core import Annotation
from pyannote.pipeline.parameter import Integer

from pyannote_pix2seq.decoding.search import Hypothesis
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.output import Pix2SeqOutput
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.specifications import specifications_of
from pyannote_pix2seq.vocabulary import Triplet, Vocabulary

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


def test_a_pipeline_is_loaded_in_single_precision_whatever_other_tensors_are(tiny_pipeline: Path) -> None:
    file = recording(12.0)
    expected = Pipeline.from_pretrained(tiny_pipeline)(file)
    torch.set_default_dtype(torch.float64)
    try:
        loaded = Pipeline.from_pretrained(tiny_pipeline)
        output = loaded(file)
    finally:
        torch.set_default_dtype(torch.float32)
    assert loaded.model.dtype == torch.float32
    assert rows(output.speaker_diarization) == rows(expected.speaker_diarization)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_pipeline_is_the_same_whatever_the_precision_of_other_tensors_was(
    pipeline: Pix2SeqDiarization, tiny_pipeline: Path, kind: torch.dtype
) -> None:
    torch.set_default_dtype(kind)
    try:
        loaded = with_params(tiny_pipeline, decoding={"max_turns": 12})
    finally:
        torch.set_default_dtype(torch.float32)
    assert same(loaded(recording(12.0)), pipeline(recording(12.0)))


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


class Tuned(Pix2SeqDiarization):
    """A pipeline that has a hyper-parameter, as the model card makes one."""

    def __init__(self, model: Pix2Seq, defaults: dict[str, float]):
        super().__init__(model, legacy=True)
        self.defaults = defaults
        self.most = Integer(1, 100)

    def initialize(self) -> None:
        self.decoding = {"max_turns": self.most}

    def default_parameters(self) -> dict[str, Any]:
        return self.defaults


@pytest.mark.parametrize("is_list", [False, True])
def test_hyper_parameters_that_are_not_set_are_the_defaults_or_missed(tiny_model: Pix2Seq, is_list: bool) -> None:
    files: Any = [recording(12.0)] if is_list else recording(12.0)
    with pytest.raises(RuntimeError, match="must be instantiated"):
        Tuned(tiny_model, {})(files)
    with pytest.warns(UserWarning, match="automatically instantiated with {'most': 2}"):
        found = Tuned(tiny_model, {"most": 2})(files)
    (annotation,) = [found] if isinstance(found, Annotation) else [annotation for _, annotation in found]
    assert len(rows(annotation)) == 2


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
    with pytest.warns(UserWarning, match=r"gone\.wav is left out"):
        found = [file for file, _ in pipeline.apply_batch(files)]
    assert found[0] is files[0] and found[1] is files[1] and len(found) == 2


@pytest.mark.parametrize("given", [lambda path: path, lambda path: {"audio": path}])
def test_files_of_one_name_that_are_left_out_are_told_apart(
    pipeline: Pix2SeqDiarization, tmp_path: Path, given: Any
) -> None:
    paths = [tmp_path / day / "talk.wav" for day in ("monday", "friday")]
    for path in paths:
        path.parent.mkdir()
        soundfile.write(path, np.zeros(0), RATE)
    with pytest.warns(UserWarning) as warned:
        assert list(pipeline.apply_batch([given(path) for path in paths])) == []
    reason = "talk is empty: there is not one sample in it. Is the recording complete?"
    assert [str(each.message) for each in warned] == [
        *(f"{path} is left out: {reason}" for path in paths),
        f"2 of 2 recordings have no result: {paths[0]}, {paths[1]}",
    ]
