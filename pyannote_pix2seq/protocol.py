"""Synthetic: simulated conversations as a pyannote.database protocol."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database import Database, ProtocolFile, registry
from pyannote.database.protocol import SpeakerDiarizationProtocol
from torch import Tensor

from .audio import SAMPLE_RATE
from .simulation.conversation import Conversation, Simulator

DATABASE, TASK = "Synthetic", "SpeakerDiarization"
SUBSETS = ("train", "development", "test")


class SyntheticProtocol(SpeakerDiarizationProtocol):
    """Conversations that are imagined when they are asked for.

    Files hold `uri`, `annotation` (whose labels are names of voices), `annotated`, `scope` and `sample_rate`;
    `waveform`, (1, num_samples) float32, is rendered when it is read, which `"waveform" in file` does too.
    The uri of a file, `{name}-{subset}-{number}`, is all that its conversation depends on.

    Parameters
    ----------
    name : str
        Name of the protocol.
    train, development : Simulator
        Where conversations come from. Development and test conversations come from the same simulator: give
        it voices that training never hears.
    num_train, num_development, num_test : int
        Number of conversations of each subset.
    preprocessors : dict, optional
        See `pyannote.database`.

    Raises
    ------
    ValueError
        If a number of conversations is negative, or the name is no part of a protocol's full name.
    """

    def __init__(
        self,
        name: str,
        train: Simulator,
        development: Simulator,
        num_train: int = 10_000,
        num_development: int = 100,
        num_test: int = 100,
        preprocessors: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(preprocessors=preprocessors)
        if not name or set(name) & set(". \t\n"):
            raise ValueError(f"A protocol cannot be named {name!r}: use letters, digits, '-' and '_'.")
        self.name = f"{DATABASE}.{TASK}.{name}"
        self.sizes = dict(zip(SUBSETS, (num_train, num_development, num_test), strict=True))
        if min(self.sizes.values()) < 0:
            raise ValueError(f"{self.name} was given sizes {self.sizes}; none of them may be negative.")
        self._prefix = name
        self._simulators = dict(zip(SUBSETS, (train, development, development), strict=True))

    @classmethod
    def register(cls, name: str, train: Simulator, development: Simulator, **sizes: Any) -> SyntheticProtocol:
        """Let `registry.get_protocol("Synthetic.SpeakerDiarization.{name}")` find a protocol in this process.

        Parameters are those of the class. A protocol of this name that was there before is replaced.

        Returns
        -------
        protocol : SyntheticProtocol
            The same as the registry gives out.
        """
        make = partial(cls, name, train, development, **sizes)
        protocol = make()
        database = registry.databases.get(DATABASE)
        protocols = dict(getattr(database, "_protocols", {}))
        protocols[TASK, name] = make
        registry.databases[DATABASE] = type(DATABASE, (Database,), {"__init__": _register_all, "_protocols": protocols})
        return protocol

    def __str__(self) -> str:
        sizes = ", ".join(f"{size} {subset}" for subset, size in self.sizes.items())
        return f"{self.name}: {sizes} conversations"

    def train_iter(self) -> Iterator[ProtocolFile]:
        """Training conversations."""
        return self._files("train")

    def development_iter(self) -> Iterator[ProtocolFile]:
        """Development conversations."""
        return self._files("development")

    def test_iter(self) -> Iterator[ProtocolFile]:
        """Test conversations."""
        return self._files("test")

    def file(self, subset: str, number: int) -> ProtocolFile:
        """One conversation, without those before it.

        Raises
        ------
        ValueError
            If the subset has no such conversation.
        """
        if not 0 <= number < self.sizes.get(subset, 0):
            raise ValueError(f"{self.name} has no {subset} conversation {number}. Its sizes are {self.sizes}.")
        simulator = self._simulators[subset]
        return to_file(simulator.describe(f"{self._prefix}-{subset}-{number:06d}"), simulator)

    def _files(self, subset: str) -> Iterator[ProtocolFile]:
        return (self.file(subset, number) for number in range(self.sizes[subset]))


def to_file(conversation: Conversation, simulator: Simulator) -> ProtocolFile:
    """Conversation as pyannote.database knows it, rendered by `simulator` once `waveform` is read."""
    return ProtocolFile(
        {
            "uri": conversation.uri,
            "annotation": to_annotation(conversation),
            "annotated": Timeline([Segment(0, conversation.duration)], uri=conversation.uri),
            "scope": "file",
            "sample_rate": SAMPLE_RATE,
        },
        lazy={"waveform": partial(_render, conversation, simulator)},
    )


def to_annotation(conversation: Conversation) -> Annotation:
    """Turns of a conversation, labelled with the names of the voices."""
    annotation = Annotation(uri=conversation.uri)
    for track, (start, end, speaker) in enumerate(conversation.turns):
        annotation[Segment(start, end), track] = conversation.voices[speaker]
    return annotation


def _render(conversation: Conversation, simulator: Simulator, file: ProtocolFile) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(simulator.render(conversation)))


def _register_all(database: Any) -> None:
    """Initialise a database with the protocols of its class."""
    Database.__init__(database)
    for (task, name), make in database._protocols.items():
        database.register_protocol(task, name, make)
