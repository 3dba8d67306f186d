"""Random conversations whose tokens are numbered, and the windows that are drawn from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from loudness import TOKEN, LoudnessFrontend

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.training.examples import Example
from pyannote_pix2seq.training.window_options import WindowOptions
from pyannote_pix2seq.training.windows import Window, WindowSampler
from pyannote_pix2seq.vocabulary import Triplet


def conversation(seed: int, seconds: float = 48.0, num_speakers: int = 4, first: int = 0) -> Example:
    """Random turns; the content of each token is its number plus `first`."""
    rng = np.random.default_rng(seed)
    turns, position = [], 0.0
    while True:
        start = max(position + rng.normal(0.2, 1.0), 0.0)
        end = start + rng.exponential(3.0) + 0.2
        if end > seconds:
            break
        turns.append(Triplet(start, end, int(rng.integers(num_speakers))))
        position = end
    count = round(seconds / TOKEN)
    content = torch.arange(first, first + count, dtype=torch.float)[:, None]
    names = tuple(f"{seed} {number}" for number in range(num_speakers))
    return Example(f"example{seed}", AudioTokens(content, torch.ones(count, 1, 2)), sorted(turns), names)


EXAMPLES = [conversation(seed, first=1000 * seed + 1) for seed in range(6)]
UNPROMPTED: dict[str, Any] = {"prompted_probability": 0.0, "stranger_probability": 0.0}
PROMPTED: dict[str, Any] = {"prompted_probability": 1.0, "stranger_probability": 0.0}


def draw(seed: int, **options: Any) -> Window:
    sampler = WindowSampler(
        LoudnessFrontend(), WindowOptions(**{"compact_probability": 0.0, "shifted_probability": 0.0, **options})
    )
    return sampler.draw(EXAMPLES, np.random.default_rng(seed))  # type: ignore[arg-type]


def pieces(window: Window) -> list[list[int]]:
    """Runs of audio between the silences: prompts, then the chunk."""
    found: list[list[int]] = [[]]
    for number in window.audio.content[:, 0].int().tolist():
        if number:
            found[-1].append(number)
        elif found[-1]:
            found.append([])
    return found
