from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from toy import SAMPLE_RATE, rms, toy_voice, write_toy_voices

from pyannote_pix2seq.simulation.acoustics import Acoustics, AcousticsError, clip, telephone
from pyannote_pix2seq.simulation.noise import NoiseError, Noises, coloured_noise
from pyannote_pix2seq.simulation.room import NEAR, heard_in_room, impulse_responses
from pyannote_pix2seq.simulation.voices import LEVEL, Voices

SILENT = Acoustics.none()


def rng_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def two_speakers(seconds: int = 4) -> np.ndarray:
    """One speaks in the first half, the other in the second."""
    tracks = np.zeros((2, seconds * SAMPLE_RATE), dtype=np.float32)
    half = seconds * SAMPLE_RATE // 2
    for track, part, f0 in zip(tracks, (slice(half), slice(half, None)), (150, 230), strict=True):
        voice = toy_voice(f0, seconds / 2)
        track[part] = voice * LEVEL / rms(voice)
    return tracks


def test_without_acoustics_voices_are_added_up() -> None:
    tracks = two_speakers()
    mixture, dry = SILENT.apply(tracks, rng_of()), tracks.sum(axis=0)
    assert mixture.dtype == np.float32
    np.testing.assert_allclose(mixture, dry * np.abs(mixture).max() / np.abs(dry).max(), atol=1e-6)
    assert np.abs(mixture).max() == pytest.approx(10 ** (-1 / 20), rel=1e-5)


def test_levels_differ_between_speakers_and_some_are_quiet() -> None:
    loud = replace(SILENT, loudness=5.0, quiet_probability=0.15)
    tracks, half = two_speakers(), 2 * SAMPLE_RATE
    sounds = [loud.apply(tracks, rng_of(seed)) for seed in range(300)]
    difference = np.array([20 * np.log10(rms(sound[:half]) / rms(sound[half:])) for sound in sounds])
    assert np.abs(difference).max() <= 30 + 1
    assert 6 < difference.std() < 12  # sqrt(2) * 5 dB for normal speakers, and some are quiet
    assert abs(difference.mean()) < 2


@pytest.mark.parametrize("decibels", [0.0, 20.0])
def test_noise_is_as_far_below_speech_as_asked(decibels: float) -> None:
    noisy = replace(SILENT, noise_probability=1.0, signal_to_noise=(decibels, decibels))
    tracks = np.pad(two_speakers(), ((0, 0), (0, 4 * SAMPLE_RATE)))
    sound = noisy.apply(tracks, rng_of())
    noise = rms(sound[4 * SAMPLE_RATE + 100 :])
    speech = np.sqrt(rms(sound[: 4 * SAMPLE_RATE]) ** 2 - noise**2)
    assert 20 * np.log10(speech / noise) == pytest.approx(decibels, abs=1.5)


@pytest.mark.parametrize("rt60", [0.2, 0.6])
def test_rooms_decay_as_fast_as_asked(rt60: float) -> None:
    response = impulse_responses(3, rt60, NEAR, rng_of(1))
    np.testing.assert_allclose(np.linalg.norm(response, axis=1), 1, rtol=1e-5)
    assert np.abs(response).argmax(axis=1).max() < 0.002 * SAMPLE_RATE  # nothing is late
    late = np.square(response[:, SAMPLE_RATE // 16 :], dtype=np.float64)
    energy = 10 * np.log10(late[:, ::-1].cumsum(axis=1)[:, ::-1].mean(axis=0))  # Schroeder
    window = int(0.25 * rt60 * SAMPLE_RATE)
    assert (energy[0] - energy[window]) / 0.25 == pytest.approx(60, rel=0.15)


def test_a_room_is_a_convolution() -> None:
    rng = rng_of()
    tracks = rng.standard_normal((2, 2500)).astype(np.float32)
    tracks[0, 600:1900] = 0
    responses = rng.standard_normal((2, 400)).astype(np.float32)
    expected = sum(np.convolve(*pair)[:2500] for pair in zip(tracks, responses, strict=True))
    np.testing.assert_allclose(heard_in_room(tracks, responses), expected, atol=1e-3)


def test_a_crowd_is_heard_where_nobody_speaks(tmp_path: Path) -> None:
    voices = Voices.load(write_toy_voices(tmp_path), "train")
    crowd = {"bystanders": voices, "crowd_probability": 1.0, "crowd_size": (3, 3)}
    crowded = replace(SILENT, **crowd, signal_to_crowd=(20.0, 20.0))
    sound = crowded.apply(np.pad(two_speakers(), ((0, 0), (0, 32000))), rng_of())
    assert 20 * np.log10(rms(sound[:64000]) / rms(sound[64000:])) == pytest.approx(20, abs=2)


def test_a_telephone_keeps_its_band_only() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sound = sum(np.sin(2 * np.pi * f * time) for f in (100, 1000, 6000)).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(telephone(sound)))
    assert len(telephone(sound)) == len(sound) and telephone(sound).dtype == np.float32
    assert spectrum[100] < 0.05 * spectrum[1000] and spectrum[6000] < 0.02 * spectrum[1000]


def test_clipping_flattens_peaks() -> None:
    sound = np.sin(np.linspace(0, 100, 5000)).astype(np.float32)
    assert np.abs(clip(sound, 6.0)).max() == pytest.approx(0.501, abs=0.001)


def test_noise_of_any_colour_is_heard_at_low_frequencies_most() -> None:
    for seed in range(5):
        power = np.square(np.abs(np.fft.rfft(coloured_noise(rng_of(seed), SAMPLE_RATE))))
        assert power[:2000].mean() > 0.9 * power[6000:].mean()


def test_recorded_noise_is_of_one_kind_from_start_to_end(tmp_path: Path) -> None:
    for kind, level in (("hum", 0.1), ("hiss", 0.5)):
        (tmp_path / kind).mkdir()
        for number in range(2):
            soundfile.write(tmp_path / kind / f"{number}.wav", np.full(SAMPLE_RATE, level), SAMPLE_RATE)
    noises = Noises(tmp_path)
    assert noises.kinds == ["hiss", "hum"] and "4 recordings of 2 kinds" in repr(noises)
    medians = {round(float(np.median(noises.draw(rng_of(seed), 5 * SAMPLE_RATE))), 2) for seed in range(10)}
    assert medians == {0.1, 0.5}
    (tmp_path / "manifest.tsv").write_text("path\tkind\nhum/0.wav\thum\n")
    assert Noises(tmp_path).kinds == Noises(tmp_path / "manifest.tsv").kinds == ["hum"]


def test_sources_without_noise_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NoiseError, match="No recording"):
        Noises(tmp_path)
    (tmp_path / "manifest.tsv").write_text("file\tkind\n")
    with pytest.raises(NoiseError, match="no column path"):
        Noises(tmp_path)


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(AcousticsError, match="noise_probability=2"):
        Acoustics(noise_probability=2)
    with pytest.raises(AcousticsError, match="rt60"):
        Acoustics(rt60=(0.7, 0.2))
    with pytest.raises(TypeError):
        Acoustics(noise=0.5)  # type: ignore[call-arg]
