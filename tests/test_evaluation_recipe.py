"""The recipe that evaluates systems: which files it scores, where it writes, and what it refuses."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from pyannote.database import registry

from pyannote_pix2seq.evaluation.comparison import Evaluation
from pyannote_pix2seq.evaluation.registered import ProtocolError, files_of, register
from pyannote_pix2seq.evaluation.system import System


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
        (["Toy.SpeakerDiarization.Later"], r"Later is not there yet \(.*later\.lst\S*[^.]\): .* recipes/render\.py"),
        (["Toy.SpeakerDiarization.All", "--subset", "train"], "has no train files. Choose another --subset: test\\.$"),
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


def test_one_failure_of_many_is_one_and_a_picture_of_other_scores_does_not_stay(
    load_recipe: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluated(name: str, files: Any, systems: Any, threads: int, place: Path, *_: Any) -> Evaluation:
        place.mkdir(parents=True)
        return Evaluation(name, [], ["talk is left out."] if name == "Bad" else [])

    recipe = load_recipe("evaluate.py")
    monkeypatch.setattr(recipe, "files_of", lambda *_: [])
    monkeypatch.setattr(recipe, "evaluate", evaluated)
    (tmp_path / "scores.png").touch()
    assert recipe.main(["Good", "Bad", "Fine", "--into", str(tmp_path)]) == 1
    assert [path.name for path in (tmp_path / "unfinished").iterdir()] == ["Bad.test"]
    assert {path.name for path in tmp_path.iterdir()} == {"scores.csv", "scores.md", "unfinished"}


def test_the_recipe_says_which_subset_it_scored_and_keeps_each_apart(
    load_recipe: Callable[[str], ModuleType],
    teller: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(System, "of_pipeline", lambda *_: teller("ours"))  # whose process begins at once
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
    options = [name, "--registry", str(tmp_path / "database.yml"), "--threads", "1"]
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


def test_a_database_that_was_loaded_before_is_loaded_again_without_a_warning(tmp_path: Path) -> None:
    def write(folder: str) -> Path:
        path = tmp_path / folder / "database.yml"
        path.parent.mkdir()
        (path.parent / "all.lst").write_text(f"{folder}\n")
        path.write_text("Protocols: {Same: {SpeakerDiarization: {All: {test: {uri: all.lst}}}}}\n")
        return path

    mine, other = write("mine"), write("other")
    registry.load_database(mine)  # as pyannote.database itself does with that of the current folder
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        register(mine)
    with pytest.warns(UserWarning, match="Replacing existing Same.SpeakerDiarization.All protocol"):
        register(other)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        register(mine)
    assert [file["uri"] for file in files_of("Same.SpeakerDiarization.All", "test")] == ["mine"]


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("Two", r"files of X\.SpeakerDiarization\.Both cannot be read \(ValueError: could not convert .*zero"),
        ("Gone", r"X\.SpeakerDiarization\.Both is not there yet \(.*gone\.lst"),
        ("Unknown", r"files of X\.SpeakerDiarization\.Both cannot be read \(.*Unknown"),
    ],
)
def test_what_is_wrong_with_the_second_of_several_protocols_is_told(tmp_path: Path, member: str, message: str) -> None:
    for name, start in (("one", "0"), ("two", "zero")):
        (tmp_path / f"{name}.lst").write_text(f"{name}\n")
        (tmp_path / f"{name}.rttm").write_text(f"SPEAKER {name} 1 {start} 1 <NA> <NA> bob <NA> <NA>\n")
    own = {
        name: {"test": {"uri": f"{name.lower()}.lst", "annotation": f"{name.lower()}.rttm"}}
        for name in ("One", "Two", "Gone")
    }
    both = {"test": {f"Joined.SpeakerDiarization.{name}": ["test"] for name in ("One", member)}}
    protocols = {"Joined": {"SpeakerDiarization": own}, "X": {"SpeakerDiarization": {"Both": both}}}
    (tmp_path / "database.yml").write_text(yaml.safe_dump({"Protocols": protocols}, sort_keys=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each of these replaces that of the one before
        register(tmp_path / "database.yml")
    files = files_of("X.SpeakerDiarization.Both", "test")
    assert next(files)["uri"] == "one"
    with pytest.raises(ProtocolError, match=message):
        next(files)


def test_blank_lines_of_a_list_are_no_recordings(tmp_path: Path) -> None:
    (tmp_path / "all.lst").write_text("one\n\ntwo\n  \n")
    (tmp_path / "database.yml").write_text(
        "Protocols: {Blank: {SpeakerDiarization: {All: {scope: file, test: {uri: all.lst}}}}}\n"
    )
    register(tmp_path / "database.yml")
    assert [file["uri"] for file in files_of("Blank.SpeakerDiarization.All", "test")] == ["one", "two"]
