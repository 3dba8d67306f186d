from __future__ import annotations

import numpy as np
import pytest
from toy import SAMPLE_RATE, rms

from pyannote_pix2seq.simulation import Acoustics, Scene
from pyannote_pix2seq.simulation.codec import BLOCK, FILES, TELEPHONES, CodecError, transmit

WAYS = [(telephone, None) for telephone in TELEPHONES] + [(None, file) for file in FILES] + [("gsm", "mp3")]
MILLISECOND = SAMPLE_RATE // 1000


def bursts(num_samples: int) -> np.ndarray:
    """Noise of the band of speech, swelling and fading: every moment differs from every other."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    frequency = np.fft.rfftfreq(num_samples, 1 / SAMPLE_RATE)
    spectrum[(frequency < 300) | (frequency > 3000)] = 0
    swell = 1 + np.sin(2 * np.pi * 3 * np.arange(num_samples) / SAMPLE_RATE)
    sound = np.fft.irfft(spectrum, num_samples) * swell
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def delay(before: np.ndarray, after: np.ndarray) -> int:
    """Samples by which one waveform comes after another: the highest peak of their cross-correlation."""
    size = 2 * len(before)
    correlation = np.fft.irfft(np.fft.rfft(after, size) * np.fft.rfft(before, size).conj())
    peak = int(np.argmax(correlation))
    return peak if peak < len(before) else peak - size


@pytest.mark.parametrize("compression", [0.0, 0.5, 0.97])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_nothing_is_delayed_by_more_than_a_millisecond(way: tuple[str | None, str | None], compression: float) -> None:
    for num_samples in (2 * SAMPLE_RATE, SAMPLE_RATE + 77):
        before = bursts(num_samples)
        after = transmit(before, *way, compression)
        assert after.shape == before.shape and after.dtype == np.float32
        assert abs(delay(before, after)) <= MILLISECOND
        assert np.corrcoef(before, after)[0, 1] > 0.6


def test_a_delay_would_be_seen() -> None:
    before = bursts(SAMPLE_RATE)
    assert delay(before, np.roll(before, 40)) == 40 and delay(before, np.roll(before, -40)) == -40


@pytest.mark.parametrize("telephone", TELEPHONES)
def test_a_telephone_keeps_its_band_only(telephone: str) -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sound = 0.2 * sum(np.sin(2 * np.pi * f * time) for f in (100, 1000, 6000)).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(transmit(sound, telephone, None, 0.5)))
    assert spectrum[100] < 0.05 * spectrum[1000] and spectrum[6000] < 0.02 * spectrum[1000]


@pytest.mark.parametrize("file", FILES)
def test_more_compression_loses_more(file: str) -> None:
    before = bursts(2 * SAMPLE_RATE)
    lost = [rms(transmit(before, None, file, level) - before) for level in (0.0, 0.97)]
    assert 0 < lost[0] < 0.7 * lost[1]


def test_no_sample_is_above_full_scale_after_a_codec() -> None:
    scene = Scene(levels=(0.0,), speeds=(1.0,), pitches=(0.0,), peak=0.0, clipping=20.0, codec="mp3", compression=0.97)
    loud = Acoustics.none().apply([bursts(SAMPLE_RATE)[None]], scene, np.random.default_rng(0))
    assert np.abs(loud).max() == 1  # decoded, it would be more


def test_without_a_line_and_a_file_nothing_changes() -> None:
    before = bursts(SAMPLE_RATE)
    assert np.array_equal(transmit(before, None, None, 0.5), before)


def test_long_recordings_are_written_piece_by_piece() -> None:
    before = bursts(2 * BLOCK + 5)
    after = transmit(before, None, "vorbis", 0.3)
    assert len(after) == len(before) and abs(delay(before, after)) <= MILLISECOND
    assert delay(before[-SAMPLE_RATE:], after[-SAMPLE_RATE:]) == 0  # no sample is lost between pieces


def test_the_same_sound_is_compressed_to_the_same_sound() -> None:
    before = bursts(SAMPLE_RATE)
    for way in WAYS:
        assert np.array_equal(transmit(before, *way, 0.7), transmit(before, *way, 0.7))


@pytest.mark.parametrize(("telephone", "file"), [("umts", None), (None, "aac")])
def test_codecs_that_do_not_exist(telephone: str | None, file: str | None) -> None:
    with pytest.raises(CodecError, match=f"no (telephone|file) '{telephone or file}'. Use one of"):
        transmit(np.zeros(1600, dtype=np.float32), telephone, file, 0.5)
