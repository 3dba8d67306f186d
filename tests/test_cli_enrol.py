"""People on the command line: enrolled, added to others, and known in recordings."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import write_talk

from pyannote_pix2seq import cli
from pyannote_pix2seq.enrolment import Enrolment


@pytest.fixture
def enrol(talk, tiny_pipeline, capsys):
    """Run `enrol` with the tiny pipeline: status, and the lines of stderr."""

    def run(*options: str):
        status = cli.main(["enrol", *options, "--model", str(tiny_pipeline)])
        return status, capsys.readouterr().err.splitlines()

    return run


def names_in(path: str) -> list:
    return [person.name for person in Enrolment.load(path)]


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


@pytest.mark.parametrize("folder", ["talk.wav", "talk.wav/in"])
def test_a_file_that_cannot_be_written_is_told_before_anybody_is_heard(enrol, folder):
    status, said = enrol("bob=gone.wav", "--into", f"{folder}/people.npz")
    assert (status, len(said)) == (2, 1)
    assert said[0].startswith(f"pyannote-pix2seq: --into {Path('talk.wav').absolute()} cannot be a folder to write to")


def test_people_of_another_model_are_refused_before_anything_is_heard(talk, diarize, enrol):
    assert enrol("ann=talk.wav", "--into", "people.npz") == (0, [])
    fields = dict(np.load("people.npz"))
    np.savez("old.npz", **{name: field for name, field in fields.items() if name != "heard_by"})
    assert enrol("old.npz", "--into", "new.npz")[1][0].endswith("old.npz was saved by an earlier version. Enrol again.")
    np.savez("people.npz", **(fields | {"heard_by": np.array(["another"])}))
    for status, said in (enrol("people.npz", "--into", "more.npz"), diarize("gone.wav", "--known", "people.npz")[::2]):
        assert (status, len(said)) == (2, 1) and "Enrol again with this pipeline." in said[0]


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


def test_the_channel_of_a_recording_is_not_that_of_those_who_are_known_in_it(talk, diarize, enrol):
    samples, rate = soundfile.read(talk)
    soundfile.write("both.wav", np.stack([samples, -samples], axis=1), rate)
    options = ["both.wav", "--channel", "0", "--known"]
    status, _, said = diarize(*options, "ann=both.wav")
    assert status == 2 and said[0].endswith("what is given to --known, enrol with --channel 0.")
    assert "0.00 s of speech can be heard of ann" in said[1] and len(said) == 2
    assert enrol("ann=both.wav", "--channel", "0", "--into", "left.npz") == (0, [])
    assert diarize(*options, "left.npz")[1:] == diarize(*options, "ann=talk.wav")[1:]
    assert diarize(*options, "left.npz")[2] == []
