"""Difficulties: what they promise, and what they ask for."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread
from toy import SAMPLE_RATE, rms, toy_voice, write_rttm, write_toy_voices

from pyannote_pix2seq.console.conversation_options import protocol_of
from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.protocol import SyntheticProtocol
from pyannote_pix2seq.simulation import Conversation, Noises, Simulator, Voices
from pyannote_pix2seq.simulation.difficulty import DIFFICULTIES, DifficultyError, find, simulator, simulators
from pyannote_pix2seq.simulation.labels import Labels
from pyannote_pix2seq.simulation.store import VoicesError, to_level, write_voices
from pyannote_pix2seq.simulation.turns import TurnsError

NAMES = ["Easy", "Meeting", "Broadcast", "Telephone", "Crowd"]


def write_split_voices(folder: Path, **sizes: int) -> Path:
    """Toy voices of any splits."""
    voices = [
        (f"{split}{number:02d}", "toy", split, [to_level(toy_voice(100 + 20 * number, 2.0))])
        for split, size in sizes.items()
        for number in range(size)
    ]
    write_voices(folder, voices)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split_voices(tmp_path_factory.mktemp("voices"), train=12, dev=12, test=12)


def conversations(simulator: Simulator, size: int) -> list[Conversation]:
    return [simulator.describe(f"one-{number}") for number in range(size)]


def overlap(conversation: Conversation) -> float:
    """Share of speech during which more than one speaks, on a grid of 10 ms."""
    active = np.zeros((len(conversation.voices), round(100 * conversation.duration)), dtype=int)
    for start, end, speaker in conversation.turns:
        active[speaker, round(100 * start) : round(100 * end)] = 1
    return float((active.sum(axis=0) > 1).sum() / max(active.any(axis=0).sum(), 1))


def test_there_are_five_and_each_says_what_it_stands_for() -> None:
    assert list(DIFFICULTIES) == NAMES
    assert len({difficulty.about for difficulty in DIFFICULTIES.values()}) == 5
    for difficulty in DIFFICULTIES.values():
        assert difficulty.acoustics.noises is None and difficulty.acoustics.bystanders is None


@pytest.mark.parametrize("name", NAMES)
def test_as_many_speak_as_was_promised(name: str, store: Path) -> None:
    fewest, most = find(name).num_speakers
    heard = conversations(simulators(name, store)["test"], 10)
    for conversation in heard:
        assert conversation.duration == 120
        assert 1 <= len(conversation.voices) <= most
        assert {turn.speaker for turn in conversation.turns} == set(range(len(conversation.voices)))
    assert np.mean([len(conversation.voices) for conversation in heard]) >= fewest - 1


def test_meetings_overlap_more_than_interviews(store: Path) -> None:
    easy, meeting = (
        np.mean([overlap(conversation) for conversation in conversations(simulators(name, store)["test"], 20)])
        for name in ("Easy", "Meeting")
    )
    assert easy < 0.08 < meeting


def test_every_subset_has_voices_of_its_own(store: Path) -> None:
    made = simulators("Meeting", store, train_duration=20.0)
    assert {subset: simulator.voices.split for subset, simulator in made.items()} == {
        "train": "train",
        "development": "dev",
        "test": "test",
    }
    assert {subset: simulator.duration for subset, simulator in made.items()} == {
        "train": 20.0,
        "development": 120.0,
        "test": 120.0,
    }
    protocol = SyntheticProtocol("Meeting", **made)
    for subset, split in (("train", "train"), ("development", "dev"), ("test", "test")):
        files = islice(getattr(protocol, subset)(), 3)
        assert {label[:-2] for file in files for label in file["annotation"].labels()} == {split}


def test_noise_is_that_which_is_given_and_the_crowd_is_of_the_same_voices(store: Path, tmp_path: Path) -> None:
    (tmp_path / "rain").mkdir()
    soundfile.write(tmp_path / "rain" / "1.wav", np.full(10, 0.1), SAMPLE_RATE)
    made = simulators("Crowd", store, Noises(tmp_path))["test"]
    scenes = [conversation.scene for conversation in conversations(made, 20)]
    assert {scene.noise for scene in scenes if scene} == {"rain", "generated"}
    assert {voice[:-2] for scene in scenes if scene for voice in scene.crowd} == {"test"}


def test_without_test_voices_development_voices_are_used_and_that_is_said(tmp_path: Path) -> None:
    folder = write_toy_voices(tmp_path, num_train=2, num_dev=2)
    with pytest.warns(UserWarning, match="no voices of split 'test': test conversations have those of development"):
        made = simulators("Easy", folder)
    assert made["test"].voices.split == "dev"


def test_where_there_is_no_store_nothing_is_said_about_its_test_voices(tmp_path: Path) -> None:
    with warnings.catch_warnings(), pytest.raises(VoicesError, match="There is no folder .*nowhere"):
        warnings.simplefilter("error")
        simulators("Easy", tmp_path / "nowhere", subsets=["test"])


def test_a_difficulty_that_does_not_exist_is_named_and_all_are_listed(store: Path) -> None:
    with pytest.raises(DifficultyError, match="no difficulty 'Hard'.*Easy, Meeting, Broadcast, Telephone, Crowd"):
        simulators("Hard", store)


def test_a_subset_that_does_not_exist_is_named_and_all_are_listed(store: Path) -> None:
    with pytest.raises(DifficultyError, match="no subset 'dev'. There are train, development, test"):
        simulators("Easy", store, subsets=["train", "dev"])  # which is a split of voices


def test_conversations_of_no_duration_are_refused(store: Path) -> None:
    with pytest.raises(ArgumentError, match="duration=0 was given"):
        simulator("Easy", Voices(store, "train"), duration=0)


def test_the_fewest_and_the_most_speakers_are_two_numbers(store: Path) -> None:
    for wrong in (3, (3, 2), (2.5, 4)):
        with pytest.raises(TurnsError, match=r"num_speakers=.*: give the fewest and the most speakers, two whole"):
            simulator("Easy", Voices(store, "train"), num_speakers=wrong)  # type: ignore[arg-type]


def test_too_few_voices_are_counted(tmp_path: Path) -> None:
    folder = write_split_voices(tmp_path, train=12, dev=5, test=5)
    assert set(simulators("Meeting", folder)) == {"train", "development", "test"}
    with pytest.raises(
        DifficultyError, match=r"Crowd needs 12 voices at once, .*; 5 can be had of Voices\(.*'dev'\).*\. Prep"
    ):
        simulators("Crowd", folder)


def test_a_folder_that_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(VoicesError, match=r"There is no folder .*nowhere\. Check its name"):
        simulators("Easy", tmp_path / "nowhere")


@pytest.fixture
def make_protocol(load_recipe: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, store: Path) -> Any:
    """The protocol that recipes/train.py trains on, given its options."""

    def make(*options: str) -> SyntheticProtocol:
        monkeypatch.setattr(sys, "argv", ["train.py", "--voices", str(store), "--into", "nowhere", *options])
        return protocol_of(load_recipe("train.py").parse())

    return make


def test_training_takes_a_difficulty_and_a_style_of_labels(make_protocol: Any) -> None:
    protocol = make_protocol(
        "--difficulty", "Telephone", "--conversations", "3", "--duration", "20", "--padding", "0.1"
    )
    assert str(protocol) == (
        "Synthetic.SpeakerDiarization.Telephone: 3 train, 40 development, 0 test conversations, "
        "labels merge_pauses=0,padding=0.1"
    )
    assert [file["annotated"].duration() for file in protocol.train()] == [20.0] * 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sizes", [{}, {"test": 1}], ids=["none", "too few"])
def test_training_needs_no_test_voices(make_protocol: Any, tmp_path: Path, sizes: dict[str, int]) -> None:
    folder = write_split_voices(tmp_path, train=2, dev=2, **sizes)
    protocol = make_protocol("--difficulty", "Easy", "--voices", str(folder), "--development", "1")
    for subset, split in (("train", "train"), ("development", "dev")):
        assert {label[:-2] for label in next(getattr(protocol, subset)())["annotation"].labels()} == {split}


def test_training_takes_turns_of_real_conversations(make_protocol: Any, tmp_path: Path) -> None:
    write_rttm(tmp_path / "real.rttm", [(0.0, 40.0, "ann"), (30.0, 60.0, "bob")])
    protocol = make_protocol("--turns", str(tmp_path))
    assert protocol.name == "Synthetic.SpeakerDiarization.Meeting" and protocol.labels == Labels()
    assert protocol.sizes == {"train": 4000, "development": 40, "test": 0}
    durations = [next(getattr(protocol, subset)())["annotated"].duration() for subset in ("train", "development")]
    assert durations == [50.0, 30.0]


def test_training_takes_either(make_protocol: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for options in ([], ["--difficulty", "Easy", "--turns", str(tmp_path)]):
        with pytest.raises(SystemExit):
            make_protocol(*options)
    assert "one of the arguments --turns --difficulty is required" in capsys.readouterr().err


def test_they_are_drawn_and_measured(
    run_recipe: Callable[..., None], store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["draw_difficulties.py", "--voices", store, "--into", tmp_path, "--conversations", "5"]
    page = tmp_path / "simulation.md"
    with pytest.raises(SystemExit, match=r"draw_difficulties.py: .*simulation.md cannot be read"):
        run_recipe(*arguments)
    page.write_text("before\n<!-- difficulties:begin -->\n<!-- difficulties:end -->\nafter\n")
    run_recipe(*arguments)
    printed = capsys.readouterr().out
    assert printed in page.read_text()
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines()[2:]]
    assert [row[0] for row in rows] == NAMES
    protocol = SyntheticProtocol("Crowd", **simulators("Crowd", store))
    heard = [len(file["annotation"].labels()) for file in islice(protocol.development(), 5)]
    assert rows[-1][2] == f"{min(heard)} to {max(heard)}"
    for picture in ("difficulties.png", "labels.png"):
        pixels = imread(tmp_path / picture)
        assert pixels.shape[1] == 1320 and (pixels[..., :3].min(axis=-1) < 0.9).mean() > 0.05


def test_a_telephone_has_no_treble(store: Path) -> None:
    def treble(name: str) -> list[float]:
        """Share of the power that lies above 4.5 kHz, by conversation."""
        simulator = simulators(name, store, train_duration=4.0)["train"]
        shares = []
        for number in range(4):
            power = np.abs(np.fft.rfft(simulator.render(simulator.describe(f"call-{number}"))[0])) ** 2
            shares.append(power[round(4.5 * len(power) / 8) :].sum() / power.sum())
        return shares

    assert max(treble("Telephone")) < 1e-5 < min(treble("Meeting"))


def test_only_a_crowd_is_heard_when_nobody_speaks(store: Path) -> None:
    def loudness_of_silence(name: str) -> float:
        """Level of what is heard while nobody speaks, over the level of a conversation; median."""
        simulator = simulators(name, store, train_duration=10.0)["train"]
        ratios = []
        for number in range(6):
            conversation = simulator.describe(f"party-{number}")
            waveform = simulator.render(conversation)[0]
            is_silent = ~simulator.tracks(conversation).any(axis=0)
            if is_silent.sum() > SAMPLE_RATE // 2:
                ratios.append(rms(waveform[is_silent]) / rms(waveform))
        return float(np.median(ratios))

    assert loudness_of_silence("Easy") < 0.1 < 0.2 < loudness_of_silence("Crowd")
