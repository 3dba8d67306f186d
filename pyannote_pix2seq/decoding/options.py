"""Options of decoding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from pyannote_pix2seq.errors import OptionError, check_known
from pyannote_pix2seq.numeric import check_ranges, is_number, is_whole, plain

NUMBERS = ("num_beams", "num_samples", "max_turns")
SECONDS = ("min_duration_off", "pad_onset", "pad_offset")
TIGHT: Mapping[str, Any] = dict.fromkeys(SECONDS, 0.0)
"""Options that leave turns as they are decoded."""
METHODS = ("greedy", "sample", "beam", "consensus")


@dataclass(frozen=True)
class DecodingOptions:
    """Options of decoding: method, post-processing and length.

    Parameters
    ----------
    method : {"greedy", "sample", "beam", "consensus"}
        Greedy decoding takes the median of each time distribution, which minimises the expected error in seconds: a
        turn starts in the first bin by which it has more likely started than not (or there is none, if `<eos>` holds
        more than half of the probability), and ends in the first bin by which it is more likely over than not. (The
        mode is a poor estimate: a sharp peak beats a broad one that holds more probability.) The speaker is the
        likeliest one. A consensus is a vote of several samples, see `decoding/consensus.py`; if it breaks the limits
        on the number of speakers, the likeliest sample is taken instead.
    temperature, top_k, top_p : optional
        For sampling: divide logits by a temperature; keep the `top_k` likeliest tokens; keep the likeliest tokens
        that together have a probability of `top_p` (Holtzman et al., arXiv 1904.09751).
    num_beams : int
        Beam width of beam search.
    num_samples : int
        For a consensus. Chunks that are read twice have fewer, see `first_pass` and `second_pass`.
    spread : bool
        For a consensus: draw samples with random numbers that are evenly spread, not independent, so that their votes
        vary less from seed to seed. See `decoding/continuation.py`.
    threshold : float
        In each time bin of a consensus, n speakers are active if more than this share of the samples have n or more;
        the largest such n counts.
    min_duration_off : float
        Pauses of one speaker shorter than this are filled, in seconds.
    pad_onset, pad_offset : float
        Turns are extended by this much at their start and at their end, in seconds, rounded to whole time bins: before
        pauses are filled, and not beyond the audio. See `decoding/postprocessing.py`.
    max_turns : int
        Sequences end after this many turns, prompts included, unless more are needed for a minimum of speakers. This
        holds for each sample of a consensus; the consensus itself may have more turns.
    seed : int
        For sampling.

    Raises
    ------
    ValueError
        If an option is out of its range.
    """

    method: Literal["greedy", "sample", "beam", "consensus"] = "greedy"
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    num_beams: int = 4
    num_samples: int = 8
    spread: bool = True
    threshold: float = 0.5
    min_duration_off: float = 0.0
    pad_onset: float = 0.0
    pad_offset: float = 0.0
    max_turns: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "method": (self.method in METHODS, f"one of {', '.join(METHODS)}"),
            "temperature": (is_number(self.temperature, 1e-6), "a number, 0.000001 or more"),
            "top_k": (self.top_k is None or is_whole(self.top_k, 1), "a whole number, 1 or more, or None"),
            "top_p": (is_number(self.top_p) and 0 < self.top_p <= 1, "a number above 0 and at most 1"),
            **{name: (is_whole(getattr(self, name), 1), "a whole number, 1 or more") for name in NUMBERS},
            "spread": (isinstance(self.spread, bool), "True or False"),
            "threshold": (is_number(self.threshold) and 0 <= self.threshold < 1, "a number from 0 to below 1"),
            **{name: (is_number(getattr(self, name), 0), "a number of seconds, 0 or more") for name in SECONDS},
            "seed": (is_whole(self.seed, 0) and self.seed < 2**63, "a whole number from 0 to 2 ** 63 - 1"),
        }
        check_ranges("DecodingOptions", vars(self), ranges)
        for name, value in vars(self).items():
            object.__setattr__(self, name, plain(value))

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> DecodingOptions:
        """Build options from a mapping.

        Raises
        ------
        TypeError
            If `options` is not a mapping, or has an unknown name.
        ValueError
            If an option is out of its range.
        """
        if not isinstance(options, Mapping):
            raise OptionError(f"Decoding options are a mapping, such as {{'method': 'beam'}}, not {options!r}.")
        check_known(cls.__name__, options, [field.name for field in fields(cls)])
        return cls(**options)

    @property
    def first_pass(self) -> DecodingOptions:
        """Options of the first of two passes over a chunk, which only has to distinguish voices.

        It has an eighth of the samples, at a temperature of at most 0.8 and counted from at most 40 % on, and leaves
        turns as they are decoded. The samples are independent: so few that are spread found too many speakers
        (docs/log.md, 2026-11-29).
        """
        return replace(
            self,
            num_samples=math.ceil(self.num_samples / 8),
            spread=False,
            temperature=min(self.temperature, 0.8),
            threshold=min(self.threshold, 0.4),
            **TIGHT,
        )

    @property
    def second_pass(self) -> DecodingOptions:
        """Options of the second of two passes over a chunk: half of the samples, as it is prompted with speakers."""
        return replace(self, num_samples=math.ceil(self.num_samples / 2))
