"""Many files on the command line: what is skipped, what does not stop the others, and how a batch goes on."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import ROOT, write_talk

from pyannote_pix2seq import cli, report
from pyannote_pix2seq.pipeline import Pix2SeqDiarization


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
    status, _, said = diarize(talk, talk.resolve(), Path("..", Path.cwd().name, talk.name), talk, "--into", "out")
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
    status, found, said = diarize(name, talk)
    assert (status, found) == (2, "") and "2 files need a folder to write to: add --into DIR." in said[0]


def test_a_folder_among_files_is_said_to_be_one(talk, diarize):
    status, _, said = diarize(".", talk, "--into", "out")
    assert status == 1 and ". is a folder, not an audio file. Give the path of one of the files in it." in said
    assert said[-1] == "1 of 2 files diarized, 1 failed"


def test_a_path_that_cannot_even_be_looked_at_does_not_stop_the_others(talk, diarize):
    status, _, said = diarize(f"{'n' * 300}/other.wav", talk, "--into", "out")
    assert (status, len(said), Path("out/talk.rttm").exists()) == (1, 2, True)
    assert "other.wav cannot be opened (File name too long)" in said[0] and said[1] == "1 of 2 files diarized, 1 failed"


def test_what_is_no_recording_does_not_keep_one_of_its_name_from_being_diarized(talk, diarize):
    Path("talk").mkdir()
    Path("talk.txt").write_text("what is said")
    for done in ("1 of 4 files diarized, 3 failed", "0 of 4 files diarized, 1 skipped as their RTTM was there already"):
        status, _, said = diarize("talk", "talk.flac", "talk.txt", talk, "--into", "out")
        why = ("talk is a folder, not", "There is no file talk.flac", "talk.txt cannot be read as audio", done)
        assert status == 1 and all(line.startswith(start) for line, start in zip(said, why, strict=True))
    assert [path.name for path in Path("out").iterdir()] == ["talk.rttm"]


def test_what_is_to_be_told_of_each_file_is_told_once(talk, diarize, monkeypatch):
    apply = Pix2SeqDiarization.apply

    def grumbling(self, file, **options):
        warnings.warn("it is late", stacklevel=1)
        return apply(self, file, **options)

    monkeypatch.setattr(Pix2SeqDiarization, "apply", grumbling)
    said = diarize(talk, write_talk(talk.parent / "other.wav"), "--into", "out")[2]
    assert said == ["pyannote-pix2seq: it is late", "2 of 2 files diarized"]


def test_a_picture_of_somebody_else_stays(talk, diarize):
    Path("out").mkdir()
    Path("out/talk.png").write_bytes(b"mine")
    assert diarize(talk, "--into", "out")[0] == 0
    assert Path("out/talk.png").read_bytes() == b"mine"


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


def test_one_file_that_cannot_be_written_does_not_stop_the_others(talk, diarize):
    long = write_talk(talk.parent / f"{'a' * 248}.wav")
    Path("out/talk.rttm").mkdir(parents=True)
    other = write_talk(talk.parent / "other.wav")
    status, _, said = diarize(long, talk, other, "--into", "out")
    assert (status, Path("out/other.rttm").is_file()) == (1, True)
    assert [line.split(":")[0] for line in said] == [str(long), str(talk), "1 of 3 files diarized, 2 failed"]
    assert diarize(long)[0] == 0  # to stdout


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


def test_files_that_may_be_of_another_program_are_not_replaced(talk, diarize):
    Path("out").mkdir()
    Path("out/talk.json").write_text("a transcript")
    status, _, said = diarize(talk, "--into", "out", "--json", "--picture")
    assert status == 1 and said[-1] == "0 of 1 files diarized, 1 failed"
    assert f"{talk} was left out: there is out/talk.json already, but no out/talk.rttm. Name another" in said[0]
    assert {path.name: path.read_text() for path in Path("out").iterdir()} == {"talk.json": "a transcript"}
    assert diarize(talk, "--into", "out", "--picture")[0] == 0
    assert Path("out/talk.json").read_text() == "a transcript"
    assert diarize(talk, "--into", "out", "--json", "--overwrite")[0] == 0
    assert json.loads(Path("out/talk.json").read_text())["diarization"]


def test_json_and_pictures_appear_with_the_turns_or_not_at_all(talk, diarize):
    (Path("out") / ".talk.rttm.part").mkdir(parents=True)
    assert diarize(talk, "--into", "out", "--json", "--picture")[0] == 1
    assert not {"talk.json", "talk.png", "talk.rttm"} & {path.name for path in Path("out").iterdir()}
    (Path("out") / ".talk.rttm.part").rmdir()
    assert diarize(talk, "--into", "out", "--json", "--picture")[0] == 0
    assert {"talk.json", "talk.png", "talk.rttm"} <= {path.name for path in Path("out").iterdir()}


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
    assert said.endswith(", 1 of these without JSON, which --overwrite makes")
    said = diarize(talk, "--into", "out", "--json", "--picture")[2][0]
    assert "1 drawn" in said and "1 of these without JSON" in said
    Path("out/talk.json").touch()
    assert "without JSON" not in diarize(talk, "--into", "out", "--json")[2][0]
    status, _, said = diarize(talk, "--json")
    assert status == 2 and "--json and --overwrite are about a folder to write to" in said[0]
