"""Options of windows: what they may be."""

from __future__ import annotations

from typing import Any

import pytest
from draws import draw
from loudness import TOKEN

from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.training.window_options import WindowOptions


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("chunk", 0, r"a number of seconds, 0.16 \(an audio token\) or more"),
        ("chunk", float("nan"), r"a number of seconds, 0.16 \(an audio token\) or more"),
        ("shorter_probability", 1.1, "a number from 0 to 1"),
        ("dense_probability", 7, "a number from 0 to 1"),
        ("prompted_probability", -1, "a number from 0 to 1"),
        ("stranger_probability", "often", "a number from 0 to 1"),
        ("compact_probability", True, "a number from 0 to 1"),
        ("shifted_probability", None, "a number from 0 to 1"),
        ("min_audibility", 2, "a number from 0 to 1"),
        ("prompt_duration", -3, "a number of seconds, 0 or more"),
        ("max_speakers", 0, "a whole number, 1 or more"),
    ],
)
def test_options_out_of_their_ranges_are_refused(option: str, value: Any, allowed: str) -> None:
    complaint = f"^WindowOptions: {option}={value!r} was given; it has to be {allowed}.$"
    with pytest.raises(ArgumentError, match=complaint):
        WindowOptions(**{option: value})


def test_options_at_the_ends_of_their_ranges_are_taken() -> None:
    window = draw(0, chunk=TOKEN, min_audibility=1, prompt_duration=0, stranger_probability=1, max_speakers=1)
    assert (len(window.audio.content), window.num_prompts) == (1, 0)
