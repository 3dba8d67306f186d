"""The recipe that measures systems on long recordings, on a short one of toy voices."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from toy import write_toy_voices

ROOT = Path(__file__).parent.parent
ONE = """
import sys
from pyannote_pix2seq.system import respond
respond(lambda audio: ([(0.0, 5.0, "x")], None), *sys.argv[1:])
"""


@pytest.fixture
def recipe(tmp_path: Path, tiny_pipeline: Path) -> Any:
    """Run the recipe on a meeting of 12 s; its exit status."""
    main = runpy.run_path(str(ROOT / "recipes" / "long_recordings.py"))["main"]
    (tmp_path / "one.py").write_text(ONE)
    folders = ["--voices", str(write_toy_voices(tmp_path / "voices")), "--into", str(tmp_path / "long")]
    meeting = ["--minutes", "0.2", "--speakers", "2", "--threads", "1"]

    def run(*options: str) -> int:
        peers = ["--peer", f"one={tmp_path / 'one.py'}", "--pipeline", str(tiny_pipeline), "--strategy", "chain"]
        return main([*folders, *meeting, *peers, *options])

    return run


def test_systems_are_measured_once_each_in_its_own_process(
    recipe: Any, tmp_path: Path, tiny_pipeline: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "long.md"
    page.write_text("<!-- long:begin -->\n<!-- long:end -->\n")
    assert recipe("--docs", str(page), "--peer", "broken=broken.py") == 1
    assert "broken is left out: broken gave no answer" in capfd.readouterr().out
    ours, one = [line.split(" | ") for line in page.read_text().splitlines()[3:5]]
    assert ours[2] == f"{tiny_pipeline.name} chain" and one[2] == "one" and one[5] == "1"
    assert float(ours[-1].strip(" |")) > 5 * float(one[-1].strip(" |")) > 0  # GB: one is nothing but Python
    kept = json.loads((tmp_path / "long" / "meeting-0.2min-2speakers.one.json").read_text())
    assert kept["missed"] > 0 and kept["factor"] > 0
    assert recipe("--docs", str(page)) == 0
    assert "of 2: " not in capfd.readouterr().err  # what systems say while they work
    assert "| one |" in page.read_text()
