from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from toy import SAMPLE_RATE, rms, toy_voice, write_toy_voices

from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.locking import LOCK, InUseError, alone
from pyannote_pix2seq.simulation import preparation
from pyannote_pix2seq.simulation.layout import split_of
from pyannote_pix2seq.simulation.preparation import AS_THEY_ARE, Preparation, prepare_voices
from pyannote_pix2seq.simulation.store import INDEX_FILE, LEVEL, PARTS, VoicesError, to_level, write_voices
from pyannote_pix2seq.simulation.voices import Voices


@pytest.fixture()
def store(tmp_path: Path) -> Path:
    return write_toy_voices(tmp_path / "voices")


def dominant(waveform: np.ndarray) -> float:
    """Frequency of the highest peak of the spectrum, in Hz."""
    return float(np.argmax(np.abs(np.fft.rfft(waveform))) * SAMPLE_RATE / len(waveform))


def test_splits_do_not_share_speakers(store: Path) -> None:
    train, dev = Voices(store, "train"), Voices(store, "dev")
    assert train.speakers == [f"train{i:02d}" for i in range(8)]
    assert dev.speakers == [f"dev{i:02d}" for i in range(8, 12)]
    assert repr(train).endswith("8 speakers, 0.5 min")


def test_speech_is_of_the_speaker_asked_for(store: Path) -> None:
    voices = Voices(store, "train")
    for number, speaker in enumerate(voices.speakers):
        speech = voices.speech(speaker, np.random.default_rng(0), 5 * SAMPLE_RATE)
        assert speech.shape == (5 * SAMPLE_RATE,) and speech.dtype == np.float32
        assert dominant(speech) == pytest.approx(100 + 20 * number, abs=6)


def test_speech_is_level_starts_at_once_and_has_short_pauses_only(store: Path) -> None:
    speech = Voices(store, "train").speech("train00", np.random.default_rng(1), 12 * SAMPLE_RATE)
    assert rms(speech[speech != 0]) == pytest.approx(LEVEL, rel=0.05)
    assert rms(speech[:400]) > 0.2 * LEVEL
    frames = np.abs(speech[: len(speech) // 160 * 160].reshape(-1, 160)).max(1) > 0
    runs = np.diff(np.flatnonzero(np.concatenate([[True], frames, [True]])))
    assert 3 <= (runs > 4).sum() <= 5  # 2 s regions, 12 s of speech: every region is followed by a pause
    assert runs.max() <= 26


def test_the_digest_is_that_of_what_is_said(store: Path) -> None:
    digest = Voices(store, "train").digest
    assert Voices(store, "train").digest == digest
    speech = np.fromfile(store / "speech.int16", np.int16)
    (speech * 0.5).astype(np.int16).tofile(store / "speech.int16")
    assert Voices(store, "train").digest != digest


def test_speech_depends_on_nothing_but_the_seed(store: Path) -> None:
    voices = Voices(store, "train")
    again = pickle.loads(pickle.dumps(voices))
    first, second, other = (
        v.speech("train03", np.random.default_rng(seed), 30_000) for v, seed in [(voices, 1), (again, 1), (voices, 3)]
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert len(pickle.dumps(voices)) < 3000


def test_regions_are_all_heard_before_one_is_heard_again(tmp_path: Path) -> None:
    levels = [0.1, 0.2, 0.3, 0.4]
    regions = [np.full(SAMPLE_RATE, round(level * 32768), dtype=np.int16) for level in levels]
    write_voices(tmp_path, [("steps", "toy", "train", regions)])
    speech = Voices(tmp_path, "train").speech("steps", np.random.default_rng(0), 10 * SAMPLE_RATE)
    onsets = np.flatnonzero((speech[1:] > 0) & (speech[:-1] == 0))
    heard = [round(float(speech[onset + 1000]), 1) for onset in onsets]
    assert sorted(heard[:4]) == levels and sorted(heard[4:8]) == levels
    assert np.abs(np.diff(speech)).max() < 0.01  # faded in and out: no click


def test_small_corpora_are_heard_more_than_their_size(store: Path) -> None:
    voices, rng = Voices(store, "train"), np.random.default_rng(0)
    drawn = [voices.choose(1, rng)[0] for _ in range(2000)]
    # half by corpus: 1/2 * 1/2; half by speaker: 1/2 * 1/8
    assert drawn.count("train00") / 2000 == pytest.approx(0.3125, abs=0.04)
    assert drawn.count("train05") / 2000 == pytest.approx(0.6875 / 7, abs=0.03)


def test_chosen_voices_are_distinct_and_as_many_as_asked_for(store: Path) -> None:
    voices, rng = Voices(store, "train"), np.random.default_rng(0)
    assert all(len(set(voices.choose(6, rng))) == 6 for _ in range(20))
    assert voices.choose(0, rng) == ()
    with pytest.raises(VoicesError, match="9 speakers were asked for .* 8 to choose from"):
        voices.choose(9, rng)
    with pytest.raises(VoicesError, match=r"Draw turns of fewer speakers, or have more voices\. One name in ten is"):
        voices.choose(9, rng)  # recipes have no max_speakers


def test_voices_that_are_taken_are_not_chosen(store: Path) -> None:
    voices, rng = Voices(store, "train"), np.random.default_rng(0)
    taken = ("train00", "train05", "somebody else")
    drawn = {voice for _ in range(50) for voice in voices.choose(4, rng, excluding=taken)}
    assert drawn == set(voices.speakers) - set(taken)
    with pytest.raises(VoicesError, match="7 speakers were asked for .* 6 to choose from"):
        voices.choose(7, rng, excluding=taken)


def test_errors_say_what_there_is(store: Path, tmp_path: Path) -> None:
    with pytest.raises(VoicesError, match="split 'test'.*It has dev, train. One name in ten .* column `split`"):
        Voices(store, "test")
    with pytest.raises(VoicesError, match=r"^There is no folder .*/nothing. Check .* recipes/prepare_voices\.py"):
        Voices(tmp_path / "nothing", "train")
    (tmp_path / "no_store").mkdir()
    with pytest.raises(VoicesError, match=r"No voices.json in .*/no_store: not a store .*prepare_voices\.py"):
        Voices(tmp_path / "no_store", "train")
    with pytest.raises(VoicesError, match="'nobody' is none of the 8 speakers"):
        Voices(store, "train").speech("nobody", np.random.default_rng(0), 100)
    speech = [np.zeros(4 * SAMPLE_RATE, dtype=np.int16)]
    with pytest.raises(VoicesError, match="'a' comes twice"):
        write_voices(tmp_path / "twice", [("a", "c", "train", speech), ("a", "c", "dev", speech)])
    with pytest.raises(VoicesError, match="'b' has no speech"):
        write_voices(tmp_path / "mute", [("b", "c", "train", [speech[0][:0]])])
    with pytest.raises(VoicesError, match=r"No speaker is left.*refused\.tsv"):
        write_voices(tmp_path / "empty", [])


def test_a_damaged_store_is_told(store: Path) -> None:
    speech, index = store / "speech.int16", store / "voices.json"
    whole = speech.read_bytes()
    speech.write_bytes(whole[:-2])
    with pytest.raises(VoicesError, match=f"speech.int16 has {len(whole) - 2} bytes of {len(whole)}"):
        Voices(store, "train")
    speech.unlink()
    with pytest.raises(VoicesError, match="has 0 bytes"):
        Voices(store, "train")
    index.write_text(index.read_text()[:100])
    with pytest.raises(VoicesError, match=r"voices\.json is damaged"):
        Voices(store, "train")


def test_regions_are_as_they_were_written(tmp_path: Path) -> None:
    regions = [to_level(toy_voice(150, seconds)) for seconds in (2.0, 1.5)]
    write_voices(tmp_path, [("ann", "toy", "train", regions)])
    stored = list(Voices(tmp_path, "train").regions("ann"))
    assert all(np.array_equal(*pair) for pair in zip(stored, regions, strict=True))


def test_levels_are_equal_whatever_the_recording() -> None:
    for gain in (0.01, 1.0, 5.0):
        assert rms(to_level(gain * toy_voice(150, 1.0)) / 32768) == pytest.approx(LEVEL, rel=0.01)


def test_peaks_above_full_scale_are_clipped() -> None:
    clicks = np.full(SAMPLE_RATE, 0.001, dtype=np.float32)
    clicks[::1000] = 0.5 * (-1) ** np.arange(16)
    assert to_level(clicks)[::1000].tolist() == [32767, -32768] * 8


@pytest.fixture()
def recordings(tmp_path: Path) -> Path:
    """Manifest of three good speakers, one bad file, and a speaker with too little to say."""
    rows = ["speaker\tcorpus\tsplit\tpath\tseconds"]
    for speaker, split, seconds in [
        ("ann", "train", 4),
        ("bob", "dev", 4),
        ("cy", "train", 4),
        ("di", "train", 1),
    ]:
        soundfile.write(tmp_path / f"{speaker}.wav", toy_voice(150, seconds), SAMPLE_RATE)
        rows.append(f"{speaker}\ttoy\t{split}\t{speaker}.wav\t{seconds}")
    (tmp_path / "bad.wav").write_bytes(b"this is not audio")
    rows.append("ann\ttoy\ttrain\tbad.wav\t1")
    manifest = tmp_path / "manifest.tsv"
    manifest.write_text("\n".join(rows) + "\n")
    return manifest


@pytest.fixture()
def heard(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Take every recording as speech from end to end, and note how long it was."""
    lengths: list[int] = []

    def everything(waveform: np.ndarray, how: Preparation) -> list[np.ndarray]:
        lengths.append(len(waveform))
        return [to_level(waveform)]

    monkeypatch.setattr(preparation, "speech_regions", everything)
    monkeypatch.setattr(preparation, "_detector", lambda: None)
    return lengths


def test_preparing_refuses_what_is_bad_and_keeps_the_rest(recordings: Path, tmp_path: Path, heard: list[int]) -> None:
    refusals = prepare_voices(recordings, tmp_path / "store", num_jobs=1)
    assert Voices(tmp_path / "store", "train").speakers == ["ann", "cy"]
    assert Voices(tmp_path / "store", "dev").speakers == ["bob"]
    assert [refusal.speaker for refusal in refusals] == ["ann", "di"]
    refused = (tmp_path / "store" / "refused.tsv").read_text().splitlines()
    assert refused[0] == "speaker\tpath\treason"
    assert "bad.wav" in refused[1] and "1.0 s of speech" in refused[2]
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == [
        "refused.tsv",
        "speech.int16",
        "voices.json",
    ]


def test_sound_files_that_are_nobodys_recordings_are_refused(tmp_path: Path, heard: list[int]) -> None:
    (tmp_path / "in" / "eve").mkdir(parents=True)
    soundfile.write(tmp_path / "in" / "eve" / "a.wav", toy_voice(200, 4.0), SAMPLE_RATE)
    soundfile.write(tmp_path / "in" / "listed.wav", toy_voice(200, 4.0), SAMPLE_RATE)
    for name in ("eve/b.m4a", "stray.flac"):
        (tmp_path / "in" / name).touch()
    manifest = tmp_path / "in" / "manifest.tsv"
    manifest.write_text("speaker\tpath\tcorpus\tsplit\ndan\tlisted.wav\tin\t\n")
    refusals = prepare_voices([tmp_path / "in", manifest], tmp_path / "store", num_jobs=1)
    assert [(refusal.speaker, Path(refusal.path).name) for refusal in refusals] == [("*", "b.m4a"), ("*", "stray.flac")]
    refused = (tmp_path / "store" / "refused.tsv").read_text().splitlines()
    assert ".m4a files are not taken" in refused[1] and "not in a folder of a speaker" in refused[2]
    assert len(heard) == 2


def test_recordings_whose_names_are_not_utf8_are_refused_by_these_names(tmp_path: Path, heard: list[int]) -> None:
    (tmp_path / "in" / "eve").mkdir(parents=True)
    soundfile.write(tmp_path / "in" / "eve" / "a.wav", toy_voice(200, 4.0), SAMPLE_RATE)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/in/eve/caf\xe9.wav")).write_bytes(b"this is not audio")
    assert len(prepare_voices(tmp_path / "in", tmp_path / "store", num_jobs=1)) == 1
    assert b"/eve/caf\xe9.wav\t" in (tmp_path / "store" / "refused.tsv").read_bytes()
    assert Voices(tmp_path / "store", split_of("eve")).speakers == ["eve"]


def test_a_refusal_is_one_line_whatever_is_wrong(
    recordings: Path, tmp_path: Path, heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: Path) -> np.ndarray:
        raise RuntimeError("two\nlines\tand a tab") if path.stem == "bob" else MemoryError

    monkeypatch.setattr(preparation, "read_recording", failing)
    with pytest.raises(VoicesError, match="No speaker is left"):
        prepare_voices(recordings, tmp_path / "store", num_jobs=1)
    rows = [line.split("\t") for line in (tmp_path / "store" / "refused.tsv").read_text().splitlines()]
    assert {len(row) for row in rows} == {3}
    assert {row[2] for row in rows} >= {"two lines and a tab", "MemoryError"}


def test_recordings_that_were_all_refused_are_heard_again(recordings: Path, tmp_path: Path, heard: list[int]) -> None:
    good = {path: path.read_bytes() for path in tmp_path.glob("*.wav")}
    for path in good:
        path.write_bytes(b"this is not audio")
    with pytest.raises(VoicesError, match="No speaker is left"):
        prepare_voices(recordings, tmp_path / "store", num_jobs=1)
    for path, content in good.items():
        path.write_bytes(content)
    prepare_voices(recordings, tmp_path / "store", num_jobs=1)
    assert Voices(tmp_path / "store", "train").speakers == ["ann", "cy"]


def test_an_interrupted_preparation_goes_on_where_it_stopped(
    recordings: Path, tmp_path: Path, heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(waveform: np.ndarray, how: Preparation) -> list[np.ndarray]:
        if len(heard) == 2:
            raise KeyboardInterrupt
        heard.append(len(waveform))
        return [to_level(waveform)]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(preparation, "speech_regions", interrupted)
        prepare_voices(recordings, tmp_path / "store", num_jobs=1)
    with pytest.raises(VoicesError):
        Voices(tmp_path / "store", "train")
    prepare_voices(recordings, tmp_path / "store", num_jobs=1)
    assert len(heard) == 4  # each good recording once
    assert Voices(tmp_path / "store", "train").speakers == ["ann", "cy"]


def test_a_store_of_which_only_the_speech_was_replaced_is_none(
    recordings: Path, tmp_path: Path, heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def interrupted(part: Path, path: Path) -> Path:
        if path.name == INDEX_FILE:
            raise KeyboardInterrupt
        return replace(part, path)

    write_voices(tmp_path / "store", [("eve", "toy", "train", [to_level(toy_voice(200, 1.0))])])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", interrupted)
        prepare_voices(recordings, tmp_path / "store", num_jobs=1)
    with pytest.raises(VoicesError, match=r"^No voices\.json in .*store: .*Make one with recipes/prepare_voices\.py"):
        Voices(tmp_path / "store", "train")
    prepare_voices(recordings, tmp_path / "store", num_jobs=1)
    assert len(heard) == 4  # each good recording once
    assert Voices(tmp_path / "store", "train").speakers == ["ann", "cy"]


def test_a_store_that_another_process_prepares_is_refused(recordings: Path, tmp_path: Path, heard: list[int]) -> None:
    with alone(tmp_path / "store" / PARTS), pytest.raises(InUseError, match="store.* is in use by another process"):
        prepare_voices(recordings, tmp_path / "store", num_jobs=1)
    assert not heard
    prepare_voices(recordings, tmp_path / "store", num_jobs=1)
    assert Voices(tmp_path / "store", "train").speakers == ["ann", "cy"]


def test_what_else_is_in_the_folder_of_a_store_stays(tmp_path: Path, heard: list[int]) -> None:
    mine = tmp_path / "corpus" / "speakers" / "eve" / "a.wav"
    mine.parent.mkdir(parents=True)
    soundfile.write(mine, toy_voice(200, 4.0), SAMPLE_RATE)
    prepare_voices(tmp_path / "corpus" / "speakers", tmp_path / "corpus", num_jobs=1)
    assert mine.exists() and Voices(tmp_path / "corpus", split_of("eve")).speakers == ["eve"]
    prepare_voices(tmp_path / "corpus" / "speakers", tmp_path / "corpus", num_jobs=1)  # a store may be replaced
    for name in ("voices.json", "speech.int16"):
        other = tmp_path / name / name
        other.parent.mkdir()
        other.write_text("{}")
        with pytest.raises(VoicesError, match=rf"{name} is (damaged .*, or )?no store's"):
            prepare_voices(tmp_path / "corpus" / "speakers", other.parent, num_jobs=1)
        assert other.read_text() == "{}"


def test_other_sample_rates_and_channels_become_16_khz_mono(tmp_path: Path, heard: list[int]) -> None:
    (tmp_path / "in" / "eve").mkdir(parents=True)
    stereo = np.stack([toy_voice(200, 4.0)[::2]] * 2, axis=1)
    soundfile.write(tmp_path / "in" / "eve" / "a.flac", stereo, SAMPLE_RATE // 2)
    prepare_voices(tmp_path / "in", tmp_path / "store", num_jobs=1)
    split = split_of("eve")
    speech = Voices(tmp_path / "store", split).speech("eve", np.random.default_rng(0), 4 * SAMPLE_RATE)
    assert heard == [4 * SAMPLE_RATE]
    assert dominant(speech) == pytest.approx(200, abs=1)


def test_speakers_with_too_little_to_say_are_refused_and_nobody_left_is_an_error(
    tmp_path: Path, heard: list[int]
) -> None:
    (tmp_path / "in" / "di").mkdir(parents=True)
    soundfile.write(tmp_path / "in" / "di" / "a.wav", toy_voice(150, 1.0), SAMPLE_RATE)
    with pytest.raises(VoicesError, match=r"No speaker is left to be kept in .*store.*refused\.tsv says why"):
        prepare_voices(tmp_path / "in", tmp_path / "store", num_jobs=1)
    assert "di\t*\t1.0 s of speech, at least 3.0 s" in (tmp_path / "store" / "refused.tsv").read_text()


def test_nobody_needs_more_speech_than_enough(recordings: Path, tmp_path: Path, heard: list[int]) -> None:
    recordings.write_text(recordings.read_text().replace("bad.wav", "bob.wav"))
    refusals = prepare_voices(recordings, tmp_path / "store", 1, preparation=Preparation(most_speech=3.5))
    assert ("ann", "*", "1 more recordings: 3.5 s of speech are enough") in [
        (refusal.speaker, refusal.path, refusal.reason) for refusal in refusals
    ]
    assert len(heard) == 4  # one recording each


def test_what_was_prepared_in_another_way_is_prepared_again(
    recordings: Path, tmp_path: Path, heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path, voices: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(preparation, "write_voices", interrupted)  # all are prepared and nothing is written
        prepare_voices(recordings, tmp_path / "store", num_jobs=1)
    assert len(heard) == 4
    prepare_voices(recordings, tmp_path / "store", num_jobs=1)
    assert len(heard) == 4  # nothing was done again
    prepare_voices(recordings, tmp_path / "store", 1, preparation=Preparation(most_speech=3.0))
    assert len(heard) == 8


@pytest.mark.parametrize("seconds", [2.9, 0, np.nan, "many"])
def test_less_speech_than_a_speaker_needs_is_never_enough(seconds: Any) -> None:
    with pytest.raises(ArgumentError, match=r"most_speech=.* was given; it has to be a number of seconds, 3 or more\."):
        Preparation(most_speech=seconds)


def test_a_store_is_complete_where_what_is_open_cannot_be_removed(
    recordings: Path, tmp_path: Path, heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def as_on_smb(path: Any, **options: Any) -> None:
        if Path(os.fspath(path)).name == LOCK:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", as_on_smb)
    for _ in range(2):  # which may be replaced
        prepare_voices(recordings, tmp_path / "store", num_jobs=1)
        assert Voices(tmp_path / "store", "train").speakers == ["ann", "cy"]
        assert [path.name for path in (tmp_path / "store" / PARTS).iterdir()] == [LOCK]


def test_speech_is_cut_at_pauses_of_300_ms_and_denoised_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def timestamps(waveform: torch.Tensor, detector: Any, **options: Any) -> list[dict[str, int]]:
        asked.update(options)
        return [{"start": 100, "end": 300}, {"start": 400, "end": 450}]

    monkeypatch.setattr(preparation, "_silero", lambda: SimpleNamespace(get_speech_timestamps=timestamps))
    monkeypatch.setattr(preparation, "_detector", lambda: None)
    monkeypatch.setattr(preparation, "denoise", lambda waveform, regions: waveform[::-1] if regions[1][1] == 450 else 0)
    waveform = np.random.default_rng(0).normal(0, 0.1, 1000).astype(np.float32)
    for is_denoised, heard in ((False, waveform), (True, waveform[::-1])):
        first, second = preparation.speech_regions(waveform, Preparation(is_denoised))
        np.testing.assert_array_equal(first, to_level(heard[100:300]))
        np.testing.assert_array_equal(second, to_level(heard[400:450]))
    assert asked == {"sampling_rate": 16000, "min_silence_duration_ms": 300}


def test_silence_holds_no_speech() -> None:
    pytest.importorskip("silero_vad")
    assert preparation.speech_regions(np.zeros(2 * SAMPLE_RATE, dtype=np.float32), AS_THEY_ARE) == []


def test_voices_of_one_corpus(store: Path) -> None:
    assert Voices(store, "train", "small").speakers == ["train00"]
    assert Voices(store, "train").speakers == [f"train{number:02d}" for number in range(8)]
    copy = pickle.loads(pickle.dumps(Voices(store, "train", "large")))
    assert "train00" not in copy.speakers and len(copy.speakers) == 7
    with pytest.raises(VoicesError, match=r"split 'dev' and corpus 'huge'.*It has dev \(large\), dev \(small\)"):
        Voices(store, "dev", "huge")


def test_the_same_speakers_say_other_things_apart(tmp_path: Path) -> None:
    regions = {"chatty": [1, 2, 3, 4], "terse": [1, 2], "even": [2, 2]}  # seconds
    steps = [
        (name, "toy", "train", [np.full(each * SAMPLE_RATE, 100 * each, dtype=np.int16) for each in lengths])
        for name, lengths in regions.items()
    ]
    write_voices(tmp_path, steps)
    voices, rng = Voices(tmp_path, "train"), np.random.default_rng(0)
    assert len(voices.choose(3, rng)) == 3
    first, second = pickle.loads(pickle.dumps(voices.apart(2.0)))
    assert first.speakers == second.speakers == ["chatty", "even"]
    assert sorted(voices.apart(2.0)[0].choose(2, rng)) == ["chatty", "even"]  # however whole voices were chosen before
    heard = [[len(region) // SAMPLE_RATE for region in voices.regions("chatty")] for voices in (first, second)]
    assert heard == [[1, 2], [3, 4]]
    speech = second.speech("chatty", np.random.default_rng(0), 20 * SAMPLE_RATE) * 32768
    values, counts = np.unique(speech, return_counts=True)
    assert values[counts > SAMPLE_RATE].tolist() == [300.0, 400.0]
    with pytest.raises(VoicesError, match=r"Nobody of .* has twice 8 s"):
        first.apart(8.0)


def test_halves_that_say_other_things_have_other_digests(store: Path) -> None:
    voices = Voices(store, "train")
    whole = voices.digest
    first, second = voices.apart(1.0)
    halves = [first, second, *voices.apart(1.5)]
    assert len({whole, *(half.digest for half in halves)}) == 5
    assert [half.digest for half in Voices(store, "train").apart(1.0)] == [first.digest, second.digest]
    assert pickle.loads(pickle.dumps(first)).digest == first.digest
    assert voices.digest == Voices(store, "train").digest == whole


def test_one_speaker_is_not_speakers(tmp_path: Path) -> None:
    folder = write_toy_voices(tmp_path, num_train=2, num_dev=1)
    assert str(Voices(folder, "dev")).endswith("'dev'): 1 speaker, 0.1 min")
    assert str(Voices(folder, "train")).endswith("'train'): 2 speakers, 0.1 min")


def test_who_has_too_little_to_say_for_enrolment_is_counted(run_recipe: Callable[..., None], tmp_path: Path) -> None:
    speech = [
        (f"v{number}", "toy", "dev", [np.full(seconds * SAMPLE_RATE, 9, dtype=np.int16)] * 2)
        for number, seconds in enumerate([10] * 4 + [5] * 7)
    ]
    write_voices(tmp_path / "voices", speech)
    said = (
        r"4 of 11 voices in split 'dev' of .* a meeting needs 5\. Each needs twice 10 s of speech, .* name another --s"
    )
    with pytest.raises(SystemExit, match=said):
        run_recipe("enrolment.py", "--voices", tmp_path / "voices", "--into", tmp_path / "enrolment")
