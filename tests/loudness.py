"""A frontend that hears how loud it is, recordings whose tokens it tells apart, and a cache of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pyannote.core import Segment, Timeline
from torch import Tensor
from toy import annotation

from pyannote_pix2seq.frontends import AudioTokens, Frontend
from pyannote_pix2seq.training.examples import ExampleCache

TOKEN = 0.16
SAMPLES = 2560


class LoudnessFrontend(Frontend):
    """Frozen; content is the mean of each token's samples, there is one voice of one weight."""

    content_dim, num_voices, voice_dim, frozen = 1, 1, 2, True

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(weight), requires_grad=False)
        self.calls = 0

    def forward(self, waveforms: Tensor) -> AudioTokens:
        self.check(waveforms)
        self.calls += 1
        padding = -waveforms.shape[-1] % SAMPLES
        pieces = torch.nn.functional.pad(waveforms[:, 0], (0, padding)).view(len(waveforms), -1, SAMPLES)
        content = self.weight * pieces.mean(-1, keepdim=True)
        return AudioTokens(content, content.new_ones(*content.shape[:2], 1, 2))


def file_of(uri: str, seconds: float, *turns: tuple[float, float, str], **fields: Any) -> dict[str, Any]:
    """A recording whose token k is as loud as k / 256."""
    num_tokens = round(seconds / TOKEN)
    waveform = (torch.arange(num_tokens) / 256).repeat_interleave(SAMPLES)[None]
    return {
        "uri": uri,
        "annotation": annotation(*turns),
        "annotated": Timeline([Segment(0, seconds)]),
        "waveform": waveform,
        "sample_rate": 16000,
        **fields,
    }


def numbers(audio: AudioTokens) -> list[int]:
    return (256 * audio.content[:, 0].float()).round().int().tolist()


FILES = [
    file_of("first", 9.6, (1.0, 3.0, "ann"), (2.0, 5.0, "bob"), (6.0, 9.0, "ann")),
    file_of("b/second", 6.4, (0.0, 6.0, "cleo")),
]


def cache_of(
    folder: Path, frontend: Frontend | None = None, source: str = "toy", duration: float = 50.0
) -> ExampleCache:
    return ExampleCache(folder, frontend or LoudnessFrontend(), source, duration)
