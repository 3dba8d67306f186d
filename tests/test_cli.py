"""The command line: what it writes where, and what it says when it cannot."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from command import ROOT, write_talk
from pyannote.audio import Pipeline
from pyannote.database.util import load_rttm

from pyannote_pix2seq import cli
from pyannote_pix2seq.console import arguments
from pyannote_pix2seq.output import to_output
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.vocabulary import quantization_report

# what is written


def test_the_turns_of_one_file_go_to_stdout_as_python_finds_them(talk, diarize, tiny_pipeline):
    status, written, said = diarize(talk)
    assert (status, said) == (0, [])
    assert written == Pipeline.from_pretrained(tiny_pipeline)(talk).speaker_diarization.to_rttm()
    assert len(written.splitlines()) > 2
    assert [path.name for path in talk.parent.iterdir()] == ["talk.wav"]


def test_a_folder_gets_an_rttm_and_a_picture_of_each_file(talk, diarize):
    spaced = write_talk(talk.parent / "my  talk.v2.flac", seed=1)
    status, written, said = diarize(talk, spaced, "--into", "new/turns", "--picture")
    assert (status, written, said) == (0, "", ["2 of 2 files diarized"])
    folder = talk.parent / "new" / "turns"
    names = ["my_talk.v2.png", "my_talk.v2.rttm", "talk.png", "talk.rttm"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert set(load_rttm(folder / "my_talk.v2.rttm")) == {"my_talk.v2"}
    assert (folder / "talk.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "talk.rttm").read_text() == diarize(talk)[1]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_stdout_is_read_back_as_files_are_whatever_the_locale(talk, diarize, monkeypatch, tmp_path, encoding):
    written, name = io.BytesIO(), "Gespräch"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    diarize(talk.rename(talk.with_stem(name)))
    (tmp_path / "turns.rttm").write_bytes(written.getvalue())
    assert set(load_rttm(tmp_path / "turns.rttm")) == {name}


def test_an_empty_stdout_is_explained(talk, diarize, monkeypatch):
    monkeypatch.setattr(Pix2SeqDiarization, "apply", lambda *given, **_: to_output([], "talk", {}, 0, {}))
    complaint = "pyannote-pix2seq: talk.wav: nobody is heard to speak, so its RTTM is empty."
    assert diarize("talk.wav") == (0, "", [complaint])
    assert diarize("talk.wav", "--into", "out") == (0, "", ["1 of 1 files diarized"])


def test_a_warning_is_one_line(talk, diarize):
    talk.write_bytes(talk.read_bytes()[:320000])
    status, written, said = diarize(talk)
    assert status == 0 and written
    assert len(said) == 1 and said[0].startswith(f"pyannote-pix2seq: {talk} ends after 10.0 s, but its head")


@pytest.mark.parametrize(
    "options, allowed",
    [
        (["--num-speakers", 1], {1}),
        (["--num-speakers", 3], {3}),
        (["--min-speakers", 2, "--max-speakers", 2], {2}),
        (["--max-speakers", 2], {0, 1, 2}),
        (["--min-speakers", 4], {4, 5, 6, 7, 8}),
    ],
)
def test_the_number_of_speakers_is_obeyed(talk, diarize, options, allowed):
    status, written, _ = diarize(talk, *options)
    assert status == 0
    assert len({line.split()[7] for line in written.splitlines()}) in allowed


def test_decoding_and_strategies_are_those_of_the_pipeline(talk, diarize, tiny_pipeline, tmp_path):
    config = yaml.safe_load((tiny_pipeline / "config.yaml").read_text())
    config["pipeline"]["params"] |= {"model": f"{tiny_pipeline}/model", "decoding": {"method": "beam"}}
    (tmp_path / "beam.yaml").write_text(yaml.safe_dump(config))
    _, greedy, _ = diarize(talk)
    _, asked_for, _ = diarize(talk, "--decoding", "beam")
    _, configured, _ = diarize(talk, model=tmp_path / "beam.yaml")
    assert asked_for == configured != greedy


def test_a_legacy_pipeline_will_do(talk, diarize, tiny_pipeline, tmp_path):
    config = yaml.safe_load((tiny_pipeline / "config.yaml").read_text())
    config["pipeline"]["params"] |= {"model": f"{tiny_pipeline}/model", "legacy": True}
    (tmp_path / "legacy.yaml").write_text(yaml.safe_dump(config))
    assert diarize(talk, model=tmp_path / "legacy.yaml") == diarize(talk)


def test_one_channel_can_be_heard(talk, diarize):
    samples, rate = soundfile.read(talk)
    soundfile.write("both.wav", np.stack([samples, -samples], axis=1), rate)
    left = diarize(talk)[1].replace(" talk ", " both ")
    assert diarize("both.wav", "--channel", 0)[1:] == (left, [])
    status, _, said = diarize("both.wav")
    assert status == 0 and len(said) == 2 and "both.wav: its channels cancel each other out" in said[0]
    assert "--channel 0" in said[0] and "both.wav: nobody is heard to speak" in said[1]
    status, _, said = diarize("both.wav", "--channel", 2)
    assert status == 1 and "Channel 2 of both was asked for, but it has 2" in said[0]


def test_the_progress_bar_is_for_terminals(talk, diarize, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert diarize(talk, "--quiet")[2] == []
    drawn = diarize(talk)[2]
    for share, chunks in (("50%", "1/2"), ("100%", "2/2")):
        assert any(f"talk: {share}" in line.replace(":  ", ": ") and chunks in line for line in drawn)


def test_a_stdout_that_is_closed_is_one_line(talk, tiny_pipeline):
    command = shlex.join([sys.executable, "-m", "pyannote_pix2seq", "vocabulary", "--window", "30", "--speakers", "8"])
    done = subprocess.run(f"{command} >&-", shell=True, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "pyannote-pix2seq: [Errno 9] Bad file descriptor: stdout\n")


def test_a_stderr_that_is_closed_changes_nothing(talk, diarize, tiny_pipeline):
    command = shlex.join(
        [sys.executable, "-m", "pyannote_pix2seq", "diarize", "--model", str(tiny_pipeline), str(talk)]
    )
    done = subprocess.run(f"{command} 2>&-", shell=True, stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (0, diarize(talk)[1]) and done.stdout.startswith("SPEAKER talk 1 ")


@pytest.mark.parametrize("command", ["vocabulary", "diarize"])
def test_a_full_disk_behind_stdout_is_one_line(talk, tiny_pipeline, command):
    options = {"diarize": ["--model", tiny_pipeline, talk], "vocabulary": ["--window", "30", "--speakers", "8"]}[
        command
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        arguments = [sys.executable, "-m", "pyannote_pix2seq", command, *map(str, options)]
        done = subprocess.run(arguments, env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    said = done.stderr.splitlines()[-1]
    assert (done.returncode, said) == (1, "pyannote-pix2seq: [Errno 28] No space left on device: stdout")


# what cannot be obeyed


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--num-speakers", 2, "--max-speakers", 3], "leave out --min-speakers and --max-speakers"),
        (["--strategy", "two_pass"], "strategy='two_pass' was given; it has to be chain with this model's frontend"),
        (["--known", "a b=talk.wav"], "'a b' cannot be a name in RTTM"),
        (["--known", "ann=gone.wav"], "There is no file gone.wav"),
        (["--known", "gone.npz"], "There is no file gone.npz"),
        (["--min-speakers", 3, "--max-speakers", 2], "min_speakers cannot be more than max_speakers"),
        (["other.wav"], "2 files need a folder to write to: add --into DIR"),
        (["--picture"], "add --into DIR"),
        (["--overwrite"], "add --into DIR"),
        (["--into", "talk.wav"], "--into talk.wav cannot be a folder"),
        (["--device", "abacus"], "--device abacus cannot be used here"),
    ],
)
def test_senseless_commands_are_one_line_and_status_2(talk, diarize, options, complaint):
    status, written, said = diarize(talk, *options)
    assert (status, written, len(said)) == (2, "", 1)
    assert complaint in said[0]
    assert not Path("out").exists()


def test_too_many_speakers_for_a_recording_is_one_line(talk, diarize):
    status, _, said = diarize(talk, "--num-speakers", 9)
    assert status == 1 and "at most 8 speakers here" in said[0]


def test_one_bad_file_is_one_line(talk, diarize):
    status, written, said = diarize("gone.wav")
    assert (status, written, len(said)) == (1, "", 1)
    assert "There is no file gone.wav" in said[0]


@pytest.mark.parametrize(
    "given, complaint",
    [
        ("diarize", "the following arguments are required: FILE"),
        ("diarize talk.wav --speakers 3", "unrecognized arguments: --speakers 3; see pyannote-pix2seq diarize --help"),
        ("diarize talk.wav --over", "unrecognized arguments: --over"),
        ("diarize talk.wav --num-speakers two", "'two' is not a whole number, 1 or more"),
        ("diarize talk.wav --max-speakers 0", "'0' is not a whole number, 1 or more"),
        ("vocabulary --window 30 --speakers 0", "'0' is not a whole number, 1 or more"),
        ("diarize talk.wav --strategy best", "invalid choice: 'best'"),
        ("diarize talk.wav --known alice", "'alice' is not NAME=FILE, for instance alice=alice.wav"),
        ("diarize talk.wav --known ann=people.npz", "is no recording but people with names"),
        ("enrol ann=ann.wav", "the following arguments are required: --into"),
        ("enrol people.txt --into more.npz", "'people.txt' is not NAME=FILE"),
        ("enrol ann=people.npz --into more.npz", "'people.npz' is no recording but people with names: give people.npz"),
        ("transcribe talk.wav", "invalid choice: 'transcribe'"),
        ("", "the following arguments are required: COMMAND"),
        ("vocabulary --window inf --speakers 8", "'inf' is not a number of seconds above 0"),
        ("vocabulary --window 30 --speakers 8 --error 0", "'0' is not a number of seconds above 0"),
    ],
)
def test_unknown_options_are_one_line_and_status_2(capsys, given, complaint):
    with pytest.raises(SystemExit) as stopped:
        cli.main(given.split())
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert complaint in said and said.count("\n") == 1


def test_the_error_about_files_that_look_like_options_says_how_to_give_them(talk, diarize, capsys, monkeypatch):
    monkeypatch.chdir(talk.parent)
    talk.rename("-talk.wav")
    with pytest.raises(SystemExit) as stopped:
        diarize("-talk.wav", "other.wav", "--over")
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert "unrecognized arguments: -talk.wav --over; write files as ./-talk.wav; see" in said
    assert diarize("./-talk.wav")[0] == 0


def test_a_missing_pipeline(talk, diarize, tmp_path):
    for model in (tmp_path, tmp_path / "config.yaml"):
        status, _, said = diarize(talk, model=model)
        assert (status, len(said)) == (2, 1)
        assert f"There is no file {tmp_path / 'config.yaml'}. Check its name" in said[0]
    assert f"There is no folder gone/pipeline (looked in {os.getcwd()})" in diarize(talk, model="gone/pipeline")[2][0]


def test_a_recording_is_no_pipeline(talk, diarize):
    status, _, said = diarize(talk, model=talk)
    assert (status, len(said)) == (2, 1)
    assert f"{talk} is damaged or no config.yaml of a pipeline (UnicodeDecodeError" in said[0]
    assert "recipes/export.py makes folders of pipelines" in said[0]


class OtherPipeline(Pipeline):
    """One that has nothing to do with this package."""

    def __init__(self, token: object = None, cache_dir: object = None):
        super().__init__()


NAME = "pyannote_pix2seq.pipeline.Pix2SeqDiarization"


@pytest.mark.parametrize(
    "config, complaint",
    [
        ("{", "config.yaml is damaged or no config.yaml of a pipeline (ParserError: while parsing a flow node "),
        ("speaker: talk: 3", "). recipes/export.py makes folders of pipelines"),
        ("", "config.yaml is empty. recipes/export.py makes folders of pipelines"),
        ("[1]", "config.yaml has no `pipeline:` with a name and params. recipes/export.py makes"),
        ("pipelines: {}", "config.yaml has no `pipeline:`"),
        ("pipeline:", "config.yaml has no `pipeline:`"),
        (f"pipeline: {{name: {NAME}, params: {{}}}}", "'model'"),
        (f"pipeline: {{name: {NAME}, params: {{model: $model/model, chunks: 9}}}}", "'chunks'"),
        (f"pipeline: {{name: {NAME}, params: {{model: $model/model, chunk: 11}}}}", "chunk=11"),
        (f"pipeline: {{name: {NAME}, params: {{model: $model/none}}}}", "There is no folder "),
        (f"pipeline: {{name: {NAME}, params: {{model: $model/broken}}}}", " is not a checkpoint of a Pix2Seq model"),
        (f"pipeline: {{name: {NAME}s}}", "Pix2SeqDiarizations"),
        (f"pipeline: {{name: {__name__}.OtherPipeline}}", "is a OtherPipeline; it has to be"),
    ],
)
def test_a_pipeline_that_cannot_be_used(talk, diarize, tiny_pipeline, tmp_path, config, complaint):
    folder = tmp_path / "pipeline"
    (folder / "broken").mkdir(parents=True)
    (folder / "broken" / "pytorch_model.bin").write_bytes(b"no checkpoint")
    (folder / "model").symlink_to(tiny_pipeline / "model")
    (folder / "config.yaml").write_text(config)
    status, written, said = diarize(talk, model=folder)
    assert (status, written, len(said)) == (2, "", 1)
    assert str(folder) in said[0] and complaint in said[0]
    named = (str(folder / "config.yaml"), f"{folder / 'none'}. Check its name", "checkpoint", "OtherPipeline")
    assert any(name in said[0] for name in named)


# the rest


def test_the_table_of_vocabularies(capsys):
    assert cli.main(["vocabulary", "--window", "30", "--speakers", "8"]) == 0
    table = capsys.readouterr().out
    assert table == quantization_report(30.0, 8) + "\n"
    assert "    512    502      59.8                29.9" in table
    assert cli.main(shlex.split("vocabulary --window 60 --speakers 4 --error 0.02 0.04")) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "512",
        "756",
        "1024",
        "1506",
    ]
    assert cli.main(["vocabulary", "--window", "30", "--speakers", "8", "--error", "1e-9"]) == 2
    assert "error is 1e-09; it has to be a number of seconds from" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["diarize"], ["enrol"], ["vocabulary"]])
def test_the_examples_of_the_help_can_be_typed(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, "--help"])
    assert stopped.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    examples = [line.split()[1:] for line in lines if line.startswith("  pyannote-pix2seq ")]
    assert len(examples) >= 2
    for example in examples:
        given = example[: example.index(">")] if ">" in example else example
        if "--help" not in given:
            arguments.make_parser().parse_args(given)


@pytest.mark.parametrize("command", [[], ["diarize"], ["enrol"]])
def test_the_help_tells_of_the_reports_that_are_switched_off(capsys, command):
    with pytest.raises(SystemExit):
        cli.main([*command, "--help"])
    assert "PYANNOTE_METRICS_ENABLED" in capsys.readouterr().out


@pytest.mark.parametrize("before, after", [(None, "0"), ("1", "1")])
def test_no_usage_is_reported_unless_asked(capsys, monkeypatch, before, after):
    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", before or "")
    if before is None:
        monkeypatch.delenv("PYANNOTE_METRICS_ENABLED")
    cli.main(["vocabulary", "--window", "30", "--speakers", "8"])
    assert os.environ["PYANNOTE_METRICS_ENABLED"] == after


def test_python_dash_m_is_the_same_and_its_stdout_is_pure_rttm(talk, diarize, tiny_pipeline):
    command = [sys.executable, "-m", "pyannote_pix2seq", "diarize", str(talk), "--model", str(tiny_pipeline)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == diarize(talk)[1]
