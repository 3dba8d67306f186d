"""Loading of pipelines of this package, with some of their options changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyannote_pix2seq.checkpoints import load_pipeline
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.sources import ModelError


def load_diarization(
    source: str | Path, strategy: str | None = None, decoding: Mapping[str, Any] | None = None
) -> Pix2SeqDiarization:
    """Load a pipeline of this package, with some options changed.

    Parameters
    ----------
    source : str or Path
        See `checkpoints.load_pipeline`.
    strategy : str, optional
        How chunks are read; as the pipeline says if there is none.
    decoding : mapping, optional
        Options of `DecodingOptions` to change; those that are None stay as the pipeline says.

    Raises
    ------
    ModelError
        If there is no such pipeline, it is of another package, or it cannot have these options.
    """
    pipeline = load_pipeline(source)
    if not isinstance(pipeline, Pix2SeqDiarization):
        raise ModelError(
            f"{source} is a {type(pipeline).__name__}; it has to be a Pix2SeqDiarization, such as the one that comes "
            f"with this package, or those that recipes/export.py makes."
        )
    changes = {name: value for name, value in (decoding or {}).items() if value is not None}
    try:
        pipeline.decoding = DecodingOptions.of({**asdict(pipeline.decoding), **changes})
        pipeline.strategy = pipeline.strategy if strategy is None else strategy
        pipeline.check()
    except (ValueError, TypeError) as error:
        raise ModelError(f"{source}: {error}") from error
    return pipeline
