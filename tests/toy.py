"""Small voices and turns for tests: no recording, no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pyannote.core import Annotation, Segment

from pyannote_pix2seq.simulation.store import to_level, write_voices

SAMPLE_RATE = 16000


def toy_voice(f0: float, seconds: float, seed: int = 0) -> np.ndarray:
    """Harmonics of `f0` whose loudness wavers, never silent: (num_samples,) float32."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    tone = sum(np.sin(2 * np.pi * f0 * k * time + k * phase) / k for k in range(1, 6))
    return (0.1 * tone * (1 + 0.5 * np.sin(2 * np.pi * 4 * time))).astype(np.float32)


def write_toy_voices(folder: Path, num_train: int = 8, num_dev: int = 4) -> Path:
    """Store of voices with distinct pitches, two regions of 2 s each; train voices are of two corpora."""
    splits = ["train"] * num_train + ["dev"] * num_dev
    voices = []
    for number, split in enumerate(splits):
        regions = [to_level(toy_voice(100 + 20 * number, 2.0, seed)) for seed in range(2)]
        corpus = "small" if number in (0, num_train) else "large"
        voices.append((f"{split}{number:02d}", corpus, split, regions))
    write_voices(folder, voices)
    return folder


def write_rttm(path: Path, turns: list[tuple[float, float, str]], uri: str = "meeting") -> Path:
    """RTTM of (start, duration, speaker) turns."""
    lines = [
        f"SPEAKER {uri} 1 {start:.3f} {seconds:.3f} <NA> <NA> {speaker} <NA> <NA>" for start, seconds, speaker in turns
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def annotation(*turns: tuple[float, float, object], uri: str | None = None) -> Annotation:
    """An annotation of turns (start, end, speaker)."""
    made = Annotation(uri=uri)
    for track, (start, end, speaker) in enumerate(turns):
        made[Segment(start, end), track] = speaker
    return made
