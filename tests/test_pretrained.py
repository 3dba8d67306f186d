"""The pipelines that ship inside the package, on the recording that ships inside pyannote.audio."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyannote.audio
import pytest
import soundfile
import torch
import torch.nn.functional as F
import yaml
from pyannote.audio import Pipeline
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm

from pyannote_pix2seq import PRETRAINED, PRETRAINED_MEL, Pix2SeqDiarization
from pyannote_pix2seq.audio.recording import load
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.der import der_components
from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.loading import load_diarization
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.training.losses import sequence_loss
from pyannote_pix2seq.vocabulary import DIARIZE, Triplet

SAMPLE = Path(pyannote.audio.__file__).parent / "sample"
SCORED = Timeline([Segment(0, 30)])


@pytest.fixture(scope="module")
def pipeline() -> Pix2SeqDiarization:
    return Pipeline.from_pretrained(PRETRAINED)


@pytest.fixture(scope="module")
def reference() -> Annotation:
    return load_rttm(SAMPLE / "sample.rttm")["sample"]


def test_sample(pipeline: Pix2SeqDiarization, reference: Annotation) -> None:
    output = pipeline(SAMPLE / "sample.wav")
    assert der_components(reference, output.speaker_diarization, SCORED).total <= 20.0
    assert output.speaker_embeddings.shape == (len(output.speaker_diarization.labels()), 192)
    assert np.linalg.norm(output.speaker_embeddings, axis=1) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("num_speakers", [1, 3])
def test_the_number_of_speakers_is_obeyed(pipeline: Pix2SeqDiarization, num_speakers: int) -> None:
    output = pipeline(SAMPLE / "sample.wav", num_speakers=num_speakers)
    assert len(output.speaker_diarization.labels()) == num_speakers


@pytest.mark.parametrize("seconds", [0.5, 10.0, 45.0])
def test_silence_is_nobody(pipeline: Pix2SeqDiarization, seconds: float) -> None:
    silence = {"waveform": torch.zeros(1, int(16000 * seconds)), "sample_rate": 16000, "uri": "silence"}
    output = pipeline(silence)
    assert len(output.speaker_diarization) == len(output.exclusive_speaker_diarization) == 0
    assert output.speaker_embeddings.shape == (0, 192) and output.confidence == []


@pytest.mark.parametrize(("sample_rate", "num_channels", "suffix"), [(44100, 2, "mp3"), (8000, 1, "wav")])
def test_other_formats_sound_the_same(
    pipeline: Pix2SeqDiarization,
    reference: Annotation,
    tmp_path: Path,
    sample_rate: int,
    num_channels: int,
    suffix: str,
) -> None:
    audio = load(SAMPLE / "sample.wav")
    waveform = pyannote.audio.Audio(sample_rate=sample_rate)(dict(audio))[0]
    path = tmp_path / f"sample.{suffix}"
    soundfile.write(path, waveform.expand(num_channels, -1).T.numpy(), sample_rate)
    assert der_components(reference, pipeline(path).speaker_diarization, SCORED).total <= 30.0


def test_the_package_stays_small() -> None:
    files = [path for path in PRETRAINED.parent.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= 40e6


@torch.inference_mode()
def loss_on_noise(model: Pix2Seq) -> float:
    """Loss of the same turns, about noise in which three voices come and go at random."""
    generator = torch.Generator().manual_seed(0)
    frontend, vocabulary, num_tokens = model.frontend, model.vocabulary, 63
    content = torch.randn(1, num_tokens, frontend.bins_per_token, frontend.content_dim // 4, generator=generator)
    voices = F.normalize(torch.randn(3, frontend.voice_dim, generator=generator), dim=-1)
    voice = voices[torch.randint(3, (1, num_tokens, frontend.num_voices), generator=generator)]
    context = model.listen(AudioTokens((2 * content).softmax(-1).flatten(2), voice))
    turns = [(0.5, 3.1, 0), (2.2, 5.0, 1), (5.5, 8.0, 0), (6.0, 6.7, 2), (8.4, 9.4, 1), (8.4, 9.4, 0)]
    tokens = torch.tensor([vocabulary.encode([Triplet(*turn) for turn in turns])])
    logits, _ = model.write(context, F.pad(tokens[:, :-1], (1, 0), value=DIARIZE))
    num_bins = torch.tensor([frontend.bins_per_token * num_tokens])
    return sequence_loss(vocabulary, logits, tokens, torch.tensor([0]), num_bins).item()


def test_weights_mean_what_they_meant(pipeline: Pix2SeqDiarization, from_scratch: Pix2SeqDiarization) -> None:
    assert loss_on_noise(pipeline.model) == pytest.approx(5.4947, abs=2e-3)
    assert loss_on_noise(from_scratch.model) == pytest.approx(4.6675, abs=2e-3)


# learned from scratch


@pytest.fixture(scope="module")
def from_scratch() -> Pix2SeqDiarization:
    return Pipeline.from_pretrained(PRETRAINED_MEL)


def test_from_scratch_there_are_speakers_with_voices(from_scratch: Pix2SeqDiarization, reference: Annotation) -> None:
    output = from_scratch({"waveform": load(SAMPLE / "sample.wav")["waveform"][:, :160000], "sample_rate": 16000})
    errors = der_components(reference, output.speaker_diarization, Timeline([Segment(0, 10)]))
    assert errors.missed_detection <= 20.0 and errors.false_alarm <= 50.0
    assert output.speaker_embeddings.shape == (len(output.speaker_diarization.labels()), 96)
    assert np.linalg.norm(output.speaker_embeddings, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_from_scratch_chunks_are_a_chain(from_scratch: Pix2SeqDiarization) -> None:
    assert (from_scratch.strategy, from_scratch.prompts) == ("chain", "clip")
    greedy = Pix2SeqDiarization(from_scratch.model, strategy="chain", prompts="clip")
    twice = load(SAMPLE / "sample.wav")["waveform"].repeat(1, 2)[:, : 45 * 16000]
    output = greedy({"waveform": twice, "sample_rate": 16000}, num_speakers=2)
    assert len(output.speaker_diarization.labels()) == 2
    assert 30 <= output.speaker_diarization.get_timeline().extent().end <= 45


def test_weights_from_scratch_are_small() -> None:
    assert (PRETRAINED_MEL / "pix2seq" / "pytorch_model.bin").stat().st_size <= 15e6


def test_what_the_model_card_says_to_tune_can_be_tuned(tmp_path: Path) -> None:
    card = (PRETRAINED / "README.md").read_text(encoding="utf-8")
    (given,) = re.findall("```yaml\n( *decoding:.*?)```", card, re.DOTALL)
    config = yaml.safe_load((PRETRAINED / "config.yaml").read_text())
    params, options = config["pipeline"]["params"], yaml.safe_load(given)["decoding"]
    assert params["decoding"].items() < options.items()  # what ships, and something more
    params |= {"model": str(PRETRAINED / "pix2seq"), "decoding": options}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert load_diarization(tmp_path).decoding == DecodingOptions(**options) != load_diarization(PRETRAINED).decoding
