"""What speech is called, second by second."""

from __future__ import annotations

import pytest
from toy import annotation

from pyannote_pix2seq.evaluation.naming import Naming, naming

Turns = list[tuple[float, float, str]]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "people", "strangers"),
    [
        ([(0, 4, "ann")], [(0, 1, "ann"), (1, 2, "bob"), (2, 3, "SPEAKER_00")], (1, 1, 1, 1), (0, 0, 0, 0)),
        ([(0, 4, "x")], [(0, 1, "ann"), (1, 2, "bob"), (2, 3, "SPEAKER_00")], (0, 0, 0, 0), (0, 2, 1, 1)),
        # a wrong name is wrong beside a label that is not, too
        ([(0, 4, "x")], [(0, 2, "ann"), (1, 4, "SPEAKER_00")], (0, 0, 0, 0), (0, 2, 2, 0, 1)),
        # who speaks has his name, whoever else speaks or is written then
        ([(0, 2, "ann"), (1, 2, "x")], [(0, 2, "ann")], (2, 0, 0, 0), (0, 0, 0, 1)),
        ([(0, 2, "ann")], [(0, 2, "ann"), (1, 2, "bob"), (1, 2, "SPEAKER_00")], (2, 0, 0, 0), (0, 0, 0, 0)),
        # a label is that of a stranger who speaks before it is that of somebody known
        ([(0, 2, "ann"), (0, 2, "x")], [(0, 2, "SPEAKER_00"), (1, 2, "SPEAKER_01")], (0, 0, 1, 1), (0, 0, 2, 0)),
        # a wrong name is wrong for everybody it could be meant for
        ([(0, 2, "ann"), (0, 2, "x"), (0, 2, "y")], [(0, 2, "bob")], (0, 2, 0, 0), (0, 4, 0, 0)),
        # nobody speaks, or nobody is written
        ([], [(0, 2, "bob")], (0, 0, 0, 0), (0, 0, 0, 0)),
        ([(0, 2, "ann"), (1, 3, "x")], [], (0, 0, 0, 2), (0, 0, 0, 2)),
        ([], [], (0, 0, 0, 0), (0, 0, 0, 0)),
    ],
)
def test_each_second_of_speech_is_called_something(
    reference: Turns, hypothesis: Turns, people: tuple[int, ...], strangers: tuple[int, ...]
) -> None:
    found = naming(annotation(*reference), annotation(*hypothesis), ("ann", "bob"))
    assert found == (Naming(*people), Naming(*strangers))
    spoken = sum(end - start for start, end, _ in reference)
    assert found[0].total + found[1].total == spoken


def test_seconds_add_up() -> None:
    both = Naming(1.0, 2.0, 3.0, 4.0) + Naming(4.0, 3.0, 2.0, 0.5, 1.0)
    assert both == Naming(5.0, 5.0, 5.0, 4.5, 1.0) and (both.found, both.total) == (15.0, 19.5)
