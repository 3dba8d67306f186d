"""docs/simulation.md: what it tells people to type does what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pyannote.database import registry
from toy import SAMPLE_RATE, toy_voice, write_rttm

from pyannote_pix2seq.simulation import FittedTurns
from pyannote_pix2seq.simulation.store import to_level, write_voices

PAGE = Path(__file__).parent.parent / "docs" / "simulation.md"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the voices, noise and RTTM files of the page."""
    speech = [to_level(toy_voice(200, 2.0))]
    write_voices(
        tmp_path / "voices",
        [(f"{split}{number:02d}", "toy", split, speech) for split in ("train", "dev", "test") for number in range(13)],
    )
    for folder in ("rttms", "ami", "noise/rain"):
        (tmp_path / folder).mkdir(parents=True)
    turns = FittedTurns.ready("ami").draw(np.random.default_rng(0), 300)
    lines = [(start, end - start, f"s{speaker}") for start, end, speaker in turns]
    for folder in ("rttms", "ami"):
        write_rttm(tmp_path / folder / "m.rttm", lines)
    soundfile.write(tmp_path / "noise" / "rain" / "a.wav", np.random.default_rng(0).normal(0, 0.1, 99999), SAMPLE_RATE)
    monkeypatch.chdir(tmp_path)
    databases = dict(registry.databases)
    yield tmp_path
    registry.databases.clear()
    registry.databases.update(databases)


def test_every_line_of_python_runs(home: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 7
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert (home / "mine.json").exists() and (home / "conversation.png").exists()
    assert "Synthetic.SpeakerDiarization.Crowd: endless train" in str(names["protocol"])
    voices = names["Voices"](home / "voices", "train")
    studio = names["Simulator"](voices, names["Dialogue"](), names["Studio"](), duration=4.0)
    assert studio.render(studio.describe("Mine-1")).shape == (1, 4 * SAMPLE_RATE)
