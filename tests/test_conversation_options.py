"""Options of a command line that say what conversations are made of, and what they are like."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from toy import SAMPLE_RATE

from pyannote_pix2seq.console.conversation_options import add_conversations, kind_given
from pyannote_pix2seq.console.label_options import add_labels, labels_of
from pyannote_pix2seq.console.material_options import add_material, noises_of
from pyannote_pix2seq.simulation.labels import HEARD, Labels, LabelsError


def test_noise_is_generated_unless_recordings_are_named(tmp_path: Path) -> None:
    (tmp_path / "hum").mkdir()
    soundfile.write(tmp_path / "hum" / "0.wav", np.full(SAMPLE_RATE, 0.1), SAMPLE_RATE)
    parser = ArgumentParser()
    add_material(parser)
    assert noises_of(parser.parse_args(["--voices", "voices"])) is None
    found = noises_of(parser.parse_args(["--voices", "voices", "--noise", str(tmp_path)]))
    assert found is not None and found.kinds == ["hum"]


def test_a_command_line_can_ask_for_a_style_of_labels() -> None:
    parser = ArgumentParser()
    add_labels(parser)
    assert labels_of(parser.parse_args([])) == HEARD
    assert labels_of(parser.parse_args(["--merge-pauses", "0.8", "--padding", "-0.1"])) == Labels(0.8, -0.1)
    with pytest.raises(LabelsError, match="merge_pauses=-1"):
        labels_of(parser.parse_args(["--merge-pauses", "-1"]))


def test_what_conversations_are_like_is_told_to_the_next_recipe() -> None:
    typed = "--voices voices --turns ami ami vox --noise noise --hesitations 0.2 --merge-pauses 0.8 --padding -0.1"
    parser = ArgumentParser()
    add_conversations(parser)
    options = parser.parse_args([*typed.split(), "--conversations", "7"])
    assert kind_given(options) == typed.split()
