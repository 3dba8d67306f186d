"""Options of a command line that describe training conversations."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from pathlib import Path

from pyannote_pix2seq.console.arguments import at_least_one, not_negative, positive
from pyannote_pix2seq.console.label_options import add_labels, labels_of
from pyannote_pix2seq.console.material_options import add_material, noises_of
from pyannote_pix2seq.protocol import SyntheticProtocol
from pyannote_pix2seq.simulation import Acoustics, Simulator, TakenTurns, Voices
from pyannote_pix2seq.simulation.difficulty import DIFFICULTIES, simulators

KIND = ("voices", "turns", "difficulty", "noise", "hesitations", "merge_pauses", "padding")
"""Options that say what conversations are like, rather than how many there are."""
VALIDATED = 30.0
"""Duration of validation conversations with `--turns`, in seconds."""


def add_conversations(parser: ArgumentParser) -> None:
    """Add the options that describe conversations to a parser; `protocol_of` interprets them."""
    add_material(parser)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--turns", type=Path, nargs="+", help="folders of RTTM files; one named twice is drawn from twice as often"
    )
    kind.add_argument("--difficulty", choices=DIFFICULTIES, help="kind of conversation, see docs/simulation.md")
    parser.add_argument("--conversations", type=at_least_one, default=4000, help="for training (default: 4000)")
    parser.add_argument(
        "--development", type=at_least_one, default=40, help="conversations for validation (default: 40)"
    )
    parser.add_argument(
        "--duration", type=positive, default=50.0, help="of each conversation, in seconds (default: 50)"
    )
    parser.add_argument(
        "--hesitations",
        type=not_negative,
        default=0.0,
        help="short pauses per second of speech within turns of --turns (default: 0)",
    )
    add_labels(parser)


def check_conversations(parser: ArgumentParser, options: Namespace) -> None:
    """Refuse options that contradict each other, with an error of the parser."""
    if options.difficulty and options.hesitations:
        parser.error(
            f"--difficulty {options.difficulty} decides how people speak. Leave out --hesitations, or give --turns in "
            f"the place of --difficulty."
        )
    acoustics = DIFFICULTIES[options.difficulty].acoustics if options.difficulty else Acoustics()
    if acoustics.room_probability and not find_spec("pyroomacoustics"):
        parser.error(
            "conversations are held in rooms, which need pyroomacoustics: pip install 'pyannote-pix2seq[simulation]', "
            "or try --difficulty Easy, which needs none."
        )


def kind_given(options: Namespace) -> list[str]:
    """Options, as on a command line, that describe the same kind of conversations to another recipe."""
    values = {name: getattr(options, name) for name in KIND}
    return [
        word
        for name, value in values.items()
        if value
        for word in (f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value]))
    ]


def protocol_of(options: Namespace) -> SyntheticProtocol:
    """Protocol of training conversations with the train voices and validation conversations with the dev voices."""
    noises = noises_of(options)
    labels = labels_of(options)
    sizes = {"num_train": options.conversations, "num_development": options.development, "num_test": 0}
    if options.difficulty:
        subsets = ("train", "development")  # nothing is tested, so that test voices are not needed
        made = simulators(options.difficulty, options.voices, noises, options.duration, subsets)
        return SyntheticProtocol(options.difficulty, made["train"], made["development"], labels=labels, **sizes)
    turns = TakenTurns.from_rttms(*options.turns, hesitations=options.hesitations)
    train, development = (
        Simulator(voices, turns, Acoustics(noises=noises, bystanders=voices), duration)
        for voices, duration in (
            (Voices(options.voices, "train"), options.duration),
            (Voices(options.voices, "dev"), VALIDATED),
        )
    )
    return SyntheticProtocol("Meeting", train, development, labels=labels, **sizes)
