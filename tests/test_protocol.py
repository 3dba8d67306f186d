from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pyannote.core import Segment
from pyannote.database import registry
from toy import SAMPLE_RATE, write_toy_voices

from pyannote_pix2seq.annotation import survives_rttm
from pyannote_pix2seq.errors import OptionError
from pyannote_pix2seq.protocol import ENDLESS, SyntheticProtocol, annotate, origin
from pyannote_pix2seq.simulation.acoustics import Acoustics
from pyannote_pix2seq.simulation.conversation import Conversation, Simulator
from pyannote_pix2seq.simulation.labels import Labels
from pyannote_pix2seq.simulation.turns import PlainTurns
from pyannote_pix2seq.simulation.voices import Voices
from pyannote_pix2seq.vocabulary import Triplet

SIZES = {"num_train": 5, "num_development": 3, "num_test": 2}


@pytest.fixture(scope="module")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> tuple[Simulator, Simulator]:
    folder = write_toy_voices(tmp_path_factory.mktemp("voices"))
    train, dev = (
        Simulator(Voices(folder, split), PlainTurns(), Acoustics(), duration=6.0) for split in ("train", "dev")
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
    assert str(protocol) == (
        "Synthetic.SpeakerDiarization.Meeting: 5 train, 3 development, 2 test conversations, "
        "labels merge_pauses=0,padding=0"
    )


def test_files_hold_what_pyannote_expects(simulators: tuple[Simulator, Simulator]) -> None:
    for file in SyntheticProtocol("Meeting", *simulators, **SIZES).train():
        conversation = simulators[0].describe(file["uri"])
        annotation = file["annotation"]
        assert annotation.uri == file["annotated"].uri == file["uri"]
        assert list(file["annotated"]) == [Segment(0, 6)]
        assert file["scope"] == "database" and file["sample_rate"] == SAMPLE_RATE
        assert file["database"] == "Synthetic" and file["subset"] == "train"
        assert set(annotation.labels()) == set(conversation.voices)
        turns = [(segment.start, segment.end, label) for segment, _, label in annotation.itertracks(yield_label=True)]
        heard = [(round(t.start, 3), round(t.end, 3), conversation.voices[t.speaker]) for t in conversation.turns]
        assert sorted(turns) == sorted(heard)


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


def test_training_does_not_end_and_takes_no_longer_to_begin(simulators: tuple[Simulator, Simulator]) -> None:
    protocol = SyntheticProtocol("Meeting", *simulators)
    assert [file["uri"][-6:] for file in islice(protocol.train(), 3)] == ["000000", "000001", "000002"]
    assert protocol.file("train", ENDLESS - 1)["uri"] == "Meeting-train-999999999"
    assert str(protocol).startswith("Synthetic.SpeakerDiarization.Meeting: endless train, 100 development, 100 test")


def test_test_conversations_can_have_a_simulator_of_their_own(simulators: tuple[Simulator, Simulator]) -> None:
    longer = Simulator(simulators[1].voices, PlainTurns(), Acoustics.none(), duration=7.0)
    protocol = SyntheticProtocol("Meeting", *simulators, test=longer, **SIZES)
    durations = {file["subset"]: file["annotated"].duration() for file in protocol.files()}
    assert durations == {"train": 6.0, "development": 6.0, "test": 7.0}


def test_a_yml_can_be_loaded_again_and_again(simulators: tuple[Simulator, Simulator], tmp_path: Path) -> None:
    (tmp_path / "frozen.lst").write_text("one\n")
    yml = "Protocols: {Synthetic: {SpeakerDiarization: {Frozen: {scope: file, train: {uri: frozen.lst}}}}}"
    (tmp_path / "database.yml").write_text(yml)
    SyntheticProtocol.register("Meeting", *simulators, **SIZES)
    registry.load_database(tmp_path / "database.yml")
    SyntheticProtocol.register("Meeting", *simulators, **SIZES)
    with pytest.warns(UserWarning, match="Replacing existing Synthetic.SpeakerDiarization.Frozen"):
        registry.load_database(tmp_path / "database.yml")
    assert {name for name in registry if name.startswith("Synthetic")} == {
        "Synthetic.SpeakerDiarization.Frozen",
        "Synthetic.SpeakerDiarization.Meeting",
    }
    assert len(list(registry.get_protocol("Synthetic.SpeakerDiarization.Meeting").train())) == 5


def test_meta_protocols_can_hold_conversations_that_are_not_on_disk(
    simulators: tuple[Simulator, Simulator], tmp_path: Path
) -> None:
    (tmp_path / "real.lst").write_text("ES2002a\n")
    (tmp_path / "real.rttm").write_text("SPEAKER ES2002a 1 0.500 1.000 <NA> <NA> ann <NA> <NA>\n")
    (tmp_path / "database.yml").write_text(
        """
        Protocols:
          Real: {SpeakerDiarization: {Corpus: {scope: file, train: {uri: real.lst, annotation: real.rttm}}}}
          X:
            SpeakerDiarization:
              Mixed:
                train: {Synthetic.SpeakerDiarization.Meeting: [train], Real.SpeakerDiarization.Corpus: [train]}
                development: {Synthetic.SpeakerDiarization.Meeting: [development, test]}
        """
    )
    registry.load_database(tmp_path / "database.yml")
    SyntheticProtocol.register("Meeting", *simulators, **SIZES)
    mixed = registry.get_protocol("X.SpeakerDiarization.Mixed", preprocessors={"from": lambda file: file["database"]})
    files = list(mixed.train())
    assert [file["from"] for file in files] == ["Synthetic"] * 5 + ["Real"]
    assert files[0]["waveform"].shape == (1, 6 * SAMPLE_RATE) and files[-1]["annotation"].labels() == ["ann"]
    assert [file["subset"] for file in mixed.development()] == ["development"] * 3 + ["test"] * 2


def test_names_of_voices_can_be_written_as_rttm() -> None:
    conversation = Conversation(
        "x", 4.0, (Triplet(1, 2, 0), Triplet(2, 3, 1), Triplet(3, 4, 2)), ("a b", "a%20b", "NA")
    )
    annotation = annotate(conversation)
    assert annotation.labels() == ["%4EA", "a%20b", "a%2520b"]
    assert "SPEAKER x 1 1.000 1.000 <NA> <NA> a%20b <NA> <NA>" in annotation.to_rttm()
    names = ('"quoted"', "a\u200bb", "null", 'a"b')
    turns = tuple(Triplet(index, index + 1, index) for index in range(4))
    found = annotate(Conversation("x", 4.0, turns, names)).labels()
    assert found == ['%22quoted"', "%6Eull", 'a"b', "a%200Bb"] and all(map(survives_rttm, found))


def test_annotations_follow_the_style_of_labels() -> None:
    conversation = Conversation("x", 4.0, (Triplet(1, 2, 0), Triplet(2.2, 3, 0)), ("ann",))
    assert list(annotate(conversation).itersegments()) == [Segment(1, 2), Segment(2.2, 3)]
    assert list(annotate(conversation, Labels(0.3, 0.1)).itersegments()) == [Segment(0.9, 3.1)]


def test_the_origin_is_another_one_where_the_same_scenes_sound_different(
    simulators: tuple[Simulator, Simulator],
) -> None:
    train, development = simulators
    wild = Simulator(train.voices, train.turns, Acoustics(drift=8.0), train.duration)
    usual, again, other = (SyntheticProtocol("Meeting", each, development, **SIZES) for each in (train, train, wild))
    assert [file["annotation"] for file in usual.train()] == [file["annotation"] for file in other.train()]
    assert origin(usual, "train") == origin(again, "train") != origin(other, "train")


def test_turns_of_two_voices_at_the_same_time_are_both_kept() -> None:
    conversation = Conversation("x", 4.0, (Triplet(1, 2, 0), Triplet(1, 2, 1)), ("ann", "bob"))
    assert annotate(conversation).get_labels(Segment(1, 2)) == {"ann", "bob"}


def test_what_cannot_be_a_protocol_is_refused(simulators: tuple[Simulator, Simulator]) -> None:
    for name in ("My.Meeting", "My/Meeting", "My Meeting", "{uri}", ""):
        with pytest.raises(ValueError, match=f"named '{name}': use letters, digits, '-' and '_'"):
            SyntheticProtocol.register(name, *simulators)
    for number in (-1, 2.5, True, "9"):
        with pytest.raises(ValueError, match=f"sizes .*'test': {number!r}}}; they have to be whole numbers, 0 or more"):
            SyntheticProtocol.register("Meeting", *simulators, num_test=number)
    with pytest.raises(
        TypeError, match="no option num_dev. It has .*test, labels, num_train, num_development, num_test"
    ):
        SyntheticProtocol.register("Meeting", *simulators, num_dev=3)
    with pytest.raises(ValueError, match="no train conversation 5"):
        SyntheticProtocol("Meeting", *simulators, **SIZES).file("train", 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": {"padding": 0.1}}, r"labels={'padding': 0.1} was given, a dict, .* Give Labels\(.*padding=0.1\)"),
        ({"test": Simulator}, "test=<class '.*'> was given, a class. Give a Simulator"),
        ({"labels": "padding=0.1"}, "labels='padding=0.1' was given, a str"),
        ({"test": "voices/"}, r"test='voices/' .* Give a Simulator\(voices, turns, acoustics\)"),
    ],
)
def test_what_is_no_simulator_and_no_labels_is_refused_at_once(
    simulators: tuple[Simulator, Simulator], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=rf"^Synthetic\.SpeakerDiarization\.Meeting: {message}"):
        SyntheticProtocol("Meeting", *simulators, **options)
