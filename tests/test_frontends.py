"""Shapes of all frontends; the speaker frontend on a real recording: golden numbers, silence, voices."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyannote.audio
import pytest
import soundfile
import torch
import torch.nn.functional as F
from pyannote.audio.utils.powerset import Powerset
from pyannote.database.util import load_rttm
from torch import Tensor

from pyannote_pix2seq.frontends import FRONTENDS, AudioTokens, MelFrontend, SpeakerFrontend, bfloat16
from pyannote_pix2seq.frontends.bfloat16 import has_bfloat16
from pyannote_pix2seq.frontends.campplus import fbank, statistics_pooling
from pyannote_pix2seq.frontends.counting import pool_counts
from pyannote_pix2seq.frontends.level import amplified, level

ROOT = Path(__file__).parent.parent
SAMPLE = Path(pyannote.audio.__file__).parent / "sample"
SHIPPED = ROOT / "pyannote_pix2seq" / "pretrained" / "pix2seq" / "pytorch_model.bin"
LENGTHS = [1600, 16000, 96000, 480160]


@pytest.fixture(scope="module")
def speaker_frontend(float32: None) -> SpeakerFrontend:
    checkpoint = torch.load(SHIPPED, map_location="cpu", weights_only=False)["state_dict"]
    prefix = "frontend."
    state_dict = {k.removeprefix(prefix): v for k, v in checkpoint.items() if k.startswith(prefix)}
    frontend = SpeakerFrontend()
    frontend.load_state_dict(state_dict)
    return frontend


@pytest.fixture(scope="module")
def sample() -> Tensor:
    waveform, _ = soundfile.read(SAMPLE / "sample.wav", dtype="float32")
    return torch.from_numpy(waveform)[None, None]


@pytest.fixture(scope="module")
def sample_tokens(speaker_frontend: SpeakerFrontend, sample: Tensor) -> AudioTokens:
    return speaker_frontend(sample)


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(Path(__file__).parent / "data" / "frontends.npz") as data:
        return {name: torch.from_numpy(data[name].astype(np.float32)) for name in data}


@pytest.fixture(scope="module")
def golden_waveform(sample: Tensor, golden: dict[str, Tensor]) -> Tensor:
    return sample[..., : round(16000 * golden["waveform_seconds"].item())]


def relative_error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return ((found - expected).norm() / expected.norm()).item()


def test_golden_fbank(golden_waveform, golden):
    assert relative_error(fbank(golden_waveform)[0], golden["fbank"]) < 1e-3


def test_golden_campplus(speaker_frontend, golden_waveform, golden):
    features = fbank(golden_waveform)
    frames = speaker_frontend.campplus.frames(features)
    assert relative_error(frames[0], golden["campplus_frames"]) < 1e-3
    assert relative_error(speaker_frontend.campplus(features)[0], golden["campplus_embedding"]) < 1e-3


def test_golden_segmentation(speaker_frontend, golden_waveform, golden):
    log_probs = speaker_frontend.segmentation(golden_waveform)
    assert relative_error(log_probs[0], golden["segmentation_log_probs"]) < 1e-3


def test_golden_tokens(sample_tokens):
    content, voice = sample_tokens.content[0].unflatten(-1, (4, 7)), F.normalize(sample_tokens.voice[0], dim=-1)
    found = content.mean((0, 1)).tolist()
    assert found == pytest.approx([0.2295, 0.0015, 0.3356, 0.3360, 0.0013, 0.0009, 0.0952], abs=1e-3)
    alike = torch.stack([(voice[:-lag] * voice[lag:]).sum(-1).mean(0) for lag in (1, 5, 25)])
    # (num_lags, num_voices)
    expected = torch.tensor([[0.9191, 0.9650, 0.8967], [0.5830, 0.8386, 0.6077], [0.4358, 0.5444, 0.4487]])
    torch.testing.assert_close(alike, expected, atol=2e-3, rtol=0)


def test_bfloat16_keeps_what_is_active(speaker_frontend, sample, monkeypatch):
    networks = [speaker_frontend.segmentation, speaker_frontend.counter.segmentation]
    precise = [network(sample[..., :80000]) for network in networks]
    monkeypatch.setattr(bfloat16, "has_bfloat16", has_bfloat16)
    quick = [network(sample[..., :80000]) for network in networks]
    for heard in zip(precise, quick, strict=True):
        probabilities = [said.exp() if said.min() < 0 else said for said in heard]
        difference = (probabilities[0] - probabilities[1]).abs().mean()
        assert heard[1].dtype == torch.float32 and difference < 0.01
        assert (difference > 0) == has_bfloat16("cpu")


def test_where_there_is_no_bfloat16_float32_is_used(speaker_frontend: SpeakerFrontend, sample: Tensor) -> None:
    frames = speaker_frontend.frames(sample[..., :80000])
    assert torch.equal(frames, speaker_frontend.campplus.frames(fbank(sample[..., :80000])))
    filtered = torch.randn(1, 100, 60)
    for lstm in (speaker_frontend.segmentation.lstm, speaker_frontend.counter.segmentation.lstm):
        assert torch.equal(lstm(filtered)[0], torch.nn.LSTM.forward(lstm, filtered)[0])


@pytest.mark.parametrize(("major", "is_fast"), [(7, False), (8, True)])
def test_gpus_older_than_ampere_have_no_bfloat16(major: int, is_fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(major=major)
    for name, value in {"is_available": True, "current_device": 0, "get_device_properties": properties}.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    assert has_bfloat16("cuda") == is_fast and not has_bfloat16("mps")


def test_bfloat16_keeps_the_embedding(speaker_frontend, golden_waveform, golden, monkeypatch):
    monkeypatch.setattr(bfloat16, "has_bfloat16", has_bfloat16)
    frames = speaker_frontend.frames(golden_waveform)
    embedding = speaker_frontend.campplus.embed(statistics_pooling(frames, torch.ones_like(frames[:, :1])))
    assert F.cosine_similarity(embedding[0, 0], golden["campplus_embedding"], dim=0) > 0.999


@pytest.mark.parametrize("num_samples", LENGTHS)
@pytest.mark.parametrize("name", FRONTENDS)
def test_shapes(name, num_samples):
    frontend = FRONTENDS[name]()
    num_tokens = frontend.num_tokens(num_samples)
    assert num_tokens == math.ceil(num_samples / 2560)
    tokens = frontend(0.1 * torch.randn(1, 1, num_samples))
    assert tokens.content.shape == (1, num_tokens, frontend.content_dim)
    assert tokens.voice.shape == (1, num_tokens, frontend.num_voices, frontend.voice_dim)
    assert tokens.content.isfinite().all() and tokens.voice.isfinite().all()


@pytest.mark.parametrize("name", FRONTENDS)
@pytest.mark.parametrize("shape", [(16000,), (1, 16000), (1, 2, 16000), (1, 1, 0)])
def test_wrong_shapes_are_refused(name, shape):
    with pytest.raises(ValueError, match=r"takes \(batch, 1, num_samples\)"):
        FRONTENDS[name]()(torch.zeros(shape))


def test_content_is_the_posteriors_of_the_four_bins(speaker_frontend, golden_waveform):
    golden_waveform = amplified(golden_waveform)
    heard, frames = speaker_frontend.features(golden_waveform)
    refined = speaker_frontend.refinement(heard, speaker_frontend.by_bin(frames, heard.shape[1]))
    numbers = speaker_frontend.counter(golden_waveform, refined.shape[1])
    expected = pool_counts(refined, numbers, torch.tensor([0, 1, 1, 1, 2, 2, 2])).exp()
    content = speaker_frontend(golden_waveform).content[0].reshape(-1, 7)
    # (num_bins, num_classes)
    torch.testing.assert_close(content, expected[0])
    torch.testing.assert_close(content.sum(-1), torch.ones(len(content)))
    chunk = F.pad(golden_waveform, (0, 64 * 2560 - golden_waveform.shape[-1]))
    posteriors = speaker_frontend.segmentation(chunk)[0].exp()
    frame_centres = 495.5 + 270 * np.arange(len(posteriors))
    for index in [0, 1, 70, 71, 140, 149]:
        inside = (frame_centres >= 640 * index) & (frame_centres < 640 * (index + 1))
        torch.testing.assert_close(heard[0, index], posteriors[inside].mean(0), atol=1e-5, rtol=0)


def cut_in_chunks(posteriors: Tensor) -> Tensor:
    """(batch, num_bins, 7) -> (batch, num_chunks, 256, 7), one every 128 bins."""
    return posteriors.unfold(1, 256, 128).transpose(2, 3)


@pytest.mark.parametrize("num_chunks", [1, 2, 5])
def test_chunks_that_agree_are_joined_to_what_they_were_cut_from(num_chunks):
    frontend = SpeakerFrontend()
    generator = torch.Generator().manual_seed(num_chunks)
    posteriors = torch.randn(3, 128 * (num_chunks + 1), 7, generator=generator).mul(3).softmax(-1)
    torch.testing.assert_close(frontend._join(cut_in_chunks(posteriors)), posteriors)


def test_chunks_that_name_speakers_otherwise_are_renamed(speaker_frontend):
    generator = torch.Generator().manual_seed(0)
    posteriors = torch.randn(4, 128 * 6, 7, generator=generator).mul(3).softmax(-1)
    chunks = cut_in_chunks(posteriors)
    names = torch.randint(6, chunks.shape[:2], generator=generator)
    names[:, 0] = 0  # the first chunk is the one that names them
    sources = speaker_frontend.relabellings[names][:, :, None].expand_as(chunks)
    torch.testing.assert_close(speaker_frontend._join(chunks.gather(-1, sources)), posteriors)


def test_quiet_speakers_are_heard_beside_loud_ones(speaker_frontend, sample):
    # a whisper of 26 dB less, half a minute after the loud speech: one pass over all of it loses the whisper
    loud, quiet = sample[..., 107000:187000], 0.05 * sample[..., 107000:187000]
    silence = torch.zeros(1, 1, 25 * 16000)
    speech = speaker_frontend.speech(speaker_frontend(torch.cat([loud, silence, quiet], dim=-1)).content)[0]
    alone = speaker_frontend.speech(speaker_frontend(quiet).content)[0]
    num_tokens = len(alone) - 2
    assert alone.mean() > 0.8
    assert speech[-num_tokens:].mean() > 0.9 * alone[-num_tokens:].mean()


def test_a_short_turn_in_silence_is_not_quiet(sample: Tensor) -> None:
    alone = torch.zeros(1, 1, 480000)
    alone[..., 160000:182400] = sample[..., 120000:142400]
    assert torch.equal(amplified(alone), alone)


def test_a_quiet_recording_sounds_like_a_loud_one(speaker_frontend: SpeakerFrontend, sample: Tensor) -> None:
    loud, quiet = (speaker_frontend(10 ** (below / 20) * sample / level(sample)) for below in (-36, -70))
    assert relative_error(quiet.content, loud.content) < 0.02
    assert relative_error(quiet.voice, loud.voice) < 0.02


def test_a_counter_hears_how_many_speak(speaker_frontend, sample):
    annotation = load_rttm(SAMPLE / "sample.rttm")["sample"]
    bins = np.arange(750) * 0.04 + 0.02
    there = sum(((bins >= turn.start) & (bins < turn.end)).astype(int) for turn in annotation.itersegments())
    found = speaker_frontend.counter(sample, 752)[0, :750].argmax(-1).numpy()
    assert (np.minimum(there, 2) == found).mean() > 0.85
    assert (np.minimum(there, 2) == np.roll(found, 100)).mean() < 0.75


def test_a_batch_is_its_recordings(speaker_frontend, sample):
    batch = torch.cat([sample[..., 96000:160000], sample[..., 160000:224000]])
    tokens = speaker_frontend(batch)
    for index, waveform in enumerate(batch):
        content, voice = speaker_frontend(waveform[None])
        torch.testing.assert_close(tokens.content[index], content[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(tokens.voice[index], voice[0], atol=1e-3, rtol=0)


@pytest.mark.parametrize("num_samples", [1, *LENGTHS])
def test_silence_has_no_voice(speaker_frontend, num_samples):
    content, voice = speaker_frontend(torch.zeros(1, 1, num_samples))
    assert content.isfinite().all() and voice.isfinite().all()
    assert voice.norm(dim=-1).max() < 0.1


def test_voice_lengths_say_who_is_active(sample_tokens):
    lengths = sample_tokens.voice.norm(dim=-1)[0]
    # (num_tokens, num_voices)
    posteriors = sample_tokens.content[0].reshape(-1, 4, 7).mean(1)
    activity = (posteriors @ Powerset(3, 2).mapping).sort(dim=-1, descending=True).values
    torch.testing.assert_close(lengths[:, 0], posteriors[:, 1:4].sum(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(lengths[:, 1:], activity[:, :2], atol=1e-4, rtol=0)


def turn_tokens() -> list[tuple[str, slice]]:
    """Speaker and tokens of the turns of the sample that last more than a second and are not overlapped."""
    reference = load_rttm(SAMPLE / "sample.rttm")["sample"]
    alone = reference.extrude(reference.get_overlap())
    return [
        (speaker, slice(int(segment.start / 0.16) + 1, int(segment.end / 0.16)))
        for segment, _, speaker in alone.itertracks(yield_label=True)
        if segment.duration > 1.0
    ]


@pytest.mark.parametrize("index", [0, 1])
def test_voices_tell_speakers_apart(sample_tokens, index):
    turns = turn_tokens()
    assert {speaker for speaker, _ in turns} == {"speaker90", "speaker91"} and len(turns) >= 4
    voices = F.normalize(torch.stack([sample_tokens.voice[0, tokens, index].mean(0) for _, tokens in turns]), dim=-1)
    similarity = voices @ voices.T
    for turn, (speaker, _) in enumerate(turns):
        others = [other for other in range(len(turns)) if other != turn]
        within = [similarity[turn, other].item() for other in others if turns[other][0] == speaker]
        between = [similarity[turn, other].item() for other in others if turns[other][0] != speaker]
        assert np.mean(within) > np.mean(between) + 0.05


def test_speaker_frontend_stays_frozen():
    frontend = SpeakerFrontend().train()
    assert not any(module.training for module in frontend.modules())
    assert not any(parameter.requires_grad for parameter in frontend.parameters())
    layer = torch.nn.Linear(28, 1)
    layer(frontend(torch.randn(1, 1, 16000)).content).sum().backward()
    assert layer.weight.grad is not None


def test_speech_is_where_somebody_speaks(speaker_frontend: SpeakerFrontend, sample_tokens: AudioTokens) -> None:
    speech = speaker_frontend.speech(sample_tokens.content)[0]
    assert speech.shape == sample_tokens.content.shape[1:2]
    assert speech[:40].max() < 0.4  # nobody until 6.7 s
    assert speech[60:100].mean() > 0.9
    content = F.one_hot(torch.tensor([[0, 1, 2, 3], [0, 0, 0, 6], [0, 0, 0, 0]]), 7).float().flatten(1)
    assert speaker_frontend.speech(content).tolist() == [0.75, 0.25, 0]
    assert MelFrontend().speech(torch.zeros(2, 5, 192)).tolist() == [[1.0] * 5] * 2
