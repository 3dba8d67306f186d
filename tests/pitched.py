"""A tiny model that hears whose voice it is, and tones for voices."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pyannote_pix2seq.frontends import FRONTENDS, AudioTokens
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.specifications import specifications_of
from pyannote_pix2seq.vocabulary import Vocabulary

RATE = 16000
Output = Any


class Pitched(FRONTENDS["mel"]):  # type: ignore[misc, name-defined]
    """Mel-spectrograms; whose voice it is can be seen in the spectrum."""

    num_voices = 3
    voice_dim = 16
    frozen = True

    def forward(self, waveforms: torch.Tensor) -> AudioTokens:
        num_tokens = self.num_tokens(waveforms.shape[-1])
        padding = num_tokens * self.samples_per_token - waveforms.shape[-1]
        pieces = torch.nn.functional.pad(waveforms[:, 0], (0, padding)).unflatten(1, (num_tokens, -1))
        spectrum = torch.fft.rfft(pieces).abs()[..., 1:97].unflatten(-1, (16, 6)).mean(-1)
        voice = torch.nn.functional.normalize(spectrum - spectrum.mean(-1, keepdim=True), dim=-1)
        return AudioTokens(super().forward(waveforms).content, voice[:, :, None].expand(-1, -1, 3, -1))


def of_speakers(num_speakers: int) -> Pix2Seq:
    """One narrow layer of random weights: windows of 8 s."""
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        patch.setitem(FRONTENDS, "pitched", Pitched)
        torch.manual_seed(1)
        model = Pix2Seq(frontend="pitched", width=16, num_layers=1, num_heads=2)
        model.specifications = specifications_of(Vocabulary(window=8.0, resolution=0.04, num_speakers=num_speakers))
        model.build()
    return model.eval()


def make(model: Pix2Seq, strategy: str, **options: Any) -> Pix2SeqDiarization:
    return Pix2SeqDiarization(model, chunk=4.0, strategy=strategy, decoding={"max_turns": 6}, **options)


def tone(frequency: float, seconds: float, seed: int = 0) -> torch.Tensor:
    """A voice that comes and goes, (1, num_samples)."""
    time = torch.arange(round(seconds * RATE)) / RATE
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(seed))
    return ((0.2 * torch.sin(2 * torch.pi * frequency * time) + 0.01 * noise) * torch.sin(1.3 * time) ** 2)[None]


def talk(seconds: float = 14.0, sample_rate: int = RATE) -> dict[str, Any]:
    """Two voices in turn."""
    turns = [tone((150, 400)[k % 2], 2.5, seed=k) for k in range(int(seconds / 2.5) + 1)]
    return {"waveform": torch.cat(turns, dim=1)[:, : round(seconds * RATE)], "sample_rate": sample_rate, "uri": "talk"}


def rows(output: Output) -> list[tuple[float, float, str]]:
    return [(*segment, label) for segment, _, label in output.speaker_diarization.itertracks(yield_label=True)]
