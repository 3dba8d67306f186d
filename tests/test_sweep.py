"""The recipe that measures DER against difficulty, on toy voices."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pyannote.core import Segment, Timeline
from toy import annotation, write_toy_voices

from pyannote_pix2seq.evaluation.comparison import Evaluation, SystemScores
from pyannote_pix2seq.evaluation.scores import score
from pyannote_pix2seq.evaluation.system import System
from pyannote_pix2seq.simulation.labels import HEARD
from pyannote_pix2seq.simulation.turn_statistics import TurnStatistics

ROOT = Path(__file__).parent.parent
NOBODY = """
import sys
from pyannote_pix2seq.evaluation.answer import respond
respond(lambda audio: ([], None), *sys.argv[1:])
"""


@pytest.fixture(scope="module")
def sweep(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("sweep.py")


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_voices(tmp_path_factory.mktemp("sweep") / "voices", num_dev=16)


def test_turns_are_as_wished(sweep: ModuleType) -> None:
    for overlap, num_speakers in ((0, 2), (20, 3), (10, 5)):
        turns = sweep.Wished(overlap, num_speakers).draw(np.random.default_rng(1), 30)
        found = TurnStatistics(turns).stretch(0, 30)
        assert found.num_speakers == num_speakers
        assert 100 * found.overlap / found.speech == pytest.approx(overlap, abs=3)


def test_only_what_an_axis_is_about_changes(sweep: ModuleType, voices: Path) -> None:
    options = sweep.argparse.Namespace(voices=voices, axes=["noise", "speakers"], domains=[], every=5, duration=20.0)
    files = list(sweep.conversations(sweep.simulators(options, None), 2, HEARD))
    noise, speakers = files[:4], files[4:]
    assert [file["uri"] for file in noise] == ["noise=30/0", "noise=30/1", "noise=-5/0", "noise=-5/1"]
    turns = [list(file["annotation"].itertracks(yield_label=True)) for file in noise]
    assert turns[0] == turns[2] and turns[1] == turns[3] and turns[0] != turns[1]
    assert not np.allclose(noise[0]["waveform"], noise[2]["waveform"])
    assert [len(file["annotation"].labels()) for file in speakers] == [1, 1, 6, 6]


def test_what_is_named_twice_is_measured_once(sweep: ModuleType) -> None:
    chosen = ["--axes", "noise", "overlap", "noise", "--domains", "read", "read"]
    options, _ = sweep.parse(["--voices", "voices/", *chosen])
    assert (options.axes, options.domains) == (["noise", "overlap"], ["read"])
    options, _ = sweep.parse(["--voices", "voices/"])
    assert (options.axes, options.domains) == (list(sweep.AXES), list(sweep.DOMAINS))


def test_the_page_and_the_pictures_are_filled_in(
    sweep: ModuleType,
    voices: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sweep, "DOMAINS", {"studio": ("Easy", "large"), "call": ("Telephone", None)})
    peers = []
    for name in ("mute", "silent"):
        (tmp_path / f"{name}.py").write_text(NOBODY)
        peers += ["--peer", f"{name}={tmp_path / name}.py"]
    monkeypatch.setattr(System, "of_pipeline", lambda *_: System.of_peer(f"ours={tmp_path / 'mute.py'}"))
    page = tmp_path / "difficulty.md"
    page.write_text((ROOT / "docs" / "difficulty.md").read_text())
    sizes = ["--conversations", "2", "--duration", "4", "--every", "5", "--axes", "overlap", "noise"]
    folders = ["--voices", str(voices), "--page", str(page), "--into", str(tmp_path / "scores")]
    for wrong in ([*sizes, "nowhere"], ["--axes", "--domains"]):
        with pytest.raises(SystemExit):
            sweep.main([*folders, *wrong])
    with pytest.raises(SystemExit, match="gone.md cannot be read"):  # before anybody is asked
        sweep.main([*folders[:2], "--page", "gone.md", *sizes])
    with pytest.raises(SystemExit):
        sweep.main([*folders[:2], "--into", str(page), *sizes])
    assert f"--into {page} is a file. Name the folder that difficulty.csv is to be in" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="Not a directory"):
        sweep.main([*folders[:2], "--into", str(page / "scores"), *sizes])
    sweep.main([*folders, *peers, *sizes, "--domains", *list(sweep.DOMAINS)])
    text = page.read_text()
    rows = [line for line in text.splitlines() if re.match(r"\| (0|30|-5|studio|call) \|", line)]
    assert len(rows) == 5 and all("100.0 (0.0 / 100.0 / 0.0), 100.0 to 100.0" in row for row in rows)
    assert text.count("of 2 conversations of 4 s") == 2
    for name in ("difficulty.png", "domains.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "scores" / "difficulty.csv").open() as lines:
        uris = {row["recording"] for row in csv.DictReader(lines)}
    assert {"noise=-5/1", "domain=call/0"} < uris


def test_conversations_that_a_system_failed_on_are_not_counted(sweep: ModuleType) -> None:
    def evaluated(*uris: str) -> Evaluation:
        reference = annotation((0.0, 2.0, "ann"))
        scores = [score(uri, reference, reference, Timeline([Segment(0, 4)])) for uri in uris]
        return Evaluation("difficulty", [SystemScores("ours", scores)], [])

    both = evaluated("noise=30/0", "noise=30/1", "noise=20/1", "overlap=0/0")
    assert " of 1 to 2 conversations of 4 s, and " in sweep.tabulate(both, ["noise"])
    assert " of 1 conversations of 4 s, and " in sweep.tabulate(both, ["overlap"])
    assert " of 0 conversations of 4 s, and " in sweep.tabulate(both, ["speakers"])  # all of them failed


def test_as_many_systems_are_drawn_as_there_are(sweep: ModuleType, tmp_path: Path) -> None:
    said = annotation((0.0, 2.0, "ann"))
    scores = [score(uri, said, said, Timeline([Segment(0, 4)])) for uri in ("noise=30/0", "domain=read/0")]
    seeds = [SystemScores(f"ours seed {seed}", scores, [1, 1]) for seed in range(1, 13)]
    evaluation = Evaluation("difficulty", seeds, [])
    sweep.draw_axes(evaluation, ["noise"], tmp_path / "axes.png")
    sweep.draw_domains(evaluation, tmp_path / "domains.png")
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("axes.png", "domains.png"))
    looks = sweep._styles(seeds)
    assert len({colour for colour, _ in looks}) == 10 and {style for _, style in looks} == {"o-"}
