"""How turns are joined, cropped and shifted."""

from __future__ import annotations

from pyannote_pix2seq.joining import cropped, joined, shifted
from pyannote_pix2seq.vocabulary import Triplet


def test_each_turn_is_joined_with_the_last_of_its_speaker() -> None:
    turns = [Triplet(5.0, 6.0, 0), Triplet(0.0, 2.0, 0), Triplet(1.0, 9.0, 1), Triplet(2.5, 4.0, 0)]
    found = joined(
        turns, lambda before, turn: turn.start - before.end < 1.0, lambda before, turn: before._replace(end=turn.end)
    )
    assert found == [Triplet(0.0, 4.0, 0), Triplet(1.0, 9.0, 1), Triplet(5.0, 6.0, 0)]


def test_parts_that_are_as_long_as_the_shortest_are_kept() -> None:
    turns = [Triplet(0.0, 1.5, 0), Triplet(1.0, 3.0, 1), Triplet(2.75, 9.0, 2), Triplet(4.0, 5.0, 3)]
    assert cropped(turns, 1.0, 3.0, 0.5) == [Triplet(1.0, 1.5, 0), Triplet(1.0, 3.0, 1)]
    assert cropped(turns, 1.0, 3.0, 0.25)[2:] == [Triplet(2.75, 3.0, 2)]


def test_shifted_turns_keep_their_length() -> None:
    assert shifted([Triplet(1.0, 1.5, 4)], -0.5) == [Triplet(0.5, 1.0, 4)] and shifted([], 3.0) == []
