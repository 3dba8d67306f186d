"""Systems on the same recordings, beside baselines: what is measured, what is left out, and how it goes on."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database import ProtocolFile
from talks import LOUD, QUIET, SHORT, TELLER, file, reference
from toy import annotation

from pyannote_pix2seq.audio.writing import WriteError
from pyannote_pix2seq.evaluation.answer import REFERENCES
from pyannote_pix2seq.evaluation.comparison import (
    NEVER_TWO,
    ONE_SPEAKER,
    Evaluation,
    evaluate,
    never_two,
    one_speaker,
)
from pyannote_pix2seq.evaluation.measures import measure
from pyannote_pix2seq.evaluation.scoreboard import markdown
from pyannote_pix2seq.evaluation.system import System, UnknownSystemError
from pyannote_pix2seq.locking import InUseError, alone


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


def test_a_reference_that_goes_on_after_its_recording_is_told(teller: Any) -> None:
    cut_there, cut_later = (Timeline([Segment(0, end)]) for end in (3.25, 4))
    files = (
        file(LOUD, 3.0),
        file(QUIET, 3.5),
        file(SHORT, 3.0, annotated=cut_later),
        file("cut", 3.0, annotated=cut_there),
    )
    with pytest.warns(UserWarning, match="lasts") as warned:
        evaluation = evaluate("Toy", files, [teller("system")], threads=1)
    told, missed = [str(warning.message) for warning in warned]
    assert told.startswith(f"{LOUD} lasts 3.0 s, and its reference goes on for 1.0 s more, which are not scored.")
    assert missed.startswith(f"{SHORT} lasts 3.0 s, and its reference goes on for 1.0 s more, which are scored, as its")
    assert [round(score.errors["total"], 6) for score in evaluation.results[0].scores] == [3.5, 4.0, 4.5, 3.75]


def test_recordings_without_a_turn_in_the_reference_are_told(teller: Any) -> None:
    lost = [file(uri, annotation=Annotation(uri=uri)) for uri in (QUIET, SHORT)]
    with pytest.warns(UserWarning, match="no turn") as warned:
        evaluation = evaluate("Toy", [lost[0], file(LOUD), lost[1]], [teller("system")], threads=1)
    (message,) = [str(warning.message) for warning in warned]
    assert message.startswith(f"{QUIET} and 1 more have no turn in the reference: whatever systems write there is a")
    rates = [measure([score])["false_alarm"] for score in evaluation.results[0].scores]
    assert rates == [100.0, 0.0, 100.0]


def test_a_speaker_who_speaks_twice_at_once_in_the_reference_is_told(teller: Any) -> None:
    twice = annotation((0, 2, "ann"), (0, 1.25, "ann"), (0.5, 1, "ann"), (2, 4, "bob"))
    partly = annotation((0, 2, "ann"), (1.5, 2, "ann"), (2, 4, "bob"), (2.5, 3.5, "ann"))
    files = [file(LOUD, annotation=twice), file(QUIET, annotation=partly), file(SHORT)]
    with pytest.warns(UserWarning, match="overlap") as warned:
        evaluation = evaluate("Toy", files, [teller("system")], threads=1)
    (message,) = [str(warning.message) for warning in warned]
    assert message.startswith(f"{LOUD} has turns of one speaker that overlap in its reference: 1.8 s of them count")
    errors = evaluation.results[0].scores[0].errors
    assert (errors["total"], errors["missed detection"]) == (5.75, 1.75)  # of a diarization that is right


def test_a_recording_that_cannot_be_read_does_not_stop_the_others(teller: Any, tmp_path: Path) -> None:
    lost = {"uri": "lost", "annotation": reference("lost"), "audio": tmp_path / "lost.wav"}
    evaluation = evaluate("Toy", [lost, file(LOUD)], [teller("system")], threads=1)
    assert [score.uri for score in evaluation.results[0].scores] == [LOUD]
    assert len(evaluation.failures) == 1 and "lost is left out: There is no file" in evaluation.failures[0]


def test_each_failure_is_one_line(teller: Any, tmp_path: Path) -> None:
    def find(file: ProtocolFile) -> Path:
        raise FileNotFoundError("Could not find file in any of:\n - here\n - there")

    wordy = tmp_path / "wordy.py"
    wordy.write_text(TELLER.format(shortest=9.0, confidence=None).replace("for me", "\\n  for me"))
    lost = ProtocolFile({"uri": "lost", "annotation": reference("lost")}, lazy={"audio": find})
    evaluation = evaluate("Toy", [lost, file(LOUD)], [teller("system"), System.of_peer(f"wordy={wordy}")], threads=1)
    assert evaluation.failures == [
        "lost is left out: Could not find file in any of: - here - there",
        "wordy is left out: RuntimeError: too short for me.",
    ]


def test_references_may_consist_of_numbers_of_numpy(teller: Any, tmp_path: Path) -> None:
    turns = np.array([0, 2]), np.array([1.5, 4.0], np.float32), np.array([17, 18])
    numbers = {"annotation": annotation(*zip(*turns, strict=True))}
    evaluation = evaluate("Toy", [file(LOUD) | numbers], [teller("system")], threads=1, place=tmp_path)
    assert [measure(result.scores)["der"] for result in evaluation.results[::2]] == pytest.approx([100 * 0.5 / 3.5, 0])
    assert json.loads((tmp_path / REFERENCES).read_text()) == {LOUD: [[0, 1.5, "17"], [2, 4, "18"]]}


def test_only_what_is_far_beyond_full_scale_is_scaled_down(tmp_path: Path) -> None:
    voice = np.sin(np.arange(64000, dtype=np.float32) / 10)[None]
    files = [file(str(gain)) | {"waveform": gain * voice, "sample_rate": 16000} for gain in (0.5, 1.5, 32767.0)]
    evaluate("Toy", files, [System("mute", (sys.executable, "-c", ""))], place=tmp_path)
    heard = [soundfile.read(tmp_path / f"{number:06d}.wav")[0] for number in range(3)]
    for samples, expected in zip(heard, (0.5 * voice[0], (1.5 * voice[0]).clip(-1, 1), voice[0]), strict=True):
        np.testing.assert_allclose(samples, expected, atol=1e-4)


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


def test_each_turn_keeps_its_confidence_in_any_order_and_beside_one_that_lasts_no_time(tmp_path: Path) -> None:
    turns = [[2.0, 4.0, "y"], [1.0, 1.0, "z"], [0.0, 2.0, "x"]]
    (tmp_path / "said").write_text(json.dumps({"uri": LOUD, "turns": turns, "confidence": [0.55, 0.35, 0.95]}))
    system = System("system", ("sh", "-c", f"cat {tmp_path}/said > $1"))
    calibration = evaluate("Toy", [file(LOUD)], [system]).results[0].scores[0].calibration
    assert calibration is not None and calibration.sum() == pytest.approx(2 * (1 + 0.55 + 1) + 2 * (1 + 0.95 + 1))
    assert calibration[5] == pytest.approx([2, 1.1, 2]) and calibration[9] == pytest.approx([2, 1.9, 2])


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
    files = [file(SHORT, 1.0), file(LOUD), file(QUIET, 1.5)]
    evaluation = evaluate("Toy", files, systems, threads=1)
    assert all([score.uri for score in result.scores] == [LOUD] for result in evaluation.results)
    assert [len(result.memory) for result in evaluation.results] == [1, 1, 0, 0]
    why = "is left out: hasty failed (RuntimeError: too short for me)."
    assert evaluation.failures == [f"short {why}", f"quiet {why}"]


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


def test_systems_of_one_name_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    systems = [System("mine", ("first",)), System("other", ("second",)), System("mine", ("third",))]
    with pytest.raises(
        UnknownSystemError, match="^Two systems are called mine. Give folders and peers different names"
    ):
        evaluate("toys", [], systems, place=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


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


def test_a_disk_that_is_full_ends_an_evaluation_rather_than_leave_out_what_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "000000.wav").symlink_to("/dev/full")
    with pytest.raises(WriteError, match=r"000000\.wav cannot be written \(System error\)\. Make room on its disk, or"):
        evaluate("Toy", [file(LOUD), file(QUIET)], [], 1, tmp_path)


def test_two_evaluations_do_not_share_a_place(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(InUseError, match="is in use by another process"):
        evaluate("Toy", [file(LOUD)], [], 1, tmp_path)
