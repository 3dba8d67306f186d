"""What systems answer: what is wrong with it, what of it counts, and what is asked again."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyannote_pix2seq.evaluation.answer import read_answers, respond
from pyannote_pix2seq.evaluation.peak_memory import peak_memory
from pyannote_pix2seq.evaluation.system import System


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ({"turns": [[0.0, 1.0]]}, "not enough values to unpack"),
        ({"turns": [[0.0, float("nan"), "x"]]}, "times, confidences, seconds and memory have to be finite numbers"),
        ({"turns": [["0", "1", "x"]]}, "have to be finite numbers"),
        ({"turns": [[0.0, 1.0, "x"]], "confidence": [None]}, "have to be finite numbers"),
        ({"turns": [[0.0, 1.0, ["x"]]]}, "speakers have to have names"),
        ({"memory": None}, "have to be finite numbers"),
        ({"turns": [[2.0, 1.0, "x"]]}, "turns do not end before they begin"),
        ({"turns": [[0.0, 1.0, "x"]], "confidence": [7]}, "confidences are from 0 to 1"),
        ({"no": 1}, "unexpected keyword argument 'no'"),
    ],
)
def test_what_is_wrong_with_an_answer_is_told(answer: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    (tmp_path / "answer.jsonl").write_text("7\n{}\n" + json.dumps({"uri": "a", **answer}) + "\n{")
    script = tmp_path / "odd.py"
    script.write_text(f"import shutil, sys; shutil.copy({str(tmp_path / 'answer.jsonl')!r}, sys.argv[-1])")
    (tmp_path / "recordings.json").write_text('[{"uri": "a", "audio": "a.wav"}]')
    (found,) = System.of_peer(f"odd={script}").answer(tmp_path / "recordings.json", 1).values()
    assert found.turns == () and found.error is not None and complaint in found.error


@pytest.mark.parametrize("error", [PermissionError, FileNotFoundError])
def test_a_peak_that_cannot_be_forgotten_stops_nobody(
    error: type[OSError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    (tmp_path / "asked.json").write_text(json.dumps([{"uri": "a", "audio": "a.wav"}]))
    monkeypatch.setattr(Path, "write_text", refuse)
    respond(lambda audio: ([], None), str(tmp_path / "asked.json"), str(tmp_path / "answers.jsonl"))
    answer = json.loads((tmp_path / "answers.jsonl").read_text())
    assert answer["error"] is None and answer["memory"] > 0


def test_the_peak_is_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path: "VmPeak:\t 4096 kB\nVmHWM:\t 2048 kB\nVmRSS:\t 1024 kB\n")
    assert peak_memory() == 2 * 2**20


def test_turns_and_confidence_may_be_anything_to_go_through(tmp_path: Path) -> None:
    (tmp_path / "asked.json").write_text(json.dumps([{"uri": uri, "audio": uri} for uri in "ab"]))
    times, sure = np.array([0.0, 1.0, 3.0], np.float32), np.array([0.5, 0.25], np.float32)
    respond(
        lambda audio: (((start, end, audio) for start, end in pairwise(times)), sure),  # type: ignore[arg-type,return-value]
        str(tmp_path / "asked.json"),
        str(tmp_path / "answers.jsonl"),
    )
    answers = read_answers(tmp_path / "answers.jsonl")
    assert {uri: answer.error for uri, answer in answers.items()} == {"a": None, "b": None}
    assert answers["b"].turns == [[0, 1, "b"], [1, 3, "b"]] and answers["b"].confidence == [0.5, 0.25]


def test_answers_of_a_run_that_was_killed_count(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings.json"
    recordings.write_text(json.dumps([{"uri": uri, "audio": uri} for uri in ("a", "b", "c")]))
    killed = System("killed", ("sh", "-c", f"cat {tmp_path}/said > $1; kill -9 $$"))
    # one without an end of line, which is complete; one that was not finished; one that is something else
    lines = [{"uri": "a", "turns": [[0, 1, "x\u2028y"]]}, {"uri": "b", "turns": [[0, 2, "z"]]}]
    (tmp_path / "said").write_text(
        f'{json.dumps(lines[0], ensure_ascii=False)}\n{{"uri": "c", "tu\n7\n{json.dumps(lines[1])}'
    )
    answers = killed.answer(recordings, 1)
    assert answers["a"].turns == [[0, 1, "x\u2028y"]] and answers["b"].turns == [[0, 2, "z"]]
    assert answers["c"].error is not None and "ended with exit status -9" in answers["c"].error
    (tmp_path / "said").write_text(json.dumps({"uri": "c", "turns": []}))
    assert {uri: len(answer.turns) for uri, answer in killed.answer(recordings, 1).items()} == {"a": 1, "b": 1, "c": 0}
    asked = json.loads(next(tmp_path.glob("*.asked.json")).read_text())
    assert [recording["uri"] for recording in asked] == ["c"]


def test_what_a_system_failed_on_is_asked_again(tmp_path: Path) -> None:
    (tmp_path / "recordings.json").write_text(json.dumps([{"uri": "a", "audio": "a"}]))
    today = tmp_path / "today"
    # its arguments are recordings and answers
    system = System("moody", ("sh", "-c", f"cat {today} > $1"))
    today.write_text(json.dumps({"uri": "a", "error": "not today"}) + "\n")
    assert system.answer(tmp_path / "recordings.json", 1)["a"].error == "not today"
    today.unlink()
    error = system.answer(tmp_path / "recordings.json", 1)["a"].error
    assert error is not None and "ended with exit status 1" in error  # not what it said yesterday
    today.write_text(json.dumps({"uri": "a", "turns": [[0, 1, "x"]]}) + "\n")
    for _ in range(2):
        assert system.answer(tmp_path / "recordings.json", 1)["a"].turns == [[0, 1, "x"]]
        today.unlink(missing_ok=True)  # it is not asked again
