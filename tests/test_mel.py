"""Mel-spectrograms: every length, loudness, silence, and what is learned."""

import pytest
import torch

from pyannote_pix2seq.frontends import MelFrontend, VoicedMelFrontend
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.specifications import specifications_of
from pyannote_pix2seq.vocabulary import Triplet, Vocabulary


def test_every_length_of_mel():
    frontend = MelFrontend(content_dim=8).eval()
    for num_samples in [1, 159, 160, 161, 2559, 2560, 2561, 5119, 5120, 5121]:
        assert frontend(torch.randn(1, 1, num_samples)).content.shape[1] == frontend.num_tokens(num_samples)


def test_mel_ignores_loudness_and_learns():
    frontend = MelFrontend(content_dim=8).eval()
    noise = torch.randn(1, 1, 96000, generator=torch.Generator().manual_seed(0))
    content = frontend(noise).content
    torch.testing.assert_close(content, frontend(0.5 * noise).content, atol=1e-4, rtol=0)
    content.square().sum().backward()
    assert all(parameter.grad is not None for parameter in frontend.parameters())


def test_noise_is_as_faint_to_mel_as_it_is_beside_speech_and_clicks_do_not_count():
    frontend = MelFrontend(content_dim=8).eval()
    noise = torch.randn(1, 1, 96000, generator=torch.Generator().manual_seed(0))
    alone = frontend.log_mel(noise)
    assert 3.0 < alone.mean() < 4.0  # loud parts of it are at 4, 80 dB above nothing
    beside = noise.clone()
    beside[..., :16000] *= 100  # 40 dB louder, as speech is
    assert (alone - frontend.log_mel(beside))[..., 110:].median() == pytest.approx(2, abs=0.1)
    clicked = noise.clone()
    clicked[..., 48000] = 1000
    torch.testing.assert_close(frontend.log_mel(clicked)[..., :290], alone[..., :290], atol=0.05, rtol=0)


def test_digital_silence_is_nothing_to_mel():
    torch.manual_seed(0)
    frontend = MelFrontend(content_dim=8).eval()
    clip, chunk = torch.randn(2, 1, 1, 16 * 2560, generator=torch.Generator().manual_seed(0))
    apart = torch.cat([clip, torch.zeros(1, 1, 2 * 2560), chunk], dim=2)
    content = frontend(apart).content[0]
    assert content[16:18].count_nonzero() == 0
    # what is a token or more away from the silence sounds as it does alone: noise has the same mean everywhere
    torch.testing.assert_close(content[19:], frontend(chunk).content[0, 1:], atol=0.05, rtol=0)
    assert frontend(torch.zeros(1, 1, 16000)).content.count_nonzero() == 0


def test_voices_that_are_learned_are_surer_or_less_sure_and_silence_has_none():
    torch.manual_seed(0)
    frontend = VoicedMelFrontend(content_dim=8).eval()
    noise = torch.randn(1, 1, 32 * 2560, generator=torch.Generator().manual_seed(0))
    noise[..., 8 * 2560 : 12 * 2560] = 0
    content, voice = frontend(noise)
    torch.testing.assert_close(content, MelFrontend.forward(frontend, noise).content)
    certainty = voice.norm(dim=-1)[0, :, 0]
    assert voice.shape == (1, 32, 1, 96) and certainty[8:12].eq(0).all()
    sounds = torch.cat([certainty[:8], certainty[12:]])
    assert sounds.min() > 0 and sounds.max() < 1 and sounds.unique().numel() > 1
    later = noise.clone()
    later[..., 24 * 2560 :] = 0
    torch.testing.assert_close(frontend(later).voice[:, :19], voice[:, :19], atol=0.01, rtol=0)  # 20 hears 24


def test_learned_voices_learn_from_who_is_named():
    torch.manual_seed(0)
    model = Pix2Seq(width=8, num_layers=1, num_heads=2)
    model.specifications = specifications_of(Vocabulary(window=20.0, resolution=0.04, num_speakers=3))
    model.build()
    turns = [Triplet(0.0, 1.0, 0), Triplet(1.0, 2.0, 1), Triplet(2.0, 3.0, 0)]
    tokens = torch.tensor([model.vocabulary.encode(turns)])
    logits = model(torch.randn(1, 1, 48000), tokens[:, :-1])
    names = logits.log_softmax(-1).gather(2, tokens[..., None])[:, 2::3]
    names.sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in model.frontend.voice.parameters())


@pytest.mark.parametrize("peak", [1, 0.1, 0.01, 0.001])
def test_spectrograms_are_as_precise_where_a_training_is_in_half_precision(peak: float) -> None:
    frontend = MelFrontend(content_dim=8).eval()
    noise = peak * torch.randn(1, 1, 32000, generator=torch.Generator().manual_seed(0)) / 4
    with torch.autocast("cpu", torch.float16):
        half = frontend.log_mel(noise)
    torch.testing.assert_close(half, frontend.log_mel(noise))


@pytest.mark.parametrize("peak", [0.5, 1.0, 2.0**23])
def test_however_loud_a_waveform_is_it_can_be_kept_in_half_precision(peak: float) -> None:
    frontend = MelFrontend(content_dim=8).eval()
    noise = torch.rand(2, 1, 5000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    noise[1] *= peak / noise[1].abs().max()
    kept = frontend.precompute(noise).content.flatten(1)[:, :5000]
    assert torch.equal(kept[0], noise[0, 0])
    torch.testing.assert_close(kept[1], noise[1, 0] / max(peak, 1))
    assert kept.half().isfinite().all()
