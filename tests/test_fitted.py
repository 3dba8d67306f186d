"""Turn-taking that was fitted: what is drawn from it, what a fit keeps, and what is no fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ready import NAMES, READY
from scipy.stats import ks_2samp
from toy import write_rttm

from pyannote_pix2seq.simulation import FittedTurns
from pyannote_pix2seq.simulation.corpus import take_apart
from pyannote_pix2seq.simulation.fitted_turns import FITS
from pyannote_pix2seq.simulation.fitting import fit_turns
from pyannote_pix2seq.simulation.turn_parameters import LENGTHS, class_of
from pyannote_pix2seq.simulation.turn_sampler import TurnSampler, draw_shares
from pyannote_pix2seq.simulation.turn_statistics import (
    BACKCHANNEL,
    TAKES,
    TurnStatistics,
    characteristics,
    dissect,
    habits,
)
from pyannote_pix2seq.simulation.turns import SHORTEST_SPOKEN, Turns, TurnsError
from pyannote_pix2seq.vocabulary import Triplet

REAL = {
    "ami": {
        "overlap": (0.0, 0.032, 0.081, 0.149, 0.255),
        "speech": (0.579, 0.820, 0.905, 0.958, 1.0),
        "length": (0.29, 0.61, 1.56, 3.67, 11.18),
        "gap": (-4.61, -0.53, 0.51, 1.63, 4.80),
        "speakers": (1, 2, 3, 4, 4),
    },
    "voxconverse": {
        "overlap": (0.0, 0.0, 0.0, 0.017, 0.097),
        "speech": (0.831, 0.936, 0.977, 0.996, 1.0),
        "length": (0.64, 1.84, 4.12, 8.44, 23.72),
        "gap": (-1.84, 0.04, 0.40, 0.88, 3.40),
        "speakers": (1, 2, 2, 2, 3),
    },
}
"""Deciles 1, 3, 5, 7 and 9 of the recordings that were held out, see docs/simulation.md."""


def check(turns: Turns, duration: float, most: int) -> None:
    """Everything that TurnTaking.draw promises."""
    assert turns == sorted(turns)
    assert all(0 <= turn.start and turn.end <= duration for turn in turns)
    assert all(turn.end - turn.start >= SHORTEST_SPOKEN for turn in turns)
    speakers = list(dict.fromkeys(turn.speaker for turn in turns))
    assert speakers == list(range(len(speakers)))
    assert len(speakers) <= most
    for speaker in speakers:
        own = [turn for turn in turns if turn.speaker == speaker]
        assert all(before.end <= after.start for before, after in zip(own, own[1:], strict=False))


def heard(turns: Turns) -> int:
    return len({turn.speaker for turn in turns})


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 2**32),
    duration=st.floats(0.2, 200),
    num_speakers=st.none() | st.tuples(st.integers(1, 9), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))),
)
def test_fitted_turns_keep_their_promises(
    name: str, seed: int, duration: float, num_speakers: tuple[int, int] | None
) -> None:
    turns = FittedTurns(READY[name]._fit, num_speakers).draw(np.random.default_rng(seed), duration)
    check(turns, duration, most=num_speakers[1] if num_speakers else 30)


@pytest.mark.parametrize("name", NAMES)
def test_four_hours_keep_them_too(name: str) -> None:
    turns = READY[name].draw(np.random.default_rng(0), 4 * 3600)
    check(turns, 4 * 3600, most=30)
    assert len(turns) > 400 and turns[-1].end > 4 * 3600 - 300


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_draws_the_same(name: str) -> None:
    draws = [READY[name].draw(np.random.default_rng(seed), 60) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("name", NAMES)
def test_ready_fits_are_as_near_to_real_recordings_as_the_table_says(name: str) -> None:
    """The distribution function of what is drawn, where that of real recordings is 0.1, 0.3, ... 0.9."""
    rng = np.random.default_rng(0)
    drawn = characteristics(READY[name].draw(rng, 600) for _ in range(250))
    for characteristic, deciles in REAL[name].items():
        values = drawn[characteristic]
        for level, value in zip((0.1, 0.3, 0.5, 0.7, 0.9), deciles, strict=True):
            below, up_to = np.mean(values < value - 0.0005), np.mean(values <= value + 0.0005)
            assert below - 0.1 < level < up_to + 0.1, (characteristic, level)


@pytest.mark.parametrize("name", NAMES)
def test_conversations_begin_in_the_middle(name: str) -> None:
    """The first 10 s of what is drawn are like any others, and begin within a turn as often."""
    rng = np.random.default_rng(0)
    first, later, within = [], [], []
    for _ in range(600):
        measure = TurnStatistics([*READY[name].draw(rng, 300), Triplet(300, 301, 0)])
        first.append(measure.stretch(0, 10))
        later.append(measure.stretch(280, 290))
        within.append([measure.stretch(start, start + 0.1).num_turns > 0 for start in (0, 200)])
    for before, after in zip(np.mean(first, axis=0), np.mean(later, axis=0), strict=True):
        assert before == pytest.approx(after, rel=0.12, abs=0.01)
    at_first, at_last = np.mean(within, axis=0)
    assert at_first == pytest.approx(at_last, abs=0.05) and at_first > 0.75


@pytest.mark.parametrize("name", NAMES)
def test_as_many_speakers_as_are_asked_for(name: str) -> None:
    rng = np.random.default_rng(0)
    counts = [heard(READY_MANY[name].draw(rng, 1800)) for _ in range(40)]
    assert max(counts) <= 8 and np.mean(counts) > 5.5 and len(set(counts)) >= 3
    alone = FittedTurns.ready(name, num_speakers=(1, 1))
    assert {heard(alone.draw(rng, 300)) for _ in range(20)} <= {0, 1}


READY_MANY = {name: FittedTurns.ready(name, num_speakers=(6, 8)) for name in NAMES}


def test_kinds_that_have_about_as_many_speakers_are_preferred() -> None:
    kinds = [replace(READY["ami"]._fit.kinds[0], share=0.5, speakers={number: 1.0}) for number in ("2", "8")]
    casts = FittedTurns(replace(READY["ami"]._fit, kinds=kinds), num_speakers=(2, 8))._casts
    chances = {number: [chance for _, n, chance in casts if n == number] for number in range(2, 9)}
    assert [sum(each) for each in chances.values()] == pytest.approx([1] * 7)  # all equally likely
    assert chances[2] == pytest.approx([256 / 257, 1 / 257]) and chances[8] == pytest.approx([1 / 257, 256 / 257])
    assert chances[4] == pytest.approx([0.5, 0.5])


def test_kinds_are_drawn_as_often_as_they_were_recorded() -> None:
    fit = READY["ami"]._fit
    kinds = [replace(fit.kinds[0], share=share, speakers={"2": 0.5, "4": 0.5}) for share in (0.2, 0.8)]
    casts = [
        (kinds.index(kind), number, chance) for kind, number, chance in FittedTurns(replace(fit, kinds=kinds))._casts
    ]
    assert casts == [(0, 2, 0.1), (0, 4, 0.1), (1, 2, 0.4), (1, 4, 0.4)]


def test_limits_of_classes_are_within_the_class_below() -> None:
    assert [class_of(seconds, LENGTHS) for seconds in (0.1, 1.0, 1.01, 3.0, 10.0, 10.01)] == [0, 0, 1, 1, 2, 3]


def test_moods_at_both_ends_are_those_of_half_a_minute_within_the_recording() -> None:
    recording = [Triplet(5 * i, 5 * i + 4, i % 2) for i in range(24)]  # 4 s in 5
    around = take_apart([recording], 1, 1).around
    assert [stretch.speech for stretch in around] == pytest.approx([0.8] * 24, abs=0.04)


def test_kinds_are_described_by_means_over_time() -> None:
    """An hour in which two take turns, all the time, and a minute of one who speaks half of it."""
    hour = [Triplet(10 * i, 10 * i + 10, i % 2) for i in range(360)]
    minute = [Triplet(2 * i, 2 * i + 1, 0) for i in range(30)]
    kind = fit_turns([hour, minute], 1, 1).kinds[0]
    assert kind.speakers == pytest.approx({"1": 59 / 3659, "2": 3600 / 3659}, abs=0.001)
    assert kind.speech == pytest.approx((3600 + 30) / 3659, abs=0.001)


def drawn_by(seconds: float, of_moods: dict[str, float] | None = None, **of_kind: Any) -> Turns:
    """A conversation of four, of a kind and of moods that differ from AMI's in what is given."""
    fit = READY["ami"]._fit
    moods = [replace(mood, **of_moods or {}) for mood in fit.moods]
    changed = FittedTurns(replace(fit, moods=moods, kinds=[replace(fit.kinds[0], **of_kind)]), (4, 4))
    return changed.draw(np.random.default_rng(0), seconds)


def test_a_kind_has_its_own_moods() -> None:
    overlaps = np.array([mood.overlap for mood in READY["ami"]._fit.moods])
    found = []
    for extreme in (overlaps.min(), overlaps.max()):
        turns = drawn_by(1800, moods=(overlaps == extreme).astype(float).tolist())
        found.append(TurnStatistics(turns).stretch(0, 1800).overlap)
    assert found[0] < 0.05 and found[1] > 0.15


def test_a_kind_has_backchannels_as_often_and_turns_as_long_as_it_says() -> None:
    lengths, rates = [], []
    for factor in (1.0, 3.0):
        events = dissect(drawn_by(3600, length=factor))
        lengths.append([np.mean([e.length + min(e.offset, 0) for e in events if e.name == way]) for way in TAKES])
        events = dissect(drawn_by(3600, backchannels=factor))
        floor = sum(event.length for event in events if event.name != BACKCHANNEL)
        rates.append(sum(event.name == BACKCHANNEL for event in events) / floor)
    assert np.divide(*lengths[::-1]) == pytest.approx([3] * 3, rel=0.4)
    assert rates[1] / rates[0] == pytest.approx(3, rel=0.3)


def test_backchannels_come_in_bursts() -> None:
    found = []
    for bursts in (0.0, 3.0):
        turns = drawn_by(7200, of_moods={"bursts": bursts, "backchannels_per_minute": 10.0})
        found.append(fit_turns([turns], 1, 1).moods[0].bursts)
    assert found[0] < 0.5 and found[1] > 1.5


def test_who_is_involved_changes_with_the_topic() -> None:
    """In two minutes, one speaks more than the others; in the long run, all speak as much."""
    turns = drawn_by(4 * 3600, dominance=0.0, involvement=0.9)
    counts, *_ = np.histogram2d([turn.start for turn in turns], [turn.speaker for turn in turns], (120, range(5)))
    # (num_stretches of 2 minutes, num_speakers)
    most, overall = counts.max(axis=1).sum() / counts.sum(), counts.sum(axis=0).max() / counts.sum()
    assert most > 0.42 and overall < 0.35


def test_backchannels_are_within_the_turn_that_has_the_floor() -> None:
    sampler = TurnSampler(READY["ami"]._fit, READY["ami"]._fit.kinds[0], 4, np.random.default_rng(0))
    num_answers = 0
    for _ in range(2000):
        before = len(sampler.turns)
        sampler.go_on()
        floor, *answers = sampler.turns[before:]
        assert floor == sampler.floor
        assert all(floor.start <= answer.start and answer.end <= floor.end + 1e-9 for answer in answers)
        num_answers += len(answers)
    assert num_answers > 200


def test_shares_are_as_uneven_as_is_asked_for() -> None:
    rng = np.random.default_rng(0)

    def unevenness(before: float, after: float) -> float:
        means = [draw_shares(np.full(4, 0.25), 0, before, rng) for _ in range(2000)]
        shares = np.array([draw_shares(mean, before, after, rng) for mean in means])
        return float((4 * np.square(shares).sum(axis=1).mean() - 1) / 3)

    assert unevenness(0.0, 0.0) == 0
    assert unevenness(0.0, 0.3) == pytest.approx(0.3, abs=0.02)
    assert unevenness(0.2, 0.5) == pytest.approx(0.5, abs=0.02)
    assert unevenness(0.0, 1.0) == pytest.approx(1.0, abs=0.02)
    assert draw_shares(np.ones(1), 0, 1.0, rng) == 1


def test_a_fit_to_what_a_fit_draws_is_like_it() -> None:
    rng = np.random.default_rng(0)
    recordings = [READY["ami"].draw(rng, 900) for _ in range(40)]
    again = FittedTurns(fit_turns(recordings, num_kinds=4, num_moods=12))
    conversations = [again.draw(rng, 900) for _ in range(80)]
    drawn = characteristics(conversations)
    for name, values in characteristics(recordings).items():
        assert ks_2samp(values, drawn[name]).statistic < 0.1, name
    assert habits(conversations) == pytest.approx(habits(recordings), abs=0.05)


def test_a_fit_does_not_depend_on_anything_but_the_recordings() -> None:
    recordings = [READY["voxconverse"].draw(np.random.default_rng(seed), 300) for seed in range(12)]
    assert fit_turns(recordings, 4, 4) == fit_turns(recordings, 4, 4)


def test_distributions_of_a_fit(tmp_path: Path) -> None:
    """Two speakers in turn: 2 s, a gap of 1 s, and so on."""
    path = write_rttm(tmp_path / "m.rttm", [(3 * i, 2.0, "AB"[i % 2]) for i in range(100)])
    turns = FittedTurns.fit(path)
    mood = turns._fit.moods[0]
    assert mood.takes["gap"] == pytest.approx([1] * 4, abs=1e-3)
    assert set(mood.silence["gap"]) == {1.0} and set(mood.length["gap"]) == {2.0}
    assert mood.backchannels_per_minute == 0 and mood.turns_per_minute == pytest.approx(21, abs=1)
    assert turns._fit.kinds[0].speakers == {"2": 1.0}
    drawn = turns.draw(np.random.default_rng(0), 60)
    assert [turn.speaker for turn in drawn] == [i % 2 for i in range(len(drawn))]
    assert all(after.start - before.end == pytest.approx(1) for before, after in zip(drawn, drawn[1:], strict=False))


def events_of(recording: Turns, duration: float = 600, **habits: dict[str, float]) -> list[tuple[str, float]]:
    """Names and offsets of what a fit to one recording draws, without what the ends of the conversation cut."""
    fit = fit_turns([recording], 1, 1)
    turns = FittedTurns(replace(fit, kinds=[replace(fit.kinds[0], **habits)]))
    drawn = dissect(turns.draw(np.random.default_rng(0), duration))[2:-2]
    assert len(drawn) > 50
    return [(event.name, event.offset) for event in drawn]


@pytest.mark.parametrize("seconds", [3, 30])
def test_interruptions_are_events_of_their_own(seconds: int) -> None:
    """Whoever has the floor is interrupted 0.5 s before the end of his turn, short or long."""
    recording = [Triplet(i * (seconds - 0.5), i * (seconds - 0.5) + seconds, i % 3) for i in range(200)]
    events = events_of(recording, 200 * seconds)
    assert events == [("interruption", pytest.approx(-0.5, abs=0.01))] * len(events)


def test_backchannels_are_events_of_their_own_and_leave_the_floor() -> None:
    """One speaks for 4 s, again and again; the other says something in the middle of it."""
    recording = sorted(
        turn for i in range(200) for turn in (Triplet(5 * i, 5 * i + 4, 0), Triplet(5 * i + 2, 5 * i + 2.5, 1))
    )
    events = events_of(recording)
    assert {name for name, _ in events} == {"pause", "backchannel"}
    assert [name for name, _ in events].count("backchannel") / len(events) == pytest.approx(0.5, abs=0.06)
    assert all(offset == pytest.approx(1.0, abs=0.01) for name, offset in events if name == "pause")


def test_a_kind_takes_the_floor_in_its_own_ways() -> None:
    """Two speak twice in turn, with 1 s between turns; but not where one kind of recordings has no pauses."""
    recording = [Triplet(3 * i, 3 * i + 2, i // 2 % 2) for i in range(200)]
    assert {name for name, _ in events_of(recording)} == {"pause", "gap"}
    eager = events_of(recording, takes={"pause": 0.0, "gap": 1.0, "interruption": 1.0})
    assert {name for name, _ in eager} == {"gap"}


def test_who_speaks_next_is_who_was_heard_longest_ago_where_people_take_turns() -> None:
    around = fit_turns([[Triplet(3 * i, 3 * i + 2, i % 4) for i in range(400)]], 1, 1)
    speakers = [turn.speaker for turn in FittedTurns(around).draw(np.random.default_rng(0), 900)]
    fours = [set(speakers[i : i + 4]) for i in range(len(speakers) - 3)]
    assert np.mean([len(four) == 4 for four in fours]) > 0.9


def test_one_dominates_where_one_dominated() -> None:
    """A chairman has every other turn, or all speak as much as all others."""
    rng = np.random.default_rng(0)
    chaired = [0 if i % 2 == 0 else int(rng.integers(1, 6)) for i in range(600)]
    even = np.cumsum(rng.integers(1, 6, size=600)) % 6
    most, dominance = [], []
    for order in (chaired, even.tolist()):
        fit = fit_turns([[Triplet(3 * i, 3 * i + 2, speaker) for i, speaker in enumerate(order)]], 1, 1)
        counts = [np.bincount([turn.speaker for turn in FittedTurns(fit).draw(rng, 900)]) for _ in range(20)]
        most.append(np.mean([count.max() / count.sum() for count in counts]))
        dominance.append(fit.kinds[0].dominance)
    assert dominance[0] > dominance[1] + 0.1
    assert most[0] > most[1] + 0.08


@pytest.mark.parametrize(
    "turns",
    [
        [Triplet(0, 1, 0), Triplet(2, 3, 0)],
        [Triplet(0, 1, 0), Triplet(0.5, 3, 1)],
        [Triplet(0, 1, 0), Triplet(1, 3, 1)],
        [Triplet(0, 9, 0), Triplet(5, 6, 1), Triplet(10, 10, 2), Triplet(10, 12, 0)],
    ],
    ids=["pause", "interruption", "gap", "backchannel"],
)
def test_a_few_turns_are_enough(turns: Turns) -> None:
    fit = fit_turns([turns, []], num_kinds=16, num_moods=12)
    for num_speakers in (None, (1, 1), (2, 2), (3, 9)):
        for seed in range(20):
            check(FittedTurns(fit, num_speakers).draw(np.random.default_rng(seed), 30), 30, most=9)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    for turns in READY.values():
        turns.save(tmp_path / "fit.json")
        assert FittedTurns.load(tmp_path / "fit.json")._fit == turns._fit
    assert (tmp_path / "fit.json").read_bytes() == (FITS / "voxconverse.json").read_bytes()


def test_a_fit_that_cannot_be_written_leaves_the_one_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, text: str, **_: Any) -> None:
        path.write_bytes(text[:100].encode())
        raise OSError(28, "No space left on device")

    saved = tmp_path / "fit.json"
    READY["ami"].save(saved)
    before = saved.read_bytes()
    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="No space left.*fit.json"):
        READY["voxconverse"].save(saved)
    assert saved.read_bytes() == before and list(tmp_path.iterdir()) == [saved]


def test_ready_fits_are_small_and_can_be_read() -> None:
    for name in NAMES:
        lines = (FITS / f"{name}.json").read_text().splitlines()
        assert sum(map(len, lines)) < 50_000 and max(map(len, lines)) < 140
    assert repr(READY["ami"]) == "FittedTurns(96 recordings, 54.8 h, 16 kinds, 12 moods)"
    assert repr(READY_MANY["ami"]).endswith("12 moods, num_speakers=(6, 8))")


def test_what_cannot_be_fitted_or_loaded_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TurnsError, match="no ready fit 'callhome'. There are ami, voxconverse"):
        FittedTurns.ready("callhome")
    with pytest.raises(TurnsError, match="No .rttm file"):
        FittedTurns.fit(tmp_path)
    with pytest.raises(TurnsError, match=f"^There is no file or folder {tmp_path / 'nosuch'}. Check its name"):
        FittedTurns.fit(f"{tmp_path}/nosuch/")
    with pytest.raises(TurnsError, match="1 recordings in which no turn follows another. Give RTTM files of conv"):
        FittedTurns.fit(write_rttm(tmp_path / "one.rttm", [(0, 1, "A")]))
    for seconds in (-1.0, float("nan"), float("inf")):
        wrong_line = f"bad.rttm, line 2: start 3.0 and duration {seconds} have to be numbers of seconds, 0 or more. M"
        with pytest.raises(TurnsError, match=wrong_line):
            FittedTurns.fit(write_rttm(tmp_path / "bad.rttm", [(0, 1, "A"), (3, seconds, "B")]))
    with pytest.raises(TurnsError, match="There is no file .*missing.json. Check its name"):
        FittedTurns.load(tmp_path / "missing.json")
    (tmp_path / "broken.json").write_bytes(b"\xab{")
    with pytest.raises(TurnsError, match=r"broken.json cannot be read .* .UnicodeDecodeError: .*\). Make such a file"):
        FittedTurns.load(tmp_path / "broken.json")
    with pytest.raises(TypeError, match="max_speakers"):
        FittedTurns.ready("ami", max_speakers=3)
    for wrong in ((0, 2), (3, 2), 4, (2, 2.5), (1, 2, 3)):
        with pytest.raises(TurnsError, match="1 <= fewest <= most"):
            FittedTurns.ready("ami", num_speakers=wrong)
    two = write_rttm(tmp_path / "two.rttm", [(0, 1, "A"), (2, 1, "B")])
    for options in ({"num_kinds": 0}, {"num_moods": 0}):
        with pytest.raises(TurnsError, match="must be 1 kind and 1 mood or more"):
            FittedTurns.fit(two, **options)


def test_unknown_and_missing_keys_are_named_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "fit.json"
    entries = json.loads((FITS / "ami.json").read_text())
    path.write_text(json.dumps({**entries, "speed": 1}))
    with pytest.raises(TurnsError, match="fit.json has speed, which nothing reads. Known are absence, hours, kinds"):
        FittedTurns.load(path)
    del entries["moods"][3]["memory"]
    path.write_text(json.dumps(entries))
    with pytest.raises(TurnsError, match=r"fit.json, moods\[3\] lacks memory"):
        FittedTurns.load(path)
    path.write_text("[]")
    with pytest.raises(TurnsError, match="fit.json lacks absence, hours, kinds, moods, recordings"):
        FittedTurns.load(path)
