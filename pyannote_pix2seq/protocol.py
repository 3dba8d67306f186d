"""Synthetic: simulated conversations as a pyannote.database protocol."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import partial
from inspect import signature
from itertools import islice
from typing import Any

import numpy as np
import torch
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database import Database, ProtocolFile, registry
from pyannote.database.protocol import SpeakerDiarizationProtocol
from torch import Tensor

from pyannote_pix2seq.annotation import annotation_of, survives_rttm
from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.errors import ArgumentError, check_known, check_methods
from pyannote_pix2seq.numeric import is_whole
from pyannote_pix2seq.simulation.conversation import Conversation, Simulator
from pyannote_pix2seq.simulation.labels import HEARD, Labels

DATABASE, TASK = "Synthetic", "SpeakerDiarization"
SUBSETS = ("train", "development", "test")
SCOPE = "database"
"""Scope of labels: a label is the same speaker in the whole database, as labels are names of voices."""

NUM_HASHED = 5
"""Number of files of a protocol that `origin` hashes."""
SIMULATES = ("describe", "digest", "render")
"""Methods of a simulator."""
ENDLESS = 10**9
"""Number of conversations of a subset that does not end."""


class SyntheticProtocol(SpeakerDiarizationProtocol):
    """Protocol of conversations that are simulated on demand.

    Files hold `uri`, `database`, `subset`, `annotation` (whose labels are names of voices), `annotated`, `labels` (the
    style of the annotation, in one word), `digest` (of all that the sound depends on), `scope` and `sample_rate`;
    `waveform`, (1, num_samples) float32, is rendered on access, also by `"waveform" in file`. The uri of a file,
    `{name}-{subset}-{number}`, determines its conversation: development and test sets are the same every time. The
    training set does not end by default: ask for a number of conversations (`num_train`), or stop.

    Parameters
    ----------
    name : str
        Name of the protocol.
    train, development : Simulator
        Simulators of the conversations. Give `development` voices that are not used in training.
    test : Simulator, optional
        Defaults to `development`.
    labels : Labels
        How conversations are annotated.
    num_train, num_development, num_test : int
        Number of conversations of each subset.
    preprocessors : dict, optional
        See `pyannote.database`.

    Raises
    ------
    ValueError
        If a number of conversations is negative or not whole, or the name cannot be a part of a protocol's full name.
    OptionError
        If a simulator or the labels are something else.

    Examples
    --------
    >>> SyntheticProtocol.register("Crowd", **simulators("Crowd", "voices/"))  # doctest: +SKIP
    >>> protocol = registry.get_protocol("Synthetic.SpeakerDiarization.Crowd")  # doctest: +SKIP
    """

    def __init__(
        self,
        name: str,
        train: Simulator,
        development: Simulator,
        test: Simulator | None = None,
        labels: Labels = HEARD,
        num_train: int = ENDLESS,
        num_development: int = 100,
        num_test: int = 100,
        preprocessors: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(preprocessors=preprocessors)
        if not re.fullmatch(r"[\w-]+", name):
            raise ArgumentError(f"A protocol cannot be named {name!r}: use letters, digits, '-' and '_'.")
        self.name = f"{DATABASE}.{TASK}.{name}"
        check_methods(self.name, "labels", labels, ("apply",), "Labels(merge_pauses=0.5, padding=0.1), say")
        self.labels = labels
        self.sizes = dict(zip(SUBSETS, (num_train, num_development, num_test), strict=True))
        if not all(is_whole(size, 0) for size in self.sizes.values()):
            raise ArgumentError(f"{self.name} was given sizes {self.sizes}; they have to be whole numbers, 0 or more.")
        self._prefix = name
        self._simulators = dict(zip(SUBSETS, (train, development, test or development), strict=True))
        for subset, simulator in self._simulators.items():
            check_methods(self.name, subset, simulator, SIMULATES, "a Simulator(voices, turns, acoustics)")

    @classmethod
    def register(cls, name: str, train: Simulator, development: Simulator, **options: Any) -> SyntheticProtocol:
        """Let `registry.get_protocol("Synthetic.SpeakerDiarization.{name}")` find a protocol in this process.

        Parameters are those of the class. An earlier protocol of this name is replaced.

        Returns
        -------
        protocol : SyntheticProtocol
            A protocol like those that the registry returns.

        Raises
        ------
        TypeError
            If there is no such option.
        """
        check_known(cls.__name__, options, [name for name in signature(cls).parameters if name != "preprocessors"])
        make = partial(cls, name, train, development, **options)
        protocol = make()
        database = registry.databases.get(DATABASE)
        protocols = dict(getattr(database, "_protocols", {}))
        protocols[TASK, name] = make
        registry.databases[DATABASE] = type(DATABASE, (Database,), {"__init__": _register_all, "_protocols": protocols})
        return protocol

    def __str__(self) -> str:
        sizes = ", ".join(f"{'endless' if size == ENDLESS else size} {subset}" for subset, size in self.sizes.items())
        return f"{self.name}: {sizes} conversations, labels {self.labels}"

    def train_iter(self) -> Iterator[ProtocolFile]:
        """Training conversations."""
        return self._files("train")

    def development_iter(self) -> Iterator[ProtocolFile]:
        """Development conversations."""
        return self._files("development")

    def test_iter(self) -> Iterator[ProtocolFile]:
        """Test conversations."""
        return self._files("test")

    def uri(self, subset: str, number: int) -> str:
        """Name of a conversation.

        Raises
        ------
        ValueError
            If the subset has no such conversation.
        """
        if not 0 <= number < self.sizes.get(subset, 0):
            raise ArgumentError(f"{self.name} has no {subset} conversation {number}. Its sizes are {self.sizes}.")
        return f"{self._prefix}-{subset}-{number:06d}"

    def file(self, subset: str, number: int) -> ProtocolFile:
        """File of one conversation, simulated without those before it; errors are those of `uri`."""
        uri = self.uri(subset, number)
        simulator = self._simulators[subset]
        conversation = simulator.describe(uri)
        return ProtocolFile(
            {
                "uri": uri,
                "database": DATABASE,
                "subset": subset,
                "annotation": annotate(conversation, self.labels),
                "annotated": Timeline([Segment(0, conversation.duration)], uri=uri),
                "labels": str(self.labels),
                "digest": simulator.digest(conversation),
                "scope": SCOPE,
                "sample_rate": SAMPLE_RATE,
            },
            lazy={"waveform": partial(_render, conversation, simulator)},
        )

    def _files(self, subset: str) -> Iterator[ProtocolFile]:
        return (self.file(subset, number) for number in range(self.sizes[subset]))


def annotate(conversation: Conversation, labels: Labels = HEARD) -> Annotation:
    """Annotate a conversation; see `voice_label` for the labels."""
    names, turns = conversation.voices, labels.apply(conversation.turns, conversation.duration)
    return annotation_of(((start, end, voice_label(names[speaker])) for start, end, speaker in turns), conversation.uri)


def voice_label(voice: str) -> str:
    """Label of a voice: its name, percent-encoded where RTTM cannot carry it, as are % and the first letter of NA."""
    word = "".join(_encoded(letter) if letter in "% " or not letter.isprintable() else letter for letter in voice)
    return word if survives_rttm(word) else _encoded(word[0]) + word[1:]


def origin(protocol: Any, subset: str) -> str:
    """Describe what the examples of a subset of any protocol are made from.

    The description consists of the protocol's name, the style of labels, where files say it and it is not the default,
    and, if conversations are simulated on demand, a hash of the turns, scenes, voices and acoustics of the first files.
    A folder of examples of another origin must not be used for the protocol.
    """
    files = list(islice(getattr(protocol, subset)(), NUM_HASHED))
    labels = {f", labels {file['labels']}" for file in files if file.get("labels", str(HEARD)) != str(HEARD)}
    made_of = "".join(f"{file['digest']} {file['annotation'].to_rttm()}" for file in files if "digest" in file)
    digest = f", files {hashlib.sha256(made_of.encode()).hexdigest()[:16]}" if made_of else ""
    return f"{protocol.name}{''.join(labels)}{digest}"


def _render(conversation: Conversation, simulator: Simulator, file: ProtocolFile) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(simulator.render(conversation)))


def _encoded(letter: str) -> str:
    return f"%{ord(letter):02X}"


def _register_all(database: Any) -> None:
    """Initialise a database, and register the protocols of its class."""
    Database.__init__(database)
    for (task, name), make in database._protocols.items():
        database.register_protocol(task, name, make)
