from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from toy import SAMPLE_RATE, write_toy_voices

from pyannote_pix2seq.simulation.acoustics import Acoustics
from pyannote_pix2seq.simulation.conversation import Conversation, Simulator
from pyannote_pix2seq.simulation.portrait import OVERLAP, draw
from pyannote_pix2seq.simulation.turns import PlainTurns
from pyannote_pix2seq.simulation.voices import Voices
from pyannote_pix2seq.vocabulary import Triplet

TURNS = (Triplet(0.0, 4.0, 0), Triplet(1.0, 1.5, 1), Triplet(3.5, 6.0, 1), Triplet(7.0, 9.0, 0))
SOUND = np.zeros((1, 10 * SAMPLE_RATE), dtype=np.float32)


def pixels(path: Path) -> np.ndarray:
    return matplotlib.image.imread(path)[..., :3]


def count(path: Path, colour: str) -> int:
    wanted = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return int((np.abs(pixels(path) - wanted).max(axis=-1) < 0.01).sum())


def test_turns_overlaps_and_events_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marked: dict[str, list[tuple[float, int]]] = {}
    from matplotlib.axes import Axes

    scatter = Axes.scatter

    def noted(axes: Axes, x: list[float], y: list[int], label: str, **options: object) -> object:
        marked[label] = list(zip(x, y, strict=True))
        return scatter(axes, x, y, label=label, **options)

    monkeypatch.setattr(Axes, "scatter", noted)
    draw(Conversation("Toy-$1$", 10.0, TURNS, ("ann", "bob")), SOUND, tmp_path / "two.png")
    assert marked == {"backchannel": [(1.0, 1)], "interruption": [(3.5, 1)]}
    draw(Conversation("Toy", 10.0, TURNS[:1], ("ann",)), SOUND, tmp_path / "one.png")
    assert count(tmp_path / "two.png", OVERLAP) > 3 * count(tmp_path / "one.png", OVERLAP) > 0  # the key remains


def test_a_conversation_that_was_simulated_can_be_drawn(tmp_path: Path) -> None:
    voices = Voices(write_toy_voices(tmp_path), "train")
    simulator = Simulator(voices, PlainTurns(), Acoustics(pitch_probability=0), duration=5.0)
    conversation = simulator.describe("Toy-1")
    draw(conversation, simulator.render(conversation), tmp_path / "toy.png")
    assert pixels(tmp_path / "toy.png").shape[1] == 1800


def test_nobody_speaking_can_be_drawn(tmp_path: Path) -> None:
    draw(Conversation("Toy-quiet", 3.0, (), ()), SOUND[:, : 3 * SAMPLE_RATE], tmp_path / "quiet.png")
    assert pixels(tmp_path / "quiet.png").size
