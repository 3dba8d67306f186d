from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy import SAMPLE_RATE, rms, write_toy_voices

from pyannote_pix2seq.simulation.acoustics import Acoustics
from pyannote_pix2seq.simulation.conversation import Conversation, Simulator
from pyannote_pix2seq.simulation.turns import PlainTurns
from pyannote_pix2seq.simulation.voices import LEVEL, Voices, VoicesError
from pyannote_pix2seq.vocabulary import Triplet

DURATION = 8.0
HASH = """
import sys
sys.path[:0] = {path}
from test_conversation import digest, simulator_of
print(digest(simulator_of({folder!r}, crowded=True)))
"""


def simulator_of(folder: str | Path, acoustics: Acoustics | None = None, crowded: bool = False) -> Simulator:
    voices = Voices.load(folder, "train")
    if crowded:
        acoustics = Acoustics(bystanders=voices, room_probability=1, crowd_probability=1, telephone_probability=1)
    return Simulator(voices, PlainTurns(max_speakers=4), acoustics or Acoustics.none(), duration=DURATION)


def digest(simulator: Simulator) -> str:
    conversations = [simulator.describe(f"Toy-train-{number:06d}") for number in range(2)]
    sounds = [simulator.render(conversation).tobytes() for conversation in conversations]
    return hashlib.sha256(repr(conversations).encode() + b"".join(sounds)).hexdigest()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_voices(tmp_path_factory.mktemp("voices"))


def test_the_same_uri_gives_the_same_bytes_in_another_process(store: Path) -> None:
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
    assert elsewhere.stdout.strip() == digest(simulator_of(store, crowded=True))


def test_another_uri_is_another_conversation(store: Path) -> None:
    simulator = simulator_of(store)
    described = [simulator.describe(f"Toy-train-{number:06d}") for number in range(20)]
    assert len({conversation.turns for conversation in described}) == 20
    assert len({conversation.voices for conversation in described}) >= 15


def test_a_description_can_be_rendered_alone_and_out_of_order(store: Path) -> None:
    simulator = simulator_of(store, crowded=True)
    late = simulator.render(simulator.describe("Toy-train-000005"))
    simulator.render(simulator.describe("Toy-train-000001"))
    assert np.array_equal(simulator.render(simulator.describe("Toy-train-000005")), late)


def test_descriptions_hold_what_they_promise(store: Path) -> None:
    conversation = simulator_of(store).describe("Toy-train-000000")
    assert conversation.duration == DURATION
    assert len(set(conversation.voices)) == len(conversation.voices) == len({t.speaker for t in conversation.turns})
    named = Conversation("Toy-7", 2.5, (Triplet(0, 1, 0), Triplet(1, 2, 1)), ("ann", "bob"))
    assert repr(named) == "Conversation('Toy-7': 2.5 s, 2 turns of 2 voices: ann, bob)"


def test_tracks_are_silent_outside_of_turns_and_heard_inside(store: Path) -> None:
    turns = (Triplet(0.5, 2.0, 0), Triplet(1.5, 3.25, 1), Triplet(4.0, 4.5, 0), Triplet(7.0, 8.0, 2))
    conversation = Conversation("Toy-x", DURATION, turns, ("train01", "train04", "train07"))
    tracks = simulator_of(store).tracks(conversation)
    assert tracks.shape == (3, 8 * SAMPLE_RATE) and tracks.dtype == np.float32
    spoken = np.zeros(tracks.shape, dtype=bool)
    for start, end, speaker in turns:
        inside = slice(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        spoken[speaker, inside] = True
        assert rms(tracks[speaker, inside]) == pytest.approx(LEVEL, rel=0.25)
    assert not tracks[~spoken].any()


def test_voices_are_played_a_little_faster_or_slower(store: Path) -> None:
    simulator, pitches = simulator_of(store), set()
    for number in range(40):
        conversation = Conversation(f"Toy-{number}", 2.0, (Triplet(0, 2, 0),), ("train05",))
        spectrum = np.abs(np.fft.rfft(simulator.tracks(conversation)[0]))
        pitches.add(round(float(np.argmax(spectrum)) / 2 / 10) * 10)  # 200 Hz, to 10 Hz
    assert pitches == {180, 190, 200, 210, 220}


def test_renders_one_channel_of_the_right_length(store: Path) -> None:
    simulator = simulator_of(store, Acoustics(noise_probability=1))
    sound = simulator.render(simulator.describe("Toy-train-000000"))
    assert sound.shape == (1, 8 * SAMPLE_RATE) and sound.dtype == np.float32
    assert np.isfinite(sound).all() and 10 ** (-31 / 20) < np.abs(sound).max() <= 10 ** (-1 / 20) + 1e-6


def test_nobody_speaking_is_a_conversation_too(store: Path) -> None:
    nobody = Conversation("Toy-quiet", 2.0, (), ())
    assert not simulator_of(store).render(nobody).any()
    assert simulator_of(store, Acoustics(noise_probability=1)).render(nobody).any()
    assert "nobody" in repr(nobody)


def test_too_few_voices_and_no_time_are_told(store: Path) -> None:
    voices = Voices.load(store, "dev")
    simulator = Simulator(voices, PlainTurns(0.2, 0.3, 0, 0, max_speakers=50), Acoustics.none())
    with pytest.raises(VoicesError, match=r"speakers were asked for .* 4 speakers.* lower max_speakers"):
        for number in range(10):
            simulator.describe(f"Toy-{number}")
    with pytest.raises(ValueError, match="must be positive"):
        Simulator(voices, PlainTurns(), Acoustics.none(), duration=0)
    unknown = Conversation("Toy-y", 1.0, (Triplet(0, 1, 0),), ("nobody",))
    with pytest.raises(VoicesError, match="'nobody'"):
        simulator.render(unknown)
