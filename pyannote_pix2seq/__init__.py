"""Speaker diarization written as a language.

Importing this package is quick: modules that need PyTorch are imported on first access.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyannote_pix2seq.audio import AudioError
    from pyannote_pix2seq.enrolment import Enrolment, EnrolmentError
    from pyannote_pix2seq.errors import Pix2SeqError
    from pyannote_pix2seq.limits import SpeakerCountError
    from pyannote_pix2seq.model import Pix2Seq
    from pyannote_pix2seq.output import Pix2SeqOutput
    from pyannote_pix2seq.pipeline import Pix2SeqDiarization
    from pyannote_pix2seq.protocol import SyntheticProtocol
    from pyannote_pix2seq.sources import ModelError
    from pyannote_pix2seq.task import SequenceDiarization
    from pyannote_pix2seq.vocabulary import Triplet, Vocabulary

__all__ = [
    "PRETRAINED",
    "PRETRAINED_MEL",
    "AudioError",
    "Enrolment",
    "EnrolmentError",
    "ModelError",
    "Pix2Seq",
    "Pix2SeqDiarization",
    "Pix2SeqError",
    "Pix2SeqOutput",
    "SequenceDiarization",
    "SpeakerCountError",
    "SyntheticProtocol",
    "Triplet",
    "Vocabulary",
    "__version__",
]

PRETRAINED = Path(__file__).parent / "pretrained"
"""Folder of the pipeline that comes with this package: `Pipeline.from_pretrained(PRETRAINED)`."""
PRETRAINED_MEL = Path(__file__).parent / "pretrained_mel"
"""Folder of a pipeline in which nothing is pretrained: a point of reference, not for use."""

try:
    __version__ = version("pyannote-pix2seq")
except PackageNotFoundError:  # a source folder on the path, not an installed package
    __version__ = "0+unknown"

MODULES = {
    "AudioError": "audio",
    "Enrolment": "enrolment",
    "EnrolmentError": "enrolment",
    "ModelError": "sources",
    "Pix2Seq": "model",
    "Pix2SeqDiarization": "pipeline",
    "Pix2SeqError": "errors",
    "Pix2SeqOutput": "output",
    "SequenceDiarization": "task",
    "SpeakerCountError": "limits",
    "SyntheticProtocol": "protocol",
    "Triplet": "vocabulary",
    "Vocabulary": "vocabulary",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
