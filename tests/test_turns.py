from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import write_rttm

from pyannote_pix2seq.simulation.labels import Labels
from pyannote_pix2seq.simulation.rttm import in_thirds, read_rttm
from pyannote_pix2seq.simulation.taken_turns import TakenTurns
from pyannote_pix2seq.simulation.turns import PlainTurns, TurnsError, crop, in_order_of_appearance, join_pauses
from pyannote_pix2seq.vocabulary import Triplet


def check(turns: list[Triplet], duration: float, max_speakers: int) -> None:
    """Everything that TurnTaking.draw promises."""
    assert turns == sorted(turns)
    assert all(0 <= turn.start < turn.end <= duration for turn in turns)
    speakers = list(dict.fromkeys(turn.speaker for turn in turns))
    assert speakers == list(range(len(speakers)))
    assert len(speakers) <= max_speakers
    for speaker in speakers:
        own = [turn for turn in turns if turn.speaker == speaker]
        assert all(before.end <= after.start for before, after in zip(own, own[1:], strict=False))


any_turn = st.builds(
    lambda start, seconds, speaker: Triplet(start, start + seconds, speaker),
    st.floats(0, 100),
    st.floats(0.01, 20),
    st.integers(0, 9),
)
any_recording = st.lists(any_turn, max_size=40).map(lambda turns: [Triplet(0, 1, 0), *turns])


@settings(max_examples=60, deadline=None)
@given(st.lists(any_recording, min_size=1, max_size=3), st.integers(0, 2**32), st.floats(5, 60))
def test_taken_turns_keep_their_promises(recordings: list[list[Triplet]], seed: int, duration: float) -> None:
    taken = TakenTurns([recordings], max_speakers=10, pause_probability=0.5, empty_probability=0.2)
    check(taken.draw(np.random.default_rng(seed), duration), duration, max_speakers=10)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    duration=st.floats(1, 60),
    lengths=st.tuples(st.floats(0.1, 3), st.floats(3, 9)),
    interrupt_max=st.floats(0, 10),
    silence_max=st.floats(0, 5),
    max_speakers=st.integers(1, 8),
)
def test_plain_turns_keep_their_promises(
    seed: int,
    duration: float,
    lengths: tuple[float, float],
    interrupt_max: float,
    silence_max: float,
    max_speakers: int,
) -> None:
    plain = PlainTurns(*lengths, interrupt_max, silence_max, max_speakers)
    check(plain.draw(np.random.default_rng(seed), duration), duration, max_speakers)


def test_plain_turns_stay_within_their_limits() -> None:
    plain = PlainTurns(min_seconds=1, max_seconds=2, interrupt_max=0.5, silence_max=1.5, max_speakers=3)
    turns = plain.draw(np.random.default_rng(3), 600)
    lengths = [turn.end - turn.start for turn in turns[:-1]]
    gaps = [after.start - before.end for before, after in zip(turns, turns[1:], strict=False)]
    assert 1 <= min(lengths) < 1.1 and 1.9 < max(lengths) <= 2
    assert -0.5 <= min(gaps) < 0 and 1 < max(gaps) <= 1.5
    assert all(before.speaker != after.speaker for before, after in zip(turns, turns[1:], strict=False))


def test_plain_turns_refuse_limits_that_make_no_sense() -> None:
    with pytest.raises(TurnsError, match="^PlainTurns: max_seconds=2 .* min_seconds or more"):
        PlainTurns(min_seconds=3, max_seconds=2)
    with pytest.raises(TurnsError, match="max_speakers=0"):
        PlainTurns(max_speakers=0)
    with pytest.raises(TurnsError, match="max_speakers=2.5 .* a whole number, 1 or more"):
        PlainTurns(max_speakers=2.5)  # type: ignore[arg-type]
    with pytest.raises(TurnsError, match="min_seconds='1' .* 0.1 s or more"):
        PlainTurns(min_seconds="1")  # type: ignore[arg-type]
    with pytest.raises(TurnsError, match="silence_max=nan .* seconds, 0 or more"):
        PlainTurns(silence_max=float("nan"))
    with pytest.raises(TypeError):
        PlainTurns(max_speaker=3)  # type: ignore[call-arg]


def test_a_window_is_cut_out_of_the_recording(tmp_path: Path) -> None:
    path = write_rttm(tmp_path / "m.rttm", [(4 * i, 3.0, "AB"[i % 2]) for i in range(100)])
    taken = TakenTurns.from_rttms(path, pause_probability=0, empty_probability=0)
    turns = taken.draw(np.random.default_rng(0), 40)
    inside = turns[1:-1]
    assert len(inside) >= 8
    assert all(turn.end - turn.start == pytest.approx(3) for turn in inside)
    assert all(after.start - before.end == pytest.approx(1) for before, after in zip(turns, turns[1:], strict=False))
    assert [turn.speaker for turn in turns] == [i % 2 for i in range(len(turns))]


def test_pauses_are_put_in_and_windows_emptied() -> None:
    recording = [Triplet(0, 1000, 0), Triplet(0, 1000, 1)]
    paused = TakenTurns([[recording]], pause_probability=1, empty_probability=0)
    empty = TakenTurns([[recording]], pause_probability=0, empty_probability=1)
    for seed in range(20):
        for speaker in (0, 1):
            own = [t for t in paused.draw(np.random.default_rng(seed), 50) if t.speaker == speaker]
            silence = 50 - sum(turn.end - turn.start for turn in own)
            assert len(own) in (1, 2) and silence <= 8 + 0.2
            assert silence >= 1 or own[-1].end < 50
        heard = empty.draw(np.random.default_rng(seed), 50)
        assert all(turn.end - turn.start <= 5 for turn in heard)


def test_hesitations_are_short_pauses_within_turns_that_labels_bridge() -> None:
    recording = [Triplet(1.0, 200.0, 0), Triplet(220.0, 400.0, 1), Triplet(401.0, 401.5, 0)]
    options = {"pause_probability": 0.0, "empty_probability": 0.0}
    fluent, hesitant = (TakenTurns([[recording]], hesitations=rate, **options) for rate in (0.0, 0.2))
    turns = hesitant.draw(np.random.default_rng(0), 401.5)
    pauses = [
        after.start - before.end
        for speaker in (0, 1)
        for before, after in pairwise(turn for turn in turns if turn.speaker == speaker)
    ]
    short = [pause for pause in pauses if pause < 1.0]
    assert 0.25 <= min(short) and max(short) <= 0.8
    assert 0.13 < len(short) / 379 < 0.2  # some fall into the pause before
    whole = fluent.draw(np.random.default_rng(0), 401.5)
    assert Labels(merge_pauses=0.81).apply(turns, 401.5) == Labels().apply(whole, 401.5)
    with pytest.raises(TurnsError, match="hesitations=-1"):
        TakenTurns([[recording]], hesitations=-1)


def test_the_same_seed_draws_what_it_always_drew() -> None:
    plain = PlainTurns().draw(np.random.default_rng(0), 12)
    assert plain == [
        Triplet(0.5395734275277406, 1.8263880950811036, 0),
        Triplet(0.8759710016666908, 7.568862676068598, 1),
        Triplet(8.388770003370137, 12.0, 0),
    ]
    recordings = [
        [Triplet(3 * i, 3 * i + 4, i % 3) for i in range(40)],
        [Triplet(5 * i, 5 * i + 1, i % 2) for i in range(20)],
    ]
    taken = TakenTurns([recordings])
    assert taken.draw(np.random.default_rng(0), 12) == [Triplet(2.3379160438348947, 3.3379160438348947, 0)]
    assert taken.draw(np.random.default_rng(1), 12)[:2] == [
        Triplet(0, 2.3994571004730574, 0),
        Triplet(1.3994571004730574, 5.399457100473057, 1),
    ]


def test_corpora_are_as_likely_whatever_their_size() -> None:
    long, short = [Triplet(0, 1000, 0)], [Triplet(0, 3, 0), Triplet(2, 4, 1)]
    taken = TakenTurns([[long] * 9, [short]], pause_probability=0, empty_probability=0)
    rng = np.random.default_rng(0)
    num_short = sum(len(taken.draw(rng, 10)) == 2 for _ in range(400))
    assert 160 <= num_short <= 240


def test_windows_with_too_many_speakers_are_drawn_again() -> None:
    crowd = [Triplet(i, i + 1, i) for i in range(20)]
    pair = [Triplet(i, i + 1, i % 2) for i in range(20)]
    both = TakenTurns([[crowd], [pair]], max_speakers=2, empty_probability=0)
    for seed in range(10):
        check(both.draw(np.random.default_rng(seed), 20), 20, max_speakers=2)
    with pytest.raises(TurnsError, match="max_speakers=2"):
        TakenTurns([[crowd]], max_speakers=2, empty_probability=0).draw(np.random.default_rng(0), 20)


def test_short_pauses_and_overlaps_of_one_speaker_are_joined() -> None:
    turns = [
        Triplet(0, 1, 0),
        Triplet(0.5, 0.7, 1),
        Triplet(1.2, 2, 0),
        Triplet(1.8, 3, 0),
        Triplet(3.3, 4, 0),
    ]
    assert join_pauses(turns, 0.25) == [Triplet(0, 3, 0), Triplet(0.5, 0.7, 1), Triplet(3.3, 4, 0)]


def test_short_pauses_of_taken_turns_are_bridged_as_far_as_asked() -> None:
    recording = [Triplet(3 * i, 3 * i + 2.8, 0) for i in range(20)]  # pauses of 0.2 s
    for merge_pauses, number in ((0.1, 10), (0.25, 1)):
        taken = TakenTurns([[recording]], merge_pauses, pause_probability=0, empty_probability=0)
        assert len(taken.draw(np.random.default_rng(0), 29)) in (number, number + 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pause_probability": 1.5}, "pause_probability=1.5 was given; it has to be a number from 0 to 1"),
        ({"pause_probability": True}, "pause_probability=True was given; it has to be a number from 0 to 1"),
        ({"empty_probability": float("nan")}, "empty_probability=nan was given; it has to be a number from 0 to 1"),
        ({"merge_pauses": -0.1}, "merge_pauses=-0.1 was given; it has to be a number of seconds, 0 or more"),
        ({"merge_pauses": "x"}, "merge_pauses='x' was given"),
        ({"max_speakers": 0}, "max_speakers=0 was given; it has to be a whole number, 1 or more"),
        ({"max_speakers": 2.5}, "max_speakers=2.5 was given"),
        ({"max_speakers": "3"}, "max_speakers='3' was given"),
        ({"hesitations": float("inf")}, "hesitations=inf was given; it has to be a number of times per second, 0 or"),
    ],
)
def test_taken_turns_refuse_options_that_make_no_sense(options: dict[str, float], message: str) -> None:
    with pytest.raises(TurnsError, match=f"^TakenTurns: {message}"):
        TakenTurns([[[Triplet(0, 1, 0)]]], **options)  # type: ignore[arg-type]


def test_crop_drops_what_is_too_short() -> None:
    assert crop([Triplet(0, 1.05, 0), Triplet(0, 5, 1)], 1, 3) == [Triplet(1, 3, 1)]


def test_speakers_who_start_together_are_named_by_the_end_of_their_turns() -> None:
    turns = [Triplet(1, 3, 7), Triplet(1, 2, 9), Triplet(4, 5, 9), Triplet(4, 5, 7)]
    named = [Triplet(1, 2, 0), Triplet(1, 3, 1), Triplet(4, 5, 0), Triplet(4, 5, 1)]
    assert in_order_of_appearance(turns) == named


def test_reading_rttm(tmp_path: Path) -> None:
    path = tmp_path / "two.rttm"
    path.write_text(
        ";; a comment\n"
        "SPKR-INFO a 1 <NA> <NA> <NA> unknown Zoë <NA> <NA>\n"
        "SPEAKER a 1 2.5 1.0 <NA> <NA> Max <NA> <NA>\n\n"
        "SPEAKER a 1 0.5 1.0 <NA> <NA> Zoë <NA> <NA>\n"
        "SPEAKER b 1 7 0.25 <NA> <NA> Max <NA> <NA>\n",
        encoding="utf-8",
    )
    assert read_rttm(path) == {"a": [Triplet(0.5, 1.5, 0), Triplet(2.5, 3.5, 1)], "b": [Triplet(7, 7.25, 0)]}


def test_the_first_turn_is_read_after_a_byte_order_mark(tmp_path: Path) -> None:
    path = write_rttm(tmp_path / "m.rttm", [(0, 1, "A"), (2, 1, "B")])
    expected = read_rttm(path)
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert read_rttm(path) == expected != {}


@pytest.mark.parametrize(
    "line",
    [
        "SPEAKER m 1 3.0 -0.5 <NA> <NA> A <NA> <NA>",
        "SPEAKER m 1 -3.0 0.5 <NA> <NA> A <NA> <NA>",
        "SPEAKER m 1 3.0 nan <NA> <NA> A <NA> <NA>",
        "SPEAKER m 1 3.0 half <NA> <NA> A <NA> <NA>",
        "SPEAKER m 1 3.0 0.5",
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    path = write_rttm(tmp_path / "bad.rttm", [(0, 1, "A")])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(TurnsError, match=r"bad\.rttm, line 2"):
        read_rttm(path)


def test_thirds_are_the_same_every_time_and_do_not_part_meetings() -> None:
    names = [f"ES{number}{letter}" for number in range(2002, 2017) for letter in "abcd"] + ["abjxc", "abjxd", "abjxe"]
    thirds = in_thirds(Path(f"{name}.rttm") for name in names)
    assert sorted(file.stem for third in thirds for file in third) == sorted(names)
    assert min(map(len, thirds)) > 8
    for third in thirds:
        meetings = [file.stem[:-1] for file in third if file.stem.startswith("ES")]
        assert all(meetings.count(meeting) == 4 for meeting in meetings)
    assert [file.stem for third in thirds for file in third if file.stem.startswith("abj")] == [
        "abjxe",
        "abjxc",
        "abjxd",
    ]


def test_sources_without_turns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TurnsError, match="No .rttm file"):
        TakenTurns.from_rttms(tmp_path)
    with pytest.raises(TurnsError, match=f"^There is no file or folder {tmp_path / 'missing.rttm'}. Check"):
        TakenTurns.from_rttms(tmp_path / "missing.rttm")
    with pytest.raises(TurnsError, match="one corpus or more"):
        TakenTurns([])
    with pytest.raises(TypeError):
        TakenTurns.from_rttms(write_rttm(tmp_path / "m.rttm", [(0, 1, "A")]), max_speaker=3)
