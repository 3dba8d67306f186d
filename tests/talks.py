"""Silent recordings with a reference, and the code of a system that says who speaks in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from pyannote.core import Annotation, Segment

LOUD, QUIET, SHORT = "loud one", "quiet", "short"

TELLER = """
import sys, wave
from pyannote_pix2seq.evaluation.answer import respond
assert "torch" not in sys.modules and "numpy" not in sys.modules

def diarize(audio):
    with wave.open(audio) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        seconds = file.getnframes() / 16000
    if seconds < {shortest}:
        raise RuntimeError("too short for me")
    bytearray(round(10e6 * seconds))  # 10 MB a second while it is at it
    return [(0.0, seconds / 2, "x"), (seconds / 2, seconds, "y")], {confidence}

respond(diarize, *sys.argv[-2:])
"""


def reference(uri: str) -> Annotation:
    annotation = Annotation(uri=uri)
    annotation[Segment(0, 2.0), 0] = "ann"
    annotation[Segment(1.5, 4.0), 1] = "bob"
    return annotation


def file(uri: str, seconds: float = 4.0, **more: Any) -> dict[str, Any]:
    waveform = np.zeros((2, int(44100 * seconds)), dtype=np.float32)
    return {"uri": uri, "annotation": reference(uri), "waveform": waveform, "sample_rate": 44100, **more}
