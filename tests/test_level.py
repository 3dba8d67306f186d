"""Quiet recordings that are raised."""

import pytest
import torch

from pyannote_pix2seq.frontends.level import amplified, level


@pytest.mark.parametrize(("given", "expected"), [(-20, -20), (-36, -36), (-50, -36), (-75, -36), (-85, -45)])
def test_quiet_waveforms_are_raised_to_36_dB_by_40_dB_at_most(given: float, expected: float) -> None:
    noise = torch.randn(1, 1, 48000, generator=torch.Generator().manual_seed(0))
    loud_and_this = torch.cat([0.1 * noise, 10 ** (given / 20) * noise / level(noise)])
    loud, this = amplified(loud_and_this)
    assert torch.equal(loud, loud_and_this[0])
    assert 20 * level(this[None]).log10().item() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("num_frames", "loudest"), [(1, 1), (10, 10), (100, 99), (200, 198)])
def test_the_loudest_frame_but_one_in_a_hundred_counts(num_frames: int, loudest: int) -> None:
    loudness = torch.arange(1.0, num_frames + 1)[torch.randperm(num_frames)]
    waveform = loudness.repeat_interleave(1600) * torch.tensor([1.0, -1.0]).repeat(800 * num_frames)
    assert level(waveform[None, None]).item() == pytest.approx(loudest)


@pytest.mark.parametrize("peak", [0.1, 1.0, 3.0])
def test_a_click_makes_no_recording_loud(peak: float) -> None:
    quiet = 1e-4 * torch.randn(1, 1, 320000, generator=torch.Generator().manual_seed(0))
    clicks = quiet.clone()
    clicks[..., 1000] = peak
    found = amplified(clicks)
    assert found[..., 1000] == 1
    torch.testing.assert_close(found[..., 1600:], amplified(quiet)[..., 1600:], rtol=0.05, atol=2e-3)


@pytest.mark.parametrize("offset", [-0.5, 0.01, 0.3])
def test_a_quiet_waveform_with_an_offset_is_raised_without_it(offset: float) -> None:
    noise = 1e-3 * torch.randn(1, 1, 48000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(amplified(noise + offset), amplified(noise), rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("num_samples", [1, 1599, 1600, 1601])
def test_silence_stays_silence_when_it_is_raised(num_samples: int) -> None:
    assert not amplified(torch.zeros(2, 1, num_samples)).any()
    assert amplified(torch.ones(2, 1, num_samples)).abs().max() < 1e-3
