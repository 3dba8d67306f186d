"""Options of training windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.frontends import TOKEN_DURATION, Frontend
from pyannote_pix2seq.numeric import ROUNDING, check_ranges, is_number, is_probability, is_whole


@dataclass(frozen=True)
class WindowOptions:
    """Options of drawing windows from examples.

    Parameters
    ----------
    chunk : float
        Longest chunk, in seconds, of which the audio tokens that fit in are taken.
    shorter_probability : float
        Probability of a chunk of random length.
    dense_probability : float
        Probability of taking the window with the most overlap out of several: real meetings have more overlap than
        random windows of simulated ones, and what is rare is not learned.
    prompted_probability : float
        Probability that the chunk is prompted with speakers of the same example, with clips from outside the chunk.
    stranger_probability : float
        Probability of one more prompt, of a speaker from another example.
    compact_probability : float
        Probability that all prompts are compact. With a frontend that is trained they never are: what is cached of its
        clips is waveforms, and the mean of waveforms represents no speaker.
    shifted_probability : float
        Probability that a clip is shifted by up to 30 % of its length, so that it may include other speakers.
    min_audibility : float
        Turns with a mean probability of speech below this, according to the frontend, are not to be written: a model
        that learns to write inaudible turns invents turns in silence.
    prompt_duration : float
        Maximum duration of all prompts together, silences included, in seconds; further ones are left out.
    max_speakers : int
        Maximum number of speakers in a window, prompted ones included; windows with more are drawn again.

    Raises
    ------
    ValueError
        If an option is out of its range.
    """

    chunk: float = 30.0
    shorter_probability: float = 0.25
    dense_probability: float = 0.5
    prompted_probability: float = 0.4
    stranger_probability: float = 0.15
    compact_probability: float = 0.3
    shifted_probability: float = 0.15
    min_audibility: float = 0.25
    prompt_duration: float = 30.0
    max_speakers: int = 8

    @property
    def max_tokens(self) -> int:
        """Audio tokens of the longest chunk."""
        return Frontend.whole_tokens(self.chunk)

    def __post_init__(self) -> None:
        given = vars(self)
        ranges = {
            name: (is_probability(value), "a number from 0 to 1")
            for name, value in given.items()
            if name.endswith("_probability") or name == "min_audibility"
        }
        ranges["chunk"] = (
            is_number(self.chunk, TOKEN_DURATION),
            f"a number of seconds, {TOKEN_DURATION} (an audio token) or more",
        )
        ranges["prompt_duration"] = (
            is_number(self.prompt_duration, 0),
            "a number of seconds, 0 or more",
        )
        ranges["max_speakers"] = (is_whole(self.max_speakers, 1), "a whole number, 1 or more")
        check_ranges("WindowOptions", given, ranges)


WINDOW_OPTIONS = {field.name for field in fields(WindowOptions)} - {"max_speakers"}
"""Options that the training task hands on."""


def windows_that_fit(model_window: float, num_speakers: int, given: Mapping[str, Any]) -> WindowOptions:
    """Options of windows that fit the model's window, for the training task.

    Parameters
    ----------
    model_window : float
        Longest audio that the model can process, in seconds.
    num_speakers : int
        Number of speakers that the model can name.
    given : mapping
        Some of `WINDOW_OPTIONS`. `prompt_duration` defaults to what chunks leave of the model's window.

    Raises
    ------
    ArgumentError
        If an option is out of its range, or chunks and prompts together do not fit.
    """
    try:
        options = WindowOptions(**given, max_speakers=num_speakers)
    except ArgumentError as error:
        raise ArgumentError(f"SequenceDiarization: {str(error).removeprefix('WindowOptions: ')}") from error
    prompts = given.get("prompt_duration", 0.0)
    if options.chunk + prompts > model_window + ROUNDING:
        raise ArgumentError(
            f"SequenceDiarization: chunks of {options.chunk} s and prompts of {prompts} s do not fit a window of "
            f"{model_window} s. Use a longer model_window or shorter chunks."
        )
    rest = max(model_window - options.chunk, 0.0)
    return options if "prompt_duration" in given else replace(options, prompt_duration=rest)
