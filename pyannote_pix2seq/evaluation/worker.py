"""Any pipeline of pyannote.audio, as a system that `pyannote_pix2seq.evaluation.system` can call.

python -m pyannote_pix2seq.evaluation.worker PIPELINE [--strategy chain] [--seed 1] recordings.json answers.jsonl

PyTorch and pyannote.audio are imported by the functions that use them, so that Ctrl-C meanwhile is one line, too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

from pyannote_pix2seq.console.arguments import Parser, whole
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.console.progress import bar_of_steps
from pyannote_pix2seq.evaluation.answer import Turns, respond
from pyannote_pix2seq.strategies.strategy import STRATEGIES

if TYPE_CHECKING:
    from pyannote.audio import Pipeline


def read(source: str, strategy: str | None = None, seed: int | None = None) -> Pipeline:
    """Load a pipeline, with another strategy or seed than its own if one is given.

    Raises
    ------
    ModelError
        If there is no such pipeline, or it has no strategies and seeds, or not that one.
    """
    from pyannote_pix2seq.checkpoints import load_pipeline
    from pyannote_pix2seq.loading import load_diarization

    if strategy is None and seed is None:
        return load_pipeline(source)
    return load_diarization(source, strategy, {"seed": seed})


def answer(pipeline: Pipeline, file: Mapping[str, Any]) -> tuple[Turns, Sequence[float] | None]:
    """Turns and confidence of a file; the pipeline may return an `Annotation` or a `DiarizeOutput`."""
    with bar_of_steps(file["uri"]) as hook:
        return turns_and_confidence(pipeline(file, hook=hook))


def turns_and_confidence(output: Any) -> tuple[Turns, Sequence[float] | None]:
    """Turns in the output of a pipeline, and their confidence if it has any."""
    annotation = getattr(output, "speaker_diarization", output)
    turns = [(turn.start, turn.end, str(speaker)) for turn, _, speaker in annotation.itertracks(yield_label=True)]
    confidence = getattr(output, "confidence", None)
    return turns, confidence if confidence is None else list(map(float, confidence))


def main() -> None:
    parser = Parser(description="A system for pyannote_pix2seq.evaluation.system.")
    parser.add_argument("pipeline", help="for Pipeline.from_pretrained")
    parser.add_argument("--strategy", choices=STRATEGIES)
    parser.add_argument("--seed", type=whole)
    parser.add_argument("recordings", help="see pyannote_pix2seq/evaluation/answer.py")
    parser.add_argument("answers")
    options = parser.parse_args()
    with one_line_messages():
        from pyannote_pix2seq.audio.recording import load
        from pyannote_pix2seq.pipeline import Pix2SeqDiarization

        pipeline = read(options.pipeline, options.strategy, options.seed)

        def diarize(audio: str) -> tuple[Turns, Sequence[float] | None]:
            # ours reads files block by block; others need FFmpeg for files, and nothing for waveforms
            is_ours = isinstance(pipeline, Pix2SeqDiarization)
            return answer(pipeline, {"audio": audio, "uri": Path(audio).stem} if is_ours else load(audio))

        respond(diarize, options.recordings, options.answers)


if __name__ == "__main__":
    main()
