"""Options of decoding: those that are refused, and those of each pass."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipelines import recording, same, with_params

from pyannote_pix2seq.decoding.options import DecodingOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "best"}, "method='best' was given; it has to be one of greedy, sample, beam"),
        ({"temperature": 0.0}, "temperature=0.0 was given; it has to be a number, 0.000001 or more"),
        ({"top_k": 0}, "top_k=0 was given; it has to be a whole number, 1 or more"),
        ({"top_p": 0.0}, "top_p=0.0 was given"),
        ({"top_p": 1.1}, "above 0 and at most 1"),
        ({"temperature": 1e-39}, "temperature=1e-39"),
        ({"temperature": float("inf")}, "temperature=inf"),
        ({"temperature": "1"}, "temperature='1' was given; it has to be a number, 0.000001 or more"),
        ({"top_k": 1.5}, "top_k=1.5"),
        ({"threshold": 1}, "threshold=1 was given; it has to be a number from 0 to below 1"),
        ({"num_samples": 2.5}, "num_samples=2.5 was given; it has to be a whole number, 1 or more"),
        ({"seed": 2**63}, f"seed={2**63} was given; it has to be a whole number from 0"),
        ({"seed": -1}, "seed=-1"),
        ({"num_beams": 0}, "num_beams=0"),
        ({"spread": "no"}, "spread='no' was given; it has to be True or False"),
        ({"max_turns": 0}, "max_turns=0"),
        ({"min_duration_off": -1}, "min_duration_off=-1 was given; it has to be a number of seconds, 0 or more"),
        ({"pad_onset": float("inf")}, "pad_onset=inf was given"),
        ({"pad_offset": "0.04"}, "pad_offset='0.04' was given"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecodingOptions(**options)
    with pytest.raises(ValueError, match=message):
        DecodingOptions.of(options)


def test_numbers_of_numpy_are_numbers_and_true_is_none() -> None:
    options = DecodingOptions(num_samples=np.int64(3), temperature=np.float32(0.5), seed=np.uint8(7))
    assert (options.num_samples, options.temperature, options.seed) == (3, 0.5, 7)
    for name in ("num_samples", "temperature", "top_k", "seed"):
        with pytest.raises(ValueError, match=f"{name}=True was given"):
            DecodingOptions(**{name: True})


def test_numbers_of_numpy_decode_as_those_of_python(tiny_pipeline: Path) -> None:
    small: dict[str, Any] = {"num_samples": np.uint8(3), "max_turns": np.uint8(90), "top_k": np.uint8(5)}
    others: dict[str, Any] = {"seed": np.int64(7), "temperature": np.float32(0.5), "pad_offset": np.float32(0.25)}
    plain = {name: number.item() for name, number in {**small, **others}.items()}
    outputs = [
        with_params(tiny_pipeline, decoding={"method": "consensus", **options})(recording(12.0))
        for options in ({**small, **others}, plain)
    ]
    assert same(*outputs) and len(outputs[0].confidence) > 3


def test_unknown_options_are_named_and_known_ones_listed() -> None:
    with pytest.raises(TypeError, match=r"Options has no option 7, beam_size, tempreature\. It has .*num_beams.*seed"):
        DecodingOptions.of({"tempreature": 1.0, "beam_size": 3, 7: 7, "seed": 1})  # type: ignore[dict-item]
    assert asdict(DecodingOptions.of({"method": "beam", "num_beams": 3})) == {
        **asdict(DecodingOptions()),
        "method": "beam",
        "num_beams": 3,
    }


def test_chunks_that_are_read_twice_have_fewer_and_calmer_samples() -> None:
    options = DecodingOptions(method="consensus", temperature=0.9, num_samples=32, pad_offset=0.2, seed=3)
    calm = {"temperature": 0.8, "threshold": 0.4, "pad_offset": 0.0, "spread": False}
    assert options.first_pass == replace(options, num_samples=4, **calm)
    assert options.second_pass == replace(options, num_samples=16)
    bold = DecodingOptions(num_samples=9, temperature=0.5, threshold=0.3)
    assert bold.first_pass == replace(bold, num_samples=2, spread=False)
    assert bold.second_pass == replace(bold, num_samples=5)
    assert DecodingOptions(num_samples=1).first_pass.num_samples == 1
