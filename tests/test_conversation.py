from __future__ import annotations

import gc
import hashlib
import os
import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from pyannote.core import Segment
from torch.utils.data import DataLoader, Dataset
from toy import SAMPLE_RATE, rms, write_toy_voices

from pyannote_pix2seq.errors import ArgumentError, OptionError
from pyannote_pix2seq.simulation.acoustics import Acoustics
from pyannote_pix2seq.simulation.conversation import Conversation, Simulator
from pyannote_pix2seq.simulation.fitted_turns import FittedTurns
from pyannote_pix2seq.simulation.noise import Noises
from pyannote_pix2seq.simulation.scene import Scene
from pyannote_pix2seq.simulation.store import LEVEL, VoicesError
from pyannote_pix2seq.simulation.taken_turns import TakenTurns
from pyannote_pix2seq.simulation.turns import PlainTurns, TurnsError, TurnTaking
from pyannote_pix2seq.simulation.voices import Voices
from pyannote_pix2seq.vocabulary import Triplet

DURATION = 8.0
EVERYTHING = {
    "room_probability": 1,
    "noise_probability": 1,
    "crowd_probability": 1,
    "telephone_probability": 0.5,
    "codec_probability": 1,
    "codecs": ("mp3", "vorbis", "opus"),
    "clipping_probability": 0.5,
    "pitch_probability": 0.5,
}
URIS = [f"Toy-train-{number:06d}" for number in range(6)]
HASH = """
import sys
sys.path[:0] = {path}
from test_conversation import URIS, digest, simulator_of
print([digest(simulator_of({folder!r}, everything=True), uri) for uri in reversed(URIS)])
"""


def simulator_of(folder: str | Path, acoustics: Acoustics | None = None, everything: bool = False) -> Simulator:
    voices = Voices(folder, "train")
    if everything:
        pytest.importorskip("python_stretch")
        acoustics = Acoustics(noises=Noises(Path(folder) / "noise"), bystanders=voices, **EVERYTHING)  # type: ignore[arg-type]
    return Simulator(voices, PlainTurns(max_speakers=4), acoustics or Acoustics.none(), duration=DURATION)


def digest(simulator: Simulator, uri: str) -> str:
    """Hash of all that a uri stands for: who speaks when, and every sample."""
    conversation = simulator.describe(uri)
    return hashlib.sha256(repr(conversation).encode() + simulator.render(conversation).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_toy_voices(tmp_path_factory.mktemp("voices"))
    (folder / "noise").mkdir()
    for number in range(3):
        samples = np.random.default_rng(number).normal(0, 0.1, 44100 * (number + 1))
        soundfile.write(folder / "noise" / f"{number}.flac", samples, 22050)
    return folder


class Digests(Dataset[str]):
    """What a worker of a data loader hears."""

    def __init__(self, folder: Path) -> None:
        self.simulator = simulator_of(folder, everything=True)

    def __len__(self) -> int:
        return len(URIS)

    def __getitem__(self, number: int) -> str:
        return digest(self.simulator, URIS[number])


def test_the_same_uri_gives_the_same_bytes_in_another_process_and_order(store: Path) -> None:
    simulator = simulator_of(store, everything=True)
    code = HASH.format(path=[str(Path(__file__).parent), *sys.path], folder=str(store))
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "OMP_NUM_THREADS": "2",
        "PYANNOTE_METRICS_ENABLED": "0",
    }
    elsewhere = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert elsewhere.stdout.strip() == str([digest(simulator, uri) for uri in URIS][::-1])


def test_the_same_uri_gives_the_same_bytes_with_any_number_of_workers(store: Path) -> None:
    digests = Digests(store)
    alone, one, two = (list(DataLoader(digests, batch_size=None, num_workers=number)) for number in (0, 1, 2))
    assert alone == one == two
    assert len(set(alone)) == len(URIS)


def test_a_conversation_that_is_called_by_a_number_is_told_what_to_be_called(store: Path) -> None:
    with pytest.raises(OptionError, match="^A conversation is called 3; its uri has to be a text, such as 'meeting-3'"):
        simulator_of(store).describe(3)  # type: ignore[arg-type]


def test_another_uri_is_another_conversation(store: Path) -> None:
    simulator = simulator_of(store)
    described = [simulator.describe(f"Toy-train-{number:06d}") for number in range(20)]
    assert len({conversation.turns for conversation in described}) == 20
    assert len({conversation.voices for conversation in described}) >= 15
    assert len({conversation.scene for conversation in described}) == 20


MEETING = [Triplet(1.3 * k, 1.3 * k + (0.2, 1.0, 3.0)[k % 3], (0, 1, 0, 2)[k % 4]) for k in range(40)]


@pytest.mark.parametrize(
    "turns",
    [
        PlainTurns(max_speakers=4),
        FittedTurns.ready("ami", num_speakers=(2, 5)),
        TakenTurns([[MEETING]], pause_probability=0.5, empty_probability=0.2, hesitations=0.3),
    ],
    ids=["plain", "fitted", "taken"],
)
def test_speech_is_where_the_turns_are_and_nowhere_else(store: Path, turns: TurnTaking) -> None:
    """Hundreds of seeds; voices at any speed and pitch."""
    simulator = simulator_of(store, replace(Acoustics.none(), speed=(0.8, 1.25)))
    pitched = simulator_of(store, replace(Acoustics.none(), pitch_probability=1.0))
    simulator.turns = pitched.turns = turns
    for seed in range(150):
        chosen = pitched if seed % 10 == 0 else simulator
        conversation = chosen.describe(f"Energy-{seed:03d}")
        tracks = chosen.tracks(conversation)
        is_silent = np.ones(tracks.shape, dtype=bool)
        for start, end, speaker in conversation.turns:
            assert 0 <= start < end <= DURATION
            inside = slice(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
            is_silent[speaker, inside] = False
            turn = tracks[speaker, inside]
            assert rms(turn) > 0.5 * LEVEL
            assert rms(turn[: SAMPLE_RATE // 10]) > 0.3 * LEVEL  # it begins where the label says
            loud = np.flatnonzero(np.abs(turn) > 0.05 * LEVEL)
            assert np.diff(loud, prepend=0, append=len(turn)).max() <= 0.33 * SAMPLE_RATE  # no pause above 0.25 s / 0.8
        assert not tracks[is_silent].any()
        assert {turn.speaker for turn in conversation.turns} == set(range(len(conversation.voices)))


def test_echoes_are_not_labelled_as_speech(store: Path) -> None:
    turns = (Triplet(1.0, 3.0, 0),)
    conversation = Conversation("Toy-echo", 5.0, turns, ("train02",))
    reverberant = simulator_of(store, replace(Acoustics.none(), room_probability=1.0, rt60=(0.6, 0.6)))
    heard, end = reverberant.render(conversation)[0], 3 * SAMPLE_RATE
    assert not reverberant.tracks(conversation)[0, end:].any()
    assert rms(heard[end : end + 1600]) > 0.1 * rms(heard[SAMPLE_RATE:end])
    assert reverberant.describe("Toy-echo").turns == simulator_of(store).describe("Toy-echo").turns


def test_descriptions_hold_what_they_promise(store: Path) -> None:
    conversation = simulator_of(store).describe("Toy-train-000000")
    assert conversation.duration == DURATION
    assert len(set(conversation.voices)) == len(conversation.voices) == len({t.speaker for t in conversation.turns})
    named = Conversation("Toy-7", 2.5, (Triplet(0, 1, 0), Triplet(1, 2, 1)), ("ann", "bob"))
    assert repr(named) == "Conversation('Toy-7': 2.5 s, 2 turns of 2 voices: ann, bob)"
    scene = Scene(levels=(0, 0), speeds=(1, 1), pitches=(0, 0), telephone="gsm")
    assert repr(replace(named, scene=scene)).endswith("2 voices: ann, bob; gsm telephone)")


def test_conversations_and_scenes_can_be_changed_by_hand(store: Path) -> None:
    simulator = simulator_of(store, Acoustics(room_probability=1, noise_probability=1, codec_probability=0))
    conversation = simulator.describe("Toy-train-000003")
    assert conversation.scene is not None
    by_hand = Conversation(conversation.uri, conversation.duration, conversation.turns, conversation.voices)
    assert np.array_equal(simulator.render(by_hand), simulator.render(conversation))  # drawn when it is needed
    louder = replace(conversation, scene=replace(conversation.scene, peak=0.0))
    ratio = simulator.render(louder) / simulator.render(conversation)
    np.testing.assert_allclose(ratio, 10 ** (-conversation.scene.peak / 20), rtol=1e-3)


def test_the_digest_is_another_one_where_the_audio_is(store: Path) -> None:
    simulator, other_voices = simulator_of(store), Simulator(Voices(store, "train"), PlainTurns(), Acoustics.none())
    conversation = simulator.describe("Toy-train-000003")
    assert conversation.scene is not None
    changed = [
        replace(conversation, duration=DURATION + 1),
        replace(conversation, turns=conversation.turns[:-1]),
        replace(conversation, voices=conversation.voices[::-1]),
        replace(conversation, scene=replace(conversation.scene, peak=-7.0)),
    ]
    other_voices.voices.digest = "another store"
    digests = [simulator.digest(each) for each in (conversation, *changed)] + [other_voices.digest(conversation)]
    assert len(set(digests)) == 6 and simulator.digest(replace(conversation)) == digests[0]


def test_descriptions_take_bounded_memory(store: Path) -> None:
    simulator = simulator_of(store, Acoustics(bystanders=Voices(store, "train")))
    tracemalloc.start()
    try:
        sizes = []
        for number in range(300):
            simulator.describe(f"Many-{number:06d}")
            if number % 100 == 99:
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert (sizes[-1] - sizes[0]) / 200 < 100  # bytes a conversation; one that is kept takes a thousand


def test_tracks_are_silent_outside_of_turns_and_heard_inside(store: Path) -> None:
    turns = (Triplet(0.5, 2.0, 0), Triplet(1.5, 3.25, 1), Triplet(4.0, 4.5, 0), Triplet(7.0, 8.0, 2))
    conversation = Conversation("Toy-x", DURATION, turns, ("train01", "train04", "train07"))
    tracks = simulator_of(store).tracks(conversation)
    assert tracks.shape == (3, 8 * SAMPLE_RATE) and tracks.dtype == np.float32
    for start, end, speaker in turns:
        inside = slice(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        assert rms(tracks[speaker, inside]) == pytest.approx(LEVEL, rel=0.25)


def test_voices_are_played_faster_or_slower_as_the_scene_says(store: Path) -> None:
    simulator = simulator_of(store)
    for speed in (0.9, 1.0, 1.07):
        scene = Scene(levels=(0.0,), speeds=(speed,), pitches=(0.0,))
        conversation = Conversation("Toy-speed", 2.0, (Triplet(0, 2, 0),), ("train05",), scene)
        spectrum = np.abs(np.fft.rfft(simulator.tracks(conversation)[0]))
        assert np.argmax(spectrum) / 2 == pytest.approx(200 * speed, abs=1)


def test_renders_one_channel_of_the_right_length(store: Path) -> None:
    simulator = simulator_of(store, Acoustics(noise_probability=1))
    sound = simulator.render(simulator.describe("Toy-train-000000"))
    assert sound.shape == (1, 8 * SAMPLE_RATE) and sound.dtype == np.float32
    assert np.isfinite(sound).all() and 10 ** (-31 / 20) < np.abs(sound).max() <= 1


def test_nobody_speaking_is_a_conversation_too(store: Path) -> None:
    nobody = Conversation("Toy-quiet", 2.0, (), ())
    assert not simulator_of(store).render(nobody).any()
    assert simulator_of(store, everything=True).render(nobody).any()
    assert "nobody" in repr(nobody)


def test_too_few_voices_and_no_time_are_told(store: Path) -> None:
    voices = Voices(store, "dev")
    simulator = Simulator(voices, PlainTurns(0.2, 0.3, 0, 0, max_speakers=50), Acoustics.none())
    with pytest.raises(
        VoicesError,
        match=r"speakers were asked for .* 4 to choose from\. Draw turns of fewer speakers, .* column `split`",
    ):
        for number in range(10):
            simulator.describe(f"Toy-{number}")
    for duration in (0, -1.0, float("inf"), float("nan"), "50", True):
        with pytest.raises(
            ArgumentError, match=f"^Simulator: duration={duration!r} was given; .* a number of seconds, 6.25e-05"
        ):
            Simulator(voices, PlainTurns(), Acoustics.none(), duration=duration)  # type: ignore[arg-type]
    unknown = Conversation("Toy-y", 1.0, (Triplet(0, 1, 0),), ("nobody",))
    with pytest.raises(VoicesError, match="'nobody'"):
        simulator.render(unknown)


class Drawn:
    """Turn-taking that always draws the same."""

    def __init__(self, *turns: Any) -> None:
        self.turns = turns

    def draw(self, rng: np.random.Generator, duration: float) -> Any:
        return iter(self.turns)


@pytest.mark.parametrize(
    "turn",
    [
        Triplet(2.0, 1.0, 0),
        Triplet(1.0, 1.0, 0),
        Triplet(-0.1, 1.0, 0),
        Triplet(1.0, 2.0, "a"),  # type: ignore[arg-type]
        Triplet(1.0, 2.0, 1),
        Triplet(1.0, 2.0, -1),
        Triplet(1.0, 2.0, 0.0),  # type: ignore[arg-type]
        Triplet(1.0, 30.0, 0),
        Triplet(1.0, float("nan"), 0),
        Triplet("1", 2.0, 0),  # type: ignore[arg-type]
        (1.0, 2.0, 0),
        (1.0, 2.0),
        Segment(1.0, 2.0),
    ],
)
def test_what_is_no_turn_of_the_conversation_is_refused_when_it_is_drawn(store: Path, turn: Any) -> None:
    message = f"Conversation 'Toy-1' has a turn {re.escape(repr(turn))}. .* end <= 20.0 s .* the number of voices, "
    with pytest.raises(TurnsError, match=message):
        Simulator(Voices(store, "train"), Drawn(turn), Acoustics.none(), duration=20.0).describe("Toy-1")
    with pytest.raises(TurnsError, match=message):
        replace(Conversation("Toy-1", 20.0, (), ("ann",)), turns=(turn,))


def test_conversations_changed_by_hand_are_checked() -> None:
    turns = (Triplet(0.0, 1.0, 0), Triplet(1.5, 2.0, 1), Triplet(1.0, 1.4, 0))
    scene = Scene(levels=(0.0, 0.0), speeds=(1.0, 1.0), pitches=(0.0, 0.0))
    with pytest.raises(TurnsError, match=r"'a' has a turn Triplet\(start=1.0, .*behind one that begins at 1.5 s. Sort"):
        Conversation("a", 2.0, turns, ("ann", "bob"))
    twice = (Triplet(0.0, 1.5, 1), Triplet(1.0, 2.0, 1))
    with pytest.raises(TurnsError, match=r"'a' has a turn Triplet\(start=1.0, .* until 1.5 s. Join such turns"):
        Conversation("a", 2.0, twice, ("ann", "bob"))
    right = Conversation("a", 2.0, turns[:2], ("ann", "bob"), scene)
    for duration in (-5, 3e-5, float("inf"), "2"):
        with pytest.raises(ArgumentError, match=f"^Conversation 'a': duration={duration!r} was given"):
            replace(right, duration=duration)
    with pytest.raises(ArgumentError, match=r"'a' has 2 voices, and a scene with levels=\(0.0,\)"):
        replace(right, scene=replace(scene, levels=(0.0,)))


def test_turns_may_be_off_by_rounding_and_have_numbers_of_numpy(store: Path) -> None:
    turns = (Triplet(-1e-9, np.float32(1.5), np.int64(0)), Triplet(1.0, 2.0 + 1e-9, 1))  # type: ignore[arg-type]
    simulator = Simulator(Voices(store, "train"), Drawn(*turns), Acoustics.none(), duration=2.0)
    conversation = simulator.describe("Toy-1")
    assert conversation.turns == turns and len(conversation.voices) == 2
    assert simulator.render(conversation).shape == (1, 2 * SAMPLE_RATE)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"voices": "voices/"},
            r"voices='voices/' was given, a str, which has no `choose`. Give Voices\(folder, split\)",
        ),
        ({"voices": Path("voices")}, "voices=.*Path, which has no `choose`"),
        ({"turns": "ami"}, r"turns='ami' .* no `draw`. Give turn-taking, e.g. FittedTurns.ready\(\"ami\"\)"),
        (
            {"acoustics": SimpleNamespace(draw=None, apply=None)},
            r"acoustics=.* has no `digest`. Give Acoustics\(\)",
        ),
        ({"acoustics": {"drift": 0}}, r"acoustics={'drift': 0} was given, a dict.* Give Acoustics\(\)"),
    ],
)
def test_what_cannot_draw_a_conversation_is_refused_at_once(store: Path, wrong: dict[str, Any], message: str) -> None:
    right = {"voices": Voices(store, "train"), "turns": PlainTurns(), "acoustics": Acoustics.none()}
    with pytest.raises(OptionError, match=f"^Simulator: {message}"):
        Simulator(**right | wrong)  # type: ignore[arg-type]


def test_turns_echoes_noise_and_crowd_go_on_from_piece_to_piece(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = (Triplet(0.5, 2.5, 0), Triplet(1.0, 7.2, 1), Triplet(4.0, 4.5, 0), Triplet(6.0, 8.0, 2))
    conversation = Conversation("Toy-long", DURATION, turns, ("train01", "train04", "train07"))
    echoing = {"drift": 0.0, "noise_probability": 1.0, "room_probability": 1.0, "rt60": (0.7, 0.7)}
    crowded = {"bystanders": Voices(store, "train"), "crowd_probability": 1.0, "crowd_size": (2, 2)}
    simulator = simulator_of(store, Acoustics(**echoing, **crowded))  # type: ignore[arg-type]
    tracks, sound = simulator.tracks(conversation), simulator.render(conversation)
    for seconds in (2, 3):  # 4 pieces, the third of which no turn begins; 3, the last of which is shorter
        for module in ("conversation", "acoustics"):
            monkeypatch.setattr(f"pyannote_pix2seq.simulation.{module}.PIECE", seconds * SAMPLE_RATE)
        np.testing.assert_array_equal(simulator.tracks(conversation), tracks)
        np.testing.assert_allclose(simulator.render(conversation), sound, atol=1e-5)
