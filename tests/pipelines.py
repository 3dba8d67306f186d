"""Models and pipelines in files, noise for them to hear, and when their outputs are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
import yaml
from pyannote.audio import Model, Pipeline
from pyannote.core import Annotation

from pyannote_pix2seq.output import Pix2SeqOutput
from pyannote_pix2seq.pipeline import Pix2SeqDiarization

RATE = 16000


def noise(seconds: float, sample_rate: int = RATE, channels: int = 1, seed: int = 0) -> torch.Tensor:
    """Noise that comes and goes, (channels, num_samples)."""
    generator = torch.Generator().manual_seed(seed)
    num_samples = round(seconds * sample_rate)
    loud = torch.sin(torch.arange(num_samples) / sample_rate * 2) ** 2
    return 0.1 * loud * torch.randn(channels, num_samples, generator=generator)


def recording(seconds: float, uri: str = "noise", **fields: Any) -> dict[str, Any]:
    return {"waveform": noise(seconds), "sample_rate": RATE, "uri": uri, **fields}


def save_checkpoint(model: Model, path: Path) -> None:
    """Save a model as pyannote.audio does."""
    checkpoint = {
        "state_dict": model.state_dict(),
        "hyper_parameters": dict(model.hparams),
        "pytorch-lightning_version": lightning.__version__,
    }
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)


def with_params(folder: Path, **params: Any) -> Pix2SeqDiarization:
    """The pipeline of a folder with further parameters in its configuration."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["pipeline"]["params"] |= {"model": str(folder / "model" / "pytorch_model.bin"), **params}
    return Pipeline.from_pretrained(config)  # type: ignore[return-value]


def rows(annotation: Annotation) -> list[tuple[float, float, str]]:
    return [(*segment, str(label)) for segment, _, label in annotation.itertracks(yield_label=True)]


def same(first: Pix2SeqOutput, second: Pix2SeqOutput) -> bool:
    return (
        rows(first.speaker_diarization) == rows(second.speaker_diarization)
        and rows(first.exclusive_speaker_diarization) == rows(second.exclusive_speaker_diarization)
        and first.confidence == second.confidence
    )
