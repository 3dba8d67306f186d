"""Options of a command line that say what conversations are made of, and what they are like."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import soundfile
from toy import SAMPLE_RATE

from pyannote_pix2seq.console.material_options import add_material, noises_of


def test_noise_is_generated_unless_recordings_are_named(tmp_path: Path) -> None:
    (tmp_path / "hum").mkdir()
    soundfile.write(tmp_path / "hum" / "0.wav", np.full(SAMPLE_RATE, 0.1), SAMPLE_RATE)
    parser = ArgumentParser()
    add_material(parser)
    assert noises_of(parser.parse_args(["--voices", "voices"])) is None
    found = noises_of(parser.parse_args(["--voices", "voices", "--noise", str(tmp_path)]))
    assert found is not None and found.kinds == ["hum"]
