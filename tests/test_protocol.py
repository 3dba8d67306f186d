from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pyannote.core import Segment
from pyannote.database import registry
from toy import SAMPLE_RATE, write_toy_voices

from pyannote_pix2seq.protocol import SyntheticProtocol, to_annotation
from pyannote_pix2seq.simulation.acoustics import Acoustics
from pyannote_pix2seq.simulation.conversation import Conversation, Simulator
from pyannote_pix2seq.simulation.turns import PlainTurns
from pyannote_pix2seq.simulation.voices import Voices
from pyannote_pix2seq.vocabulary import Triplet

SIZES = {"num_train": 5, "num_development": 3, "num_test": 2}


@pytest.fixture(scope="module")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> tuple[Simulator, Simulator]:
    folder = write_toy_voices(tmp_path_factory.mktemp("voices"))
    train, dev = (
        Simulator(Voices.load(folder, split), PlainTurns(), Acoustics(), duration=6.0) for split in ("train", "dev")
    )
    return train, dev


@pytest.fixture(autouse=True)
def clean_registry() -> Iterator[None]:
    before = dict(registry.databases)
    yield
    registry.databases.clear()
    registry.databases.update(before)


def test_every_subset_has_its_conversations(simulators: tuple[Simulator, Simulator]) -> None:
    protocol = SyntheticProtocol("Meeting", *simulators, **SIZES)
    assert [file["uri"] for file in protocol.train()] == [f"Meeting-train-{i:06d}" for i in range(5)]
    assert [file["uri"] for file in protocol.development()] == [f"Meeting-development-{i:06d}" for i in range(3)]
    assert [file["uri"] for file in protocol.test()] == [f"Meeting-test-{i:06d}" for i in range(2)]
    assert len(list(protocol.files())) == 10
    assert str(protocol) == "Synthetic.SpeakerDiarization.Meeting: 5 train, 3 development, 2 test conversations"


def test_files_hold_what_pyannote_expects(simulators: tuple[Simulator, Simulator]) -> None:
    for file in SyntheticProtocol("Meeting", *simulators, **SIZES).train():
        conversation = simulators[0].describe(file["uri"])
        annotation = file["annotation"]
        assert annotation.uri == file["annotated"].uri == file["uri"]
        assert list(file["annotated"]) == [Segment(0, 6)]
        assert file["scope"] == "file" and file["sample_rate"] == SAMPLE_RATE
        assert set(annotation.labels()) == set(conversation.voices)
        turns = [(segment.start, segment.end, label) for segment, _, label in annotation.itertracks(yield_label=True)]
        assert sorted(turns) == sorted((t.start, t.end, conversation.voices[t.speaker]) for t in conversation.turns)


def test_development_voices_are_never_heard_in_training(simulators: tuple[Simulator, Simulator]) -> None:
    protocol = SyntheticProtocol("Meeting", *simulators, **SIZES)
    heard = {
        subset: {label for file in getattr(protocol, subset)() for label in file["annotation"].labels()}
        for subset in ("train", "development", "test")
    }
    assert all(label.startswith("train") for label in heard["train"])
    assert all(label.startswith("dev") for label in heard["development"] | heard["test"])


def test_sound_is_made_when_it_is_read(simulators: tuple[Simulator, Simulator]) -> None:
    file = SyntheticProtocol("Meeting", *simulators, **SIZES).file("train", 2)
    assert set(file.lazy) == {"waveform"}
    copy = pickle.loads(pickle.dumps(file))
    waveform = file["waveform"]
    assert not file.lazy
    assert waveform.dtype == torch.float32 and waveform.shape == (1, 6 * SAMPLE_RATE)
    expected = simulators[0].render(simulators[0].describe("Meeting-train-000002"))
    assert np.array_equal(waveform.numpy(), expected) and torch.equal(copy["waveform"], waveform)


def test_registered_protocols_are_found_by_name(simulators: tuple[Simulator, Simulator]) -> None:
    SyntheticProtocol.register("Meeting", *simulators, **SIZES)
    SyntheticProtocol.register("Call", *simulators, num_train=1)
    meeting = registry.get_protocol(
        "Synthetic.SpeakerDiarization.Meeting", preprocessors={"louder": lambda file: 2 * file["waveform"]}
    )
    assert meeting.name == "Synthetic.SpeakerDiarization.Meeting"
    first = next(iter(meeting.train()))
    assert first["uri"] == "Meeting-train-000000" and torch.equal(first["louder"], 2 * first["waveform"])
    assert len(list(registry.get_protocol("Synthetic.SpeakerDiarization.Call").train())) == 1
    assert {"Synthetic.SpeakerDiarization.Call", "Synthetic.SpeakerDiarization.Meeting"} <= set(registry)


def test_registering_keeps_protocols_of_a_database_yml(simulators: tuple[Simulator, Simulator], tmp_path: Path) -> None:
    (tmp_path / "frozen.lst").write_text("one\n")
    (tmp_path / "database.yml").write_text(
        "Protocols: {Synthetic: {SpeakerDiarization: {Frozen: {train: {uri: frozen.lst}}}}}"
    )
    SyntheticProtocol.register("Before", *simulators, **SIZES)
    registry.load_database(tmp_path / "database.yml")
    SyntheticProtocol.register("After", *simulators, **SIZES)
    frozen = registry.get_protocol("Synthetic.SpeakerDiarization.Frozen")
    assert [file["uri"] for file in frozen.train()] == ["one"]
    for name in ("Before", "After"):
        assert len(list(registry.get_protocol(f"Synthetic.SpeakerDiarization.{name}").test())) == 2


def test_turns_of_two_voices_at_the_same_time_are_both_kept() -> None:
    conversation = Conversation("x", 4.0, (Triplet(1, 2, 0), Triplet(1, 2, 1)), ("ann", "bob"))
    assert to_annotation(conversation).get_labels(Segment(1, 2)) == {"ann", "bob"}


def test_what_cannot_be_a_protocol_is_refused(simulators: tuple[Simulator, Simulator]) -> None:
    with pytest.raises(ValueError, match="'My.Meeting'"):
        SyntheticProtocol.register("My.Meeting", *simulators)
    with pytest.raises(ValueError, match="negative"):
        SyntheticProtocol.register("Meeting", *simulators, num_test=-1)
    with pytest.raises(TypeError):
        SyntheticProtocol.register("Meeting", *simulators, num_dev=3)
    with pytest.raises(ValueError, match="no train conversation 5"):
        SyntheticProtocol("Meeting", *simulators, **SIZES).file("train", 5)
