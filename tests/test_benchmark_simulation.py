from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from toy import SAMPLE_RATE, write_rttm, write_toy_voices

from pyannote_pix2seq.simulation import Voices
from pyannote_pix2seq.simulation.noise import NoiseError
from pyannote_pix2seq.simulation.store import write_voices
from pyannote_pix2seq.simulation.table import read_table

STAND_IN = """
import csv, json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
rows = list(csv.DictReader((folder / "speech.tsv").open(), delimiter="\\t"))
assert {row["speaker"] for row in rows} == {f"train{n:02d}" for n in range(8)}, rows
assert all((folder / row["path"]).exists() for row in rows)
assert sum(float(row["seconds"]) for row in rows) == 32.0, rows
assert (folder / "noise.tsv").read_text().split() == ["path", "noise-hum.wav"]
times = {"planning": 2.0, "voices alone": 1.0, "everything on": 4.0}
print("Learned parameters", json.dumps({"seconds": 100.0, "times": times}), sep="\\n")
"""


@pytest.fixture()
def recipe(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("benchmark_simulation.py")


@pytest.fixture()
def options(tmp_path: Path) -> list[str]:
    write_toy_voices(tmp_path / "voices")
    (tmp_path / "turns").mkdir()
    write_rttm(tmp_path / "turns" / "a.rttm", [(0.0, 1.5, "a"), (1.0, 2.0, "b"), (3.0, 1.0, "a")])
    (tmp_path / "hum").mkdir()
    soundfile.write(tmp_path / "hum" / "hum.wav", np.full(SAMPLE_RATE, 0.1), SAMPLE_RATE)
    sizes = ["--conversations", "1", "--runs", "1", "--duration", "4", "--speakers", "2", "--descriptions", "30"]
    folders = ["--voices", tmp_path / "voices", "--turns", tmp_path / "turns", "--noise", tmp_path / "hum"]
    return [*map(str, folders), *sizes]


def test_all_ways_of_sounding_are_measured_and_lhotse_beside_them(
    recipe: ModuleType,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    pytest.importorskip("python_stretch")
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    monkeypatch.setattr(recipe, "LHOTSE", tmp_path / "stand_in.py")
    monkeypatch.setattr(recipe, "NOISE", 1)
    monkeypatch.setattr(sys, "argv", ["benchmark_simulation.py", *options, "--lhotse-python", sys.executable])
    recipe.main()
    out = capsys.readouterr().out
    assert "30 described" in out
    speeds = dict(re.findall(r"^(.*): (\d+) times real time on one core$", out, re.MULTILINE))
    assert set(recipe.WAYS) < set(speeds) and min(int(speeds[way]) for way in recipe.WAYS) > 0
    assert [speeds[f"lhotse, {name}"] for name in ("planning", "voices alone", "everything on")] == ["50", "100", "25"]


def test_voices_and_noise_may_have_any_name(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speech = [np.full(SAMPLE_RATE, 9, dtype=np.int16)]
    write_voices(tmp_path / "voices", [(name, "toy", "train", speech) for name in ("Ann Smith", "a/b", '"c"\t%')])
    soundfile.write(tmp_path / "hum.wav", np.full(SAMPLE_RATE, 0.1), SAMPLE_RATE)
    (tmp_path / "noise.tsv").write_text("path\tkind\nhum.wav\tin/doors\n")
    monkeypatch.setattr(recipe, "NOISE", 1)
    (tmp_path / "out").mkdir()
    recipe.write_utterances(Voices(tmp_path / "voices", "train"), tmp_path / "noise.tsv", tmp_path / "out")
    listed = [read_table(tmp_path / "out" / f"{what}.tsv", ["path"], NoiseError) for what in ("speech", "noise")]
    paths = [tmp_path / "out" / row["path"] for rows in listed for _, row in rows]
    assert len(set(paths)) == 4 and all(soundfile.info(path).duration == 1 for path in paths)


def test_a_python_without_lhotse_is_told_what_it_needs(
    recipe: ModuleType, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit(1)")
    monkeypatch.setattr(recipe, "LHOTSE", tmp_path / "broken.py")
    monkeypatch.setattr(recipe, "NOISE", 1)
    monkeypatch.setattr(recipe, "WAYS", {})
    monkeypatch.setattr(sys, "argv", ["benchmark_simulation.py", *options, "--lhotse-python", sys.executable])
    with pytest.raises(SystemExit, match="could not simulate. It needs: pip install lhotse"):
        recipe.main()
