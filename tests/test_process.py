"""Systems in processes of their own: what they import, and when they end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyannote_pix2seq.evaluation import process
from pyannote_pix2seq.evaluation.process import PACKAGE
from pyannote_pix2seq.evaluation.system import System

ROOT = Path(__file__).parent.parent

NOSY = """
import sys
from pathlib import Path
import pyannote_pix2seq
from pyannote_pix2seq.evaluation.answer import respond

try:
    import decoy
except ModuleNotFoundError as error:
    decoy = error
place = Path(pyannote_pix2seq.__file__).resolve()
respond(lambda audio: ([(0, 1, str(place)), (1, 2, str(decoy))], None), *sys.argv[1:])
"""


def test_a_peer_imports_this_package_and_nothing_that_is_installed_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, peer = tmp_path / "site-packages", tmp_path / "peer"
    shutil.copytree(PACKAGE, site / PACKAGE.name, ignore=shutil.ignore_patterns("pretrained*", "__pycache__"))
    (site / "decoy.py").write_text("# a module of ours that the peer has as well, in another version")
    peer.mkdir()
    (peer / "nosy.py").write_text(NOSY)
    (tmp_path / "recordings.json").write_text(json.dumps([{"uri": "a", "audio": "a"}]))
    monkeypatch.setattr(process, "PACKAGE", site / PACKAGE.name)
    answer = System.of_peer(f"nosy={peer}/nosy.py").answer(tmp_path / "recordings.json", 1)["a"]
    assert answer.error is None
    assert [speaker for _, _, speaker in answer.turns] == [
        str(site / PACKAGE.name / "__init__.py"),
        "No module named 'decoy'",
    ]


def test_a_pipeline_that_is_interrupted_while_it_begins_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    worker = [sys.executable, "-m", "pyannote_pix2seq.evaluation.worker", "mine", "recordings.json", "answers.jsonl"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    done = subprocess.run(worker, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "worker.py: interrupted\n")


ORPHAN = """
import os, sys, time
from pathlib import Path
from pyannote_pix2seq.evaluation.answer import respond

asker = os.getppid()

def diarize(audio):
    Path(sys.argv[1]).with_name("started").touch()
    while os.getppid() == asker:
        time.sleep(0.01)
    return [], None

respond(diarize, *sys.argv[1:])
"""
ASKER = """
import subprocess, sys, time
from pathlib import Path

subprocess.Popen([sys.executable, *sys.argv[1:]])
while not Path(sys.argv[2]).with_name("started").exists():
    time.sleep(0.01)
"""


def test_a_system_stops_when_nobody_waits_for_its_answers(tmp_path: Path) -> None:
    (tmp_path / "orphan.py").write_text(ORPHAN)
    recordings, answers = tmp_path / "recordings.json", tmp_path / "answers.jsonl"
    recordings.write_text(json.dumps([{"uri": uri, "audio": uri} for uri in "ab"]))
    command = [sys.executable, "-c", ASKER, str(tmp_path / "orphan.py"), str(recordings), str(answers)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)  # until both have ended
    assert done.returncode == 0 and "nobody waits for answers any more" in done.stderr
    assert answers.read_text() == ""


def test_a_system_ends_with_the_recipe_that_waits_for_it(tmp_path: Path) -> None:
    (tmp_path / "recordings.json").write_text(json.dumps([{"uri": "a", "audio": "a"}]))
    tireless = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"
    (tmp_path / "tireless.py").write_text(tireless)
    asking = "from pathlib import Path; from pyannote_pix2seq.evaluation.system import System; "
    asking += "System.of_peer('tireless=tireless.py').answer(Path('recordings.json').absolute(), 1)"
    asker = subprocess.Popen([sys.executable, "-c", asking], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        assert asker.poll() is None
        time.sleep(0.05)
    asker.terminate()
    assert asker.wait() == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_systems_are_asked_from_any_thread(tmp_path: Path) -> None:
    (tmp_path / "recordings.json").write_text(json.dumps([{"uri": "a", "audio": "a"}]))
    mute = System("mute", (sys.executable, "-c", ""))
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(mute.answer, tmp_path / "recordings.json", 1).result()
    assert answers["a"].error == "mute gave no answer and ended with exit status 0; its own messages are above"


def test_a_system_is_told_how_many_threads_it_may_use(tmp_path: Path) -> None:
    (tmp_path / "recordings.json").write_text(json.dumps([{"uri": "a", "audio": "a"}]))
    told = System("told", ("sh", "-c", """echo '{"uri": "a", "turns": [[0, '$OMP_NUM_THREADS', "x"]]}' > $1"""))
    assert told.answer(tmp_path / "recordings.json", 3)["a"].turns == [[0, 3, "x"]]
