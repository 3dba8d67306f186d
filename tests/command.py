"""What tests of the command line share: where the package is, and a recording."""

from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]


def write_talk(path: Path, seed: int = 0) -> Path:
    """12 s of noise that comes and goes: two chunks of the tiny pipeline."""
    noise = np.random.default_rng(seed).normal(0, 0.1, 12 * 16000)
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, noise * (np.arange(len(noise)) // 16000 % 3 > 0), 16000)
    return path
