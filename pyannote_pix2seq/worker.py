"""Be a system that `pyannote_pix2seq.system` can call: any pipeline of pyannote.audio.

python -m pyannote_pix2seq.worker PIPELINE recordings.json answers.jsonl
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

from pyannote.audio import Pipeline  # noqa: E402

from pyannote_pix2seq.audio import load  # noqa: E402
from pyannote_pix2seq.system import Turns, respond  # noqa: E402


def diarizer(pipeline: Pipeline) -> Callable[[str], tuple[Turns, Sequence[float] | None]]:
    """What `respond` asks for, of a pipeline; it may return an `Annotation` or a `DiarizeOutput`.

    Files are handed over as waveforms, which needs no FFmpeg.
    """

    def diarize(audio: str) -> tuple[Turns, Sequence[float] | None]:
        return turns_and_confidence(pipeline(load(audio)))

    return diarize


def turns_and_confidence(output: Any) -> tuple[Turns, Sequence[float] | None]:
    """Turns of what a pipeline returns, and their confidence where it has one."""
    annotation = getattr(output, "speaker_diarization", output)
    turns = [(turn.start, turn.end, str(speaker)) for turn, _, speaker in annotation.itertracks(yield_label=True)]
    confidence = getattr(output, "confidence", None)
    return turns, confidence if confidence is None else list(map(float, confidence))


if __name__ == "__main__":
    pipeline = Pipeline.from_pretrained(sys.argv[1])
    if pipeline is None:
        raise SystemExit(f"{sys.argv[1]} is neither a folder of a pipeline nor one that can be fetched from a hub.")
    respond(diarizer(pipeline), *sys.argv[2:])
