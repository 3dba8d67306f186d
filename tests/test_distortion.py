"""Distortion of spectrograms in training: what it changes, and what it leaves."""

import pytest
import torch

from pyannote_pix2seq.frontends import MelFrontend, distortion
from pyannote_pix2seq.frontends.distortion import distort


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch):
    """Keep one kind of distortion, and turn the others off."""
    off = {
        "MAX_WARP": 0.0,
        "EQUALISER": 0.0,
        "SIGNAL_TO_NOISE": (300.0, 300.0),
        "MAX_BURSTS": 1,
        "SIGNAL_TO_BURST": (300.0, 300.0),
        "CUT_PROBABILITY": 0.0,
        "MASK_PROBABILITY": 0.0,
    }

    def keep(*names: str) -> None:
        for name in off.keys() - set(names):
            monkeypatch.setattr(distortion, name, off[name])

    return keep


def test_nothing_is_left_when_all_is_turned_off(only) -> None:
    only()
    mel = torch.rand(2, 80, 30) + 0.1
    torch.testing.assert_close(distort(mel), mel)


def test_bands_are_moved_by_a_tenth_at_most(only) -> None:
    only("MAX_WARP")
    mel = torch.full((200, 80, 3), 1e-9)
    mel[:, 40] = 1.0
    found = distort(mel)[:, :, 1].argmax(dim=1)
    assert found.min() in (36, 37) and found.max() in (44, 45) and found.unique().numel() == 9


def test_an_equaliser_is_the_same_throughout_and_its_own_for_each_example(only) -> None:
    only("EQUALISER")
    mel = torch.rand(300, 80, 20) + 0.1
    gain = 10 * (distort(mel) / mel).log10()
    assert gain.std(dim=2).max() < 1e-3
    assert (gain[:, :-1] - gain[:, 1:]).abs().max() < 4  # smooth, in dB from band to band
    assert gain[:, 0, 0].std() == pytest.approx(8, rel=0.15)  # four cosines of 4 dB are 8 dB at the lowest band


def test_noise_is_stationary_and_20_to_60_db_below_what_is_heard(only) -> None:
    only("SIGNAL_TO_NOISE")
    mel = torch.rand(300, 80, 400, dtype=torch.float64) + 0.1
    noise = distort(mel) - mel
    below = 10 * (mel.mean(dim=(1, 2)) / noise.mean(dim=(1, 2))).log10()
    assert 20 - 0.2 < below.min() < 22 and 58 < below.max() < 60 + 0.2
    early, late = (part.mean(dim=(1, 2)) for part in noise.split(200, dim=2))
    torch.testing.assert_close(early, late, rtol=0.05, atol=0)


def test_bursts_are_short_and_mostly_low(only) -> None:
    only("SIGNAL_TO_BURST", "MAX_BURSTS", "BURST_BANDS")
    mel = torch.rand(100, 80, 3000, dtype=torch.float64) + 0.1
    bursts = distort(mel) - mel
    is_loud = bursts[:, 0] > 0.1 * bursts[:, 0].amax(dim=1, keepdim=True)
    share = is_loud.double().mean(dim=1)
    assert share.median() < 0.2 and share.max() < 0.7  # of 30 s
    low, high = bursts[:, :10].mean(dim=(1, 2)), bursts[:, 70:].mean(dim=(1, 2))
    assert (low >= high).all() and (low > 1000 * high).double().mean() > 0.03  # a burst in ten fades within 10 bands
    loudest = 10 * (bursts.unfold(2, 20, 20).mean(dim=(1, 3)).amax(dim=1) / mel.mean(dim=(1, 2))).log10()
    assert loudest.max() < 10 and loudest.min() < -20


def test_high_bands_are_cut_off_or_neighbouring_ones_masked(only) -> None:
    only("CUT_PROBABILITY", "MASK_PROBABILITY")
    is_kept = distort(torch.ones(1000, 80, 2))[:, :, 0] == 1
    is_cut = ~is_kept[:, -1] & ~is_kept[:, -13]  # wider than any mask
    assert is_cut.float().mean() == pytest.approx(0.2 * (67 - 32) / (80 - 32), abs=0.03)
    assert is_kept[is_cut, :20].float().mean() > 0.9 and is_kept.float().sum(dim=1).min() >= 32 - 13
    masked = (~is_kept[~is_cut]).sum(dim=1)
    assert masked.max() <= 13 + 12 and (masked > 0).float().mean() > 0.4


def test_digital_silence_stays_silence() -> None:
    mel = torch.rand(4, 80, 30)
    mel[:, :, 10:20] = 0
    distorted = distort(mel)
    assert distorted[:, :, 10:20].count_nonzero() == 0 and (distorted[:, :, :10] > 0).all()


def test_spectrograms_are_distorted_in_training_alone_and_by_the_seed() -> None:
    frontend, noise = MelFrontend(content_dim=8), torch.randn(1, 1, 48000)
    as_it_is = frontend.eval().log_mel(noise)
    torch.testing.assert_close(as_it_is, frontend.log_mel(noise), atol=0, rtol=0)
    frontend.train()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(frontend.log_mel(noise))
    torch.testing.assert_close(drawn[0], drawn[1], atol=0, rtol=0)
    assert not torch.allclose(drawn[0], drawn[2], atol=0.01) and not torch.allclose(drawn[0], as_it_is, atol=0.01)
