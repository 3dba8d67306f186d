"""The benchmark of speed: what it says it measured, and which options go together."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile


@pytest.fixture
def benchmark(
    load_recipe: Callable[[str], ModuleType], tmp_path: Path, tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Run the recipe on a recording of 3 s."""
    soundfile.write(tmp_path / "talk.wav", np.random.default_rng(0).normal(0, 0.1, 48000), 16000)
    recipe = load_recipe("benchmark.py")

    def run(*options: str) -> None:
        command = [str(tmp_path / "talk.wav"), "--pipeline", str(tiny_pipeline), "--runs", "2", *options]
        monkeypatch.setattr(sys, "argv", ["benchmark.py", *command])
        recipe.main()

    return run


def test_one_recording_is_repeated_to_the_duration(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark("--minutes", "0.2", "--threads", "1")
    assert re.fullmatch(
        r"0\.2 minutes on 1 threads: [\d.]+ times real time \(median of 2, [\d.]+ to [\d.]+\), peak memory [\d.]+ GB\n",
        capsys.readouterr().out,
    )


def test_a_batch_is_diarized_by_the_command_line(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark("--files", "2", "--runs", "1")
    assert re.fullmatch(
        r"2 recordings of 3 s by 1 process: [\d.]+ times real time \(median of 1, [\d.]+ to [\d.]+\)\n",
        capsys.readouterr().out,
    )


def test_a_batch_that_fails_is_no_measurement(
    load_recipe: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    soundfile.write(tmp_path / "talk.wav", np.zeros(16000), 16000)
    recipe = load_recipe("benchmark.py")
    monkeypatch.setattr(recipe, "COMMAND", (sys.executable, "-c", "raise SystemExit(2)"))
    monkeypatch.setattr(sys, "argv", ["benchmark.py", str(tmp_path / "talk.wav"), "--files", "1"])
    with pytest.raises(SystemExit) as refusal:
        recipe.main()
    assert refusal.value.code == "benchmark.py: The command line ended with exit status 2; what it said is above."
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("--jobs 2", "--jobs 2: one recording is diarized by one process. Add --files"),
        ("--files 2 --threads 1", "--minutes and --threads are about one recording: leave them out, or --files"),
        ("--files 2 --minutes 1", "--minutes and --threads are about one recording: leave them out, or --files"),
        ("--minutes 1441", "--minutes 1441: the recording is in memory; a day, 1440, is the most"),
    ],
)
def test_options_that_do_not_go_together(
    benchmark: Any, options: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        benchmark(*options.split())
    assert error in capsys.readouterr().err
