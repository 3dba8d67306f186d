from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from toy import SAMPLE_RATE, rms, toy_voice

from pyannote_pix2seq.simulation import preparation
from pyannote_pix2seq.simulation.denoising import SHORTEST_SAMPLE, denoise
from pyannote_pix2seq.simulation.preparation import Preparation, prepare_voices

SPEECH = [(SAMPLE_RATE, 3 * SAMPLE_RATE)]


def noisy() -> tuple[np.ndarray, np.ndarray]:
    """Silence, 2 s of a voice, silence; and the same in noise."""
    voice = np.pad(toy_voice(200, 2.0), SAMPLE_RATE)
    noise = np.random.default_rng(0).normal(0, 0.1 * rms(voice), len(voice))
    return voice, (voice + noise).astype(np.float32)


def test_noise_becomes_quieter_and_speech_stays() -> None:
    pytest.importorskip("noisereduce")
    voice, heard = noisy()
    reduced = denoise(heard, SPEECH)
    assert reduced.shape == heard.shape and reduced.dtype == np.float32
    pause, speech = slice(1000, SAMPLE_RATE - 1000), slice(*SPEECH[0])
    assert rms(reduced[pause]) < 0.3 * rms(heard[pause])
    assert rms(reduced[speech] - voice[speech]) < 0.7 * rms(heard[speech] - voice[speech])


def test_without_pauses_nothing_is_known_of_the_noise() -> None:
    _, heard = noisy()
    assert denoise(heard, [(0, len(heard) - SHORTEST_SAMPLE + 1)]) is heard
    silence = np.zeros(2 * SAMPLE_RATE, dtype=np.float32)
    assert denoise(silence, []) is silence


def test_without_noisereduce_what_to_install_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "noisereduce", None)
    monkeypatch.setattr(preparation, "_detector", lambda: None)
    (tmp_path / "in" / "ann").mkdir(parents=True)
    soundfile.write(tmp_path / "in" / "ann" / "a.wav", toy_voice(150, 4.0), SAMPLE_RATE)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'pyannote-pix2seq\[denoising\]'"):
        prepare_voices(tmp_path / "in", tmp_path / "store", 1, preparation=Preparation(is_denoised=True))
