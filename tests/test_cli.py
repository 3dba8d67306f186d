"""The command line: what it writes where, how it goes on, and what it says when it cannot."""

import errno
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from pyannote.audio import Pipeline
from pyannote.database.util import load_rttm

from pyannote_pix2seq import cli, parallel, report
from pyannote_pix2seq.atomic import part_of
from pyannote_pix2seq.console import arguments
from pyannote_pix2seq.console.jobs import Job
from pyannote_pix2seq.console.lock import locked
from pyannote_pix2seq.console.outcomes import ignore_needless_warnings
from pyannote_pix2seq.console.results import write_results
from pyannote_pix2seq.enrolment import Enrolment
from pyannote_pix2seq.parallel import ProcessError
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.vocabulary import quantization_report

ROOT = Path(__file__).parents[1]


def write_talk(path: Path, seed: int = 0) -> Path:
    """12 s of noise that comes and goes: two chunks of the tiny pipeline."""
    noise = np.random.default_rng(seed).normal(0, 0.1, 12 * 16000)
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, noise * (np.arange(len(noise)) // 16000 % 3 > 0), 16000)
    return path


@pytest.fixture
def talk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_talk(tmp_path / "talk.wav")


@pytest.fixture
def diarize(tiny_pipeline, capsys):
    """Run `diarize` with the tiny pipeline: status, stdout and the lines of stderr."""

    def run(*options: object, model: Path = tiny_pipeline):
        status = cli.main(["diarize", *(str(option) for option in options), "--model", str(model)])
        said = capsys.readouterr()
        return status, said.out, said.err.splitlines()

    return run


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


# many files


def test_what_is_there_already_is_skipped_unless_asked(talk, diarize):
    other = write_talk(talk.parent / "other.wav", seed=1)
    assert diarize(talk, "--into", "out")[0] == 0
    first = Path("out/talk.rttm")
    turns = first.read_text()
    first.write_text("mine\n")
    status, _, said = diarize(talk, other, "--into", "out")
    assert (status, first.read_text(), Path("out/other.rttm").exists()) == (0, "mine\n", True)
    assert said == [
        "1 of 2 files diarized, 1 skipped as their RTTM was there already (see --overwrite)",
    ]
    assert diarize(talk, "--into", "out", "--overwrite")[0] == 0
    assert first.read_text() == turns
    first.write_text(turns.replace("SPEAKER_00", "corrected"))
    assert diarize(talk, "--into", "out", "--picture")[0] == 0  # there was no picture of it
    assert Path("out/talk.png").exists() and "corrected" in first.read_text()
    assert diarize(talk, "--into", "out", "--picture")[2][0].startswith("0 of 1 files diarized, 1 skipped")
    assert diarize(talk, "--into", "out", "--overwrite")[0] == 0
    assert not Path("out/talk.png").exists()  # it was of other turns


def test_bad_files_do_not_stop_the_others(talk, diarize):
    (talk.parent / "bad.wav").write_text("not audio")
    soundfile.write(talk.parent / "short.wav", np.zeros(160), 16000)
    last = write_talk(talk.parent / "last.wav")
    status, _, said = diarize("bad.wav", "short.wav", "gone.wav", last, "--into", "out")
    assert status == 1
    assert [path.name for path in Path("out").iterdir()] == ["last.rttm"]
    reasons = ["bad.wav cannot be read as audio", "short.wav: short lasts 10 ms", "There is no file gone.wav"]
    assert [reason in line for reason, line in zip(reasons, said, strict=False)] == [True] * 3
    assert said[3:] == ["1 of 4 files diarized, 3 failed"]


@pytest.fixture
def batch(talk):
    """A hundred recordings of 0.3 s."""
    noise = np.random.default_rng(0).normal(0, 0.1, (100, 4800))
    files = [talk.parent / f"{number:02d}.wav" for number in range(len(noise))]
    for file, samples in zip(files, noise, strict=True):
        soundfile.write(file, samples, 16000)
    return files


@pytest.mark.parametrize("error", [ZeroDivisionError, ValueError, OSError, MemoryError])
def test_a_crash_loses_nothing_of_the_others(batch, diarize, monkeypatch, error):
    apply = Pix2SeqDiarization.apply

    def crashing(self, file, **options):
        if file["uri"] == "50":
            raise error("oh")
        return apply(self, file, **options)

    monkeypatch.setattr(Pix2SeqDiarization, "apply", crashing)
    files = batch if error is ZeroDivisionError else batch[49:52]
    status, _, said = diarize(*files, "--into", "out")
    written = {path.name for path in Path("out").iterdir()}
    assert status == 1 and written == {f"{file.stem}.rttm" for file in files} - {"50.rttm"}
    assert said == [
        f"{batch[50]}: {error.__name__}: oh",
        f"{len(files) - 1} of {len(files)} files diarized, 1 failed",
    ]


def test_a_picture_that_cannot_be_drawn_loses_nothing_of_the_others(batch, diarize, monkeypatch):
    def fail(turns, path, audio):
        raise RuntimeError("no ink")

    monkeypatch.setattr(report, "timeline", fail)
    status, _, said = diarize(*batch[:2], "--into", "out", "--picture")
    assert (status, list(Path("out").iterdir())) == (1, [])
    assert [line.split(": ", 1)[1] for line in said[:2]] == ["RuntimeError: no ink"] * 2


KILLED = """
import os, signal, sys
from pathlib import Path
from pyannote_pix2seq import cli
write = Path.write_bytes
def die(path, content):
    if "50" in path.name:
        write(path, content[:20])
        os.kill(os.getpid(), signal.SIGKILL)
    return write(path, content)
Path.write_bytes = die
cli.main(sys.argv[1:])
"""


def test_a_batch_that_is_killed_while_it_writes_goes_on_where_it_was(batch, diarize, tiny_pipeline):
    command = ["diarize", *map(str, batch), "--into", "out", "--min-speakers", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    model = ["--model", str(tiny_pipeline)]
    died = subprocess.run([sys.executable, "-c", KILLED, *command, *model], env=environment, capture_output=True)
    assert died.returncode == -signal.SIGKILL
    before = {path.name: path.read_text() for path in Path("out").glob("*.rttm")}
    assert set(before) == {f"{number:02d}.rttm" for number in range(50)}
    assert all(text.endswith("\n") for text in before.values())
    status, _, said = diarize(*command[1:])
    assert (status, said) == (0, [
        "50 of 100 files diarized, 50 skipped as their RTTM was there already (see --overwrite)",
    ])  # fmt: skip
    after = {path.name: path.read_text() for path in Path("out").iterdir()}  # nothing but RTTM
    assert len(after) == 100 and before.items() < after.items()
    assert after["50.rttm"] == diarize(batch[50], "--min-speakers", 1)[1]


def test_people_who_were_enrolled_are_known(talk, diarize, tiny_pipeline, capsys):
    write_talk(talk.parent / "ann.wav", seed=1)
    enrol = ["enrol", "ann=ann.wav", "bob=talk.wav", "bob=ann.wav", "--model", str(tiny_pipeline), "--into"]
    assert cli.main([*enrol, "people.npz"]) == 0
    assert [speaker.name for speaker in Enrolment.load("people.npz")] == ["ann", "bob"]
    direct = ["--known", "ann=ann.wav", "--known", "bob=talk.wav", "--known", "bob=ann.wav"]
    written = diarize(talk, "--known", "people.npz")[1]
    assert written == diarize(talk, *direct)[1] and (" ann " in written or " bob " in written)
    status, _, said = diarize(talk, "--known", "people.npz", "--known", "ann=ann.wav")
    assert (status, len(said)) == (2, 1) and "several people have that name" in said[0]
    assert cli.main([*enrol, "people.txt"]) == 2
    assert "--into people.txt: files of people end in .npz" in capsys.readouterr().err
    assert cli.main(["enrol", "ann=gone.wav", *enrol[4:], "out/people.npz"]) == 2
    assert not Path("people.txt").exists() and not Path("out").exists()


@pytest.fixture
def enrol(talk, tiny_pipeline, capsys):
    """Run `enrol` with the tiny pipeline: status, and the lines of stderr."""

    def run(*options: str):
        status = cli.main(["enrol", *options, "--model", str(tiny_pipeline)])
        return status, capsys.readouterr().err.splitlines()

    return run


def names_in(path: str) -> list:
    return [person.name for person in Enrolment.load(path)]


def test_people_who_were_enrolled_are_not_lost(enrol):
    assert enrol("ann=talk.wav", "cat=talk.wav", "--into", "people.npz") == (0, [])
    before = Path("people.npz").read_bytes()
    for given in ("bob=talk.wav", "bob=gone.wav", "people.npz"):  # whatever it is, and before it is heard
        assert enrol(given, "--into", "people.npz") == (2, [
            "pyannote-pix2seq: --into people.npz is there already, and holds ann, cat. Name another file, replace it "
            "with --overwrite, or add to it: enrol people.npz NAME=FILE --into people.npz --overwrite.",
        ])  # fmt: skip
    assert Path("people.npz").read_bytes() == before
    Path("other.npz").write_text("no people")
    status, said = enrol("bob=talk.wav", "--into", "other.npz")
    assert (status, len(said)) == (2, 1) and "and holds nobody that can be read. Name another file, " in said[0]
    assert "replace it with --overwrite." in said[0]
    for path in ("people.npz", "other.npz"):
        assert enrol("bob=talk.wav", "--into", path, "--overwrite") == (0, []) and names_in(path) == ["bob"]


def test_people_are_added_to_those_who_were_enrolled(enrol):
    enrol("ann=talk.wav", "--into", "people.npz")
    assert enrol("people.npz", "bob=talk.wav", "--into", "more.npz") == (0, [])
    assert (names_in("people.npz"), names_in("more.npz")) == (["ann"], ["ann", "bob"])
    assert enrol("more.npz", "cat=talk.wav", "--into", "more.npz", "--overwrite") == (0, [])
    assert names_in("more.npz") == ["ann", "bob", "cat"]
    ann, same = Enrolment.load("people.npz")[0], Enrolment.load("more.npz")[0]
    assert all(one.equal(other) for one, other in zip((*ann.clip, ann.voice), (*same.clip, same.voice), strict=True))
    status, said = enrol("people.npz", "ann=talk.wav", "--into", "twice.npz")
    assert (status, len(said)) == (2, 1) and "ann: several people have that name" in said[0]
    status, said = enrol("more.npz", "ann=gone.wav", "--into", "more.npz", "--overwrite")
    assert status == 2 and names_in("more.npz") == ["ann", "bob", "cat"]
    assert not Path("twice.npz").exists()


def test_people_can_be_enrolled_from_one_channel(talk, enrol):
    samples, rate = soundfile.read(talk)
    soundfile.write("both.wav", np.stack([samples, -samples], axis=1), rate)
    _, said = enrol("ann=both.wav", "--into", "mean.npz")
    assert "both.wav: its channels cancel each other out" in said[0] and "--channel 0" in said[0]
    enrol("ann=talk.wav", "--into", "people.npz")
    assert enrol("ann=both.wav", "--channel", "0", "--into", "left.npz") == (0, [])
    assert Path("left.npz").read_bytes() == Path("people.npz").read_bytes()
    status, said = enrol("ann=talk.wav", "--channel", "1", "--into", "right.npz")
    assert status == 2 and "Channel 1 of talk was asked for, but it has 1 channel" in said[-1]


def test_too_many_speakers_for_a_recording_is_one_line(talk, diarize):
    status, _, said = diarize(talk, "--num-speakers", 9)
    assert status == 1 and "at most 8 speakers here" in said[0]


def test_one_bad_file_is_one_line(talk, diarize):
    status, written, said = diarize("gone.wav")
    assert (status, written, len(said)) == (1, "", 1)
    assert "There is no file gone.wav" in said[0]


def test_files_of_one_name_do_not_stop_the_others(talk, diarize):
    other, third = write_talk(talk.parent / "b" / "talk.flac"), write_talk(talk.parent / "third.wav")
    status, _, said = diarize(talk, other, third, "--into", "out")
    assert (status, sorted(path.name for path in Path("out").iterdir())) == (1, ["third.rttm"])
    for file, line in zip((talk, other), said, strict=False):
        assert f"{file} would be written to out/talk.rttm, as another file would. Rename it" in line
    assert said[2:] == ["1 of 3 files diarized, 2 failed"]
    Path("link.wav").symlink_to(talk)
    assert diarize(talk, "link.wav", "--into", "both")[0] == 0


def test_a_file_that_is_named_twice_is_diarized_once(talk, diarize):
    status, _, said = diarize(talk, talk.parent / "." / talk.name, talk, "--into", "out")
    assert (status, said) == (0, ["1 of 1 files diarized"])
    assert diarize(talk, talk)[1] == Path("out/talk.rttm").read_text()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("NA.wav", "'NA.wav' has a name that cannot be read back from RTTM, where"),
        ('"b.wav', "has a name that cannot be read back from RTTM, where"),
        ("b\x07.wav", "'b\\x07.wav' has a name that cannot be read back from RTTM, where"),
        ("n" * 249 + ".wav", "its name is too long for one with .rttm behind it"),
    ],
)
def test_names_that_cannot_be_written_do_not_stop_the_others(talk, diarize, name, complaint):
    write_talk(Path(name).resolve())
    status, _, said = diarize(name, talk, "--into", "out")
    assert (status, [path.name for path in Path("out").iterdir()]) == (1, ["talk.rttm"])
    assert complaint in said[0] and said[1:] == ["1 of 2 files diarized, 1 failed"]


def test_a_folder_among_files_is_said_to_be_one(talk, diarize):
    status, _, said = diarize(".", talk, "--into", "out")
    assert status == 1 and ". is a folder, not an audio file. Give the path of one of the files in it." in said
    assert said[-1] == "1 of 2 files diarized, 1 failed"


def test_a_picture_of_somebody_else_stays(talk, diarize):
    Path("out").mkdir()
    Path("out/talk.png").write_bytes(b"mine")
    assert diarize(talk, "--into", "out")[0] == 0
    assert Path("out/talk.png").read_bytes() == b"mine"


def test_one_channel_can_be_heard(talk, diarize):
    samples, rate = soundfile.read(talk)
    soundfile.write("both.wav", np.stack([samples, -samples], axis=1), rate)
    left = diarize(talk)[1].replace(" talk ", " both ")
    assert diarize("both.wav", "--channel", 0)[1:] == (left, [])
    status, _, said = diarize("both.wav")
    assert status == 0 and len(said) == 1 and "both.wav: its channels cancel each other out" in said[0]
    assert "--channel 0" in said[0]
    status, _, said = diarize("both.wav", "--channel", 2)
    assert status == 1 and "Channel 2 of both was asked for, but it has 2" in said[0]


def test_ctrl_c_says_what_is_done_and_the_same_command_does_the_rest(talk, diarize, monkeypatch):
    files = [write_talk(talk.parent / f"{name}.wav") for name in "abc"]
    apply = Pix2SeqDiarization.apply

    def interrupted(self, file, **options):
        if file["uri"] == "b":
            raise KeyboardInterrupt
        return apply(self, file, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Pix2SeqDiarization, "apply", interrupted)
        status, _, said = diarize(*files, "--into", "out")
    assert (status, said[0]) == (130, "1 of 3 files diarized")
    assert said[1].startswith("Interrupted.") and len(said) == 2
    assert [path.name for path in Path("out").iterdir()] == ["a.rttm"]
    status, _, said = diarize(*files, "--into", "out")
    assert status == 0 and said[0].startswith("2 of 3 files diarized, 1 skipped")


def test_sigterm_leaves_nothing_unfinished_behind(talk, diarize, monkeypatch, capsys):
    files = [write_talk(talk.parent / f"{name}.wav") for name in "abc"]
    apply, before = Pix2SeqDiarization.apply, signal.getsignal(signal.SIGTERM)

    def terminated(self, file, **options):
        if file["uri"] == "b":
            signal.raise_signal(signal.SIGTERM)
        return apply(self, file, **options)

    monkeypatch.setattr(Pix2SeqDiarization, "apply", terminated)
    with pytest.raises(SystemExit) as ended:
        diarize(*files, "--into", "out")
    assert ended.value.code == 143 and signal.getsignal(signal.SIGTERM) is before
    assert capsys.readouterr().err == "1 of 3 files diarized\n"
    assert [path.name for path in Path("out").iterdir()] == ["a.rttm"]  # and no lock


def test_nothing_is_half_written_on_a_full_disk(talk, diarize, monkeypatch):
    def fill(path, content):
        path.write_text("SPEA")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    status, _, said = diarize(talk, "--into", "out")
    assert (status, list(Path("out").iterdir())) == (1, [])
    assert said == ["0 of 1 files diarized", "pyannote-pix2seq: [Errno 28] No space left on device: 'out/talk.rttm'"]


def test_the_progress_bar_is_for_terminals(talk, diarize, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert diarize(talk, "--quiet")[2] == []
    assert any("talk: 100%" in line and "2/2" in line for line in diarize(talk)[2])


def test_one_file_that_cannot_be_written_does_not_stop_the_others(talk, diarize):
    long = write_talk(talk.parent / f"{'a' * 248}.wav")
    Path("out/talk.rttm").mkdir(parents=True)
    other = write_talk(talk.parent / "other.wav")
    status, _, said = diarize(long, talk, other, "--into", "out")
    assert (status, Path("out/other.rttm").is_file()) == (1, True)
    assert [line.split(":")[0] for line in said] == [str(long), str(talk), "1 of 3 files diarized, 2 failed"]


def test_one_file_that_may_not_be_read_does_not_stop_the_others(talk, diarize, monkeypatch):
    secret, apply = write_talk(talk.parent / "secret.wav"), Pix2SeqDiarization.apply

    def refuse(self, file, **options):
        if file["uri"] == "secret":
            raise PermissionError(13, "Permission denied", str(secret))
        return apply(self, file, **options)

    monkeypatch.setattr(Pix2SeqDiarization, "apply", refuse)
    status, _, said = diarize(secret, talk, "--into", "out")
    assert (status, [path.name for path in Path("out").iterdir()]) == (1, ["talk.rttm"])
    assert said[1] == "1 of 2 files diarized, 1 failed" and "Permission denied" in said[0]


def test_several_processes_find_what_one_does(talk, diarize):
    files = [talk, write_talk(talk.parent / "other.wav", seed=1), Path("bad.wav"), Path("gone.wav")]
    files[2].write_text("not audio")
    options = ["--json", "--picture", "--known", f"alice={talk}"]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        status, _, said = diarize(*files, "--into", "one", *options)
    finally:
        torch.set_num_threads(before)
    again = diarize(*files, "--into", "two", *options, "--jobs", 2)
    assert (again[0], sorted(again[2][:-1]), again[2][-1]) == (status, sorted(said[:-1]), said[-1])
    assert (status, said[-1]) == (1, "2 of 4 files diarized, 2 failed")
    contents = [{path.name: path.read_bytes() for path in Path(into).iterdir()} for into in ("one", "two")]
    assert contents[0] == contents[1] and len(contents[0]) == 6


def test_a_process_that_is_replaced_as_a_long_recording_took_memory_is_no_news(recwarn):
    with warnings.catch_warnings():
        ignore_needless_warnings()
        warnings.warn("A worker was restarted while some jobs were given to the executor", stacklevel=1)
        warnings.warn("talk.wav is cut off", stacklevel=1)
    assert [str(each.message) for each in recwarn] == ["talk.wav is cut off"]


def test_processes_that_write_to_one_folder_share_the_files(talk, diarize):
    other = write_talk(talk.parent / "other.wav", seed=1)
    Path("out").mkdir()
    with locked(Job(talk, "talk", Path("out"), None)) as is_free:
        assert is_free
        status, _, said = diarize(talk, other, "--into", "out")
    assert (status, [path.name for path in Path("out").iterdir()]) == (0, ["other.rttm"])
    assert said == ["1 of 2 files diarized, 1 left to another process that writes to the same folder"]
    assert diarize(talk, other, "--into", "out")[2][0].startswith("1 of 2 files diarized, 1 skipped")


def test_what_another_process_has_done_meanwhile_is_left_alone(talk, diarize, monkeypatch):
    monkeypatch.setattr(Job, "has", lambda job, suffix: job.path(suffix).is_file() and next(asked))
    asked = iter([False, False, True, True])  # by the plan for talk and other, by the attempt at each
    other = write_talk(talk.parent / "other.wav", seed=1)
    Path("out").mkdir()
    for name in ("talk", "other"):
        Path(f"out/{name}.rttm").write_text("theirs")
    said = diarize(talk, other, "--into", "out")[2]
    assert said == ["0 of 2 files diarized, 2 left to another process that writes to the same folder"]
    assert {path.read_text() for path in Path("out").iterdir()} == {"theirs"}  # and no picture was drawn


def test_a_lock_is_of_one_process_at_a_time_and_leaves_nothing_behind(tmp_path):
    job = Job(tmp_path / "talk.wav", "talk", tmp_path, None)
    with locked(job) as first, locked(job) as second:
        assert (first, second) == (True, False)
    assert list(tmp_path.iterdir()) == []
    with locked(job) as first:
        write_results({".rttm": b"turns"}, job)
        with locked(job) as second:
            assert (first, second) == (True, False)
    assert [path.name for path in tmp_path.iterdir()] == ["talk.rttm"]


def test_a_lock_that_another_process_removes_meanwhile_is_not_free(tmp_path, monkeypatch):
    job = Job(tmp_path / "talk.wav", "talk", tmp_path, None)
    monkeypatch.setattr(fcntl, "flock", lambda *_: (tmp_path / ".talk.lock").unlink())
    with locked(job) as is_free:
        assert not is_free


@pytest.mark.parametrize("number, expected", [(errno.EAGAIN, False), (errno.EACCES, False), (errno.ENOSYS, True)])
def test_file_systems_with_other_locks_or_none(tmp_path, monkeypatch, number, expected):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(Job(tmp_path / "talk.wav", "talk", tmp_path, None)) as is_free:
        assert is_free is expected
        assert not part_of(tmp_path / "talk.rttm").exists()  # a locked file may not be writable


def test_a_process_that_is_killed_ends_a_batch_but_loses_nothing(talk, diarize, monkeypatch):
    other = write_talk(talk.parent / "other.wav", seed=1)

    def killed(function, items, num_jobs):
        yield function(items[0])
        raise ProcessError(f"One of {num_jobs} processes was killed.")

    monkeypatch.setattr(parallel, "parallel_map", killed)
    status, _, said = diarize(talk, other, "--into", "out", "--jobs", 2)
    assert (status, [path.name for path in Path("out").iterdir()]) == (1, ["talk.rttm"])
    assert said == ["1 of 2 files diarized", "pyannote-pix2seq: One of 2 processes was killed."]


def test_what_is_done_is_skipped_even_where_nothing_can_be_written(talk, diarize, monkeypatch):
    assert diarize(talk, "--into", "out")[0] == 0

    def refuse(**options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(cli, "TemporaryFile", refuse)
    assert diarize(talk, "--into", "out")[0] == 0
    status, _, said = diarize(talk, "--into", "out", "--overwrite")
    assert (status, len(said)) == (2, 1) and "Read-only file system" in said[0]


def test_pictures_of_what_was_written_before_are_counted_as_such(talk, diarize):
    assert diarize(talk, "--into", "out")[0] == 0
    said = diarize(talk, "--into", "out", "--picture")[2]
    assert said == ["0 of 1 files diarized, 1 drawn as their RTTM was there already"]


@pytest.mark.parametrize(
    "written", ["no turns at all", "SPEAKER talk 1", "SPEAKER other 1 0.0 1.0 <NA> <NA> A <NA> <NA>\n"]
)
def test_what_is_not_turns_of_a_recording_is_not_drawn_as_such(talk, diarize, written):
    Path("out").mkdir()
    Path("out/talk.rttm").write_text(written)
    status, _, said = diarize(talk, "--into", "out", "--picture")
    assert (status, len(said), said[1]) == (1, 2, "0 of 1 files diarized, 1 failed")
    assert "out/talk.rttm holds something else than turns of talk" in said[0]
    assert [path.name for path in Path("out").iterdir()] == ["talk.rttm"]
    Path("out/talk.rttm").write_text("")
    assert diarize(talk, "--into", "out", "--picture")[0] == 0 and Path("out/talk.png").exists()


def test_json_has_the_confidence_of_each_turn(talk, diarize):
    assert diarize(talk, "--into", "out", "--json")[0] == 0
    turns = json.loads(Path("out/talk.json").read_text())["diarization"]
    written = [line.split() for line in Path("out/talk.rttm").read_text().splitlines()]
    assert [turn["speaker"] for turn in turns] == [fields[7] for fields in written] != []
    assert [turn["start"] for turn in turns] == pytest.approx([float(fields[3]) for fields in written], abs=1e-3)
    assert all(0 <= turn["confidence"] <= 1 for turn in turns)
    assert diarize(talk, "--into", "out", "--overwrite")[0] == 0
    assert [path.name for path in Path("out").iterdir()] == ["talk.rttm"]  # what was said of other turns is gone
    said = diarize(talk, "--into", "out", "--json")[2][0]
    assert said.endswith(", 1 left without JSON as their RTTM was there already (see --overwrite)")
    said = diarize(talk, "--into", "out", "--json", "--picture")[2][0]
    assert "1 drawn" in said and "1 left without JSON" in said
    status, _, said = diarize(talk, "--json")
    assert status == 2 and "--json and --overwrite are about a folder to write to" in said[0]


def test_a_stdout_that_is_closed_is_one_line(talk, tiny_pipeline):
    command = shlex.join([sys.executable, "-m", "pyannote_pix2seq", "vocabulary", "--window", "30", "--speakers", "8"])
    done = subprocess.run(f"{command} >&-", shell=True, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "pyannote-pix2seq: [Errno 9] Bad file descriptor: stdout\n")


def test_a_stderr_that_is_closed_changes_nothing(talk, tiny_pipeline):
    command = [sys.executable, "-m", "pyannote_pix2seq", "diarize", "--model", tiny_pipeline, talk]
    found = [
        subprocess.run(f"{shlex.join(map(str, command))} {stderr}", shell=True, stdout=subprocess.PIPE, text=True)
        for stderr in ("2>/dev/null", "2>&-")
    ]
    assert [done.returncode for done in found] == [0, 0]
    assert found[0].stdout == found[1].stdout and found[0].stdout.startswith("SPEAKER talk 1 ")


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


def test_a_missing_pipeline(talk, diarize, tmp_path):
    for model in (tmp_path, tmp_path / "config.yaml"):
        status, _, said = diarize(talk, model=model)
        assert (status, len(said)) == (2, 1)
        assert f"There is no file {tmp_path / 'config.yaml'}. Check its name" in said[0]
    assert f"There is no folder gone/pipeline (looked in {os.getcwd()})" in diarize(talk, model="gone/pipeline")[2][0]


class OtherPipeline(Pipeline):
    """One that has nothing to do with this package."""

    def __init__(self, token: object = None, cache_dir: object = None):
        super().__init__()


NAME = "pyannote_pix2seq.pipeline.Pix2SeqDiarization"


@pytest.mark.parametrize(
    "config, complaint",
    [
        ("{", "ParserError"),
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
