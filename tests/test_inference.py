"""How models are run: as exactly within the caller's autocast, or on the caller's device, as without them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pitched import RATE, make, rows, talk
from pyannote.audio.utils.reproducibility import fix_reproducibility

from pyannote_pix2seq import pipeline as pipelines
from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.inference import inference
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.strategies.strategy import STRATEGIES


def outputs(pipeline: Pix2SeqDiarization, file: dict[str, Any], recordings: dict[str, Path]) -> list[Any]:
    """All that a pipeline says of a file, as a whole and as a stream, and of a person."""
    output = pipeline(file, known={"ann": recordings["ann"]})
    (ann,) = pipeline.enrol({"ann": recordings["ann"]})
    stream = pipeline.stream(RATE)
    turns = [*stream.push(file["waveform"]), *stream.close()]
    return [rows(output), list(output.confidence), output.speaker_embeddings.tolist(), ann.voice.tolist(), turns]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_autocast_of_the_caller_changes_nothing(model: Pix2Seq, strategy: str, recordings: dict[str, Path]) -> None:
    pipeline, file = make(model, strategy), talk()
    pipeline.decoding = {"method": "consensus", "max_turns": 6}
    before = outputs(pipeline, file, recordings)
    with torch.autocast("cpu", torch.bfloat16):
        assert outputs(pipeline, file, recordings) == before
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_default_device_of_the_caller_changes_nothing(
    model: Pix2Seq, strategy: str, recordings: dict[str, Path]
) -> None:
    pipeline, file = make(model, strategy), talk()
    pipeline.decoding = {"method": "consensus", "max_turns": 6}
    before = outputs(pipeline, file, recordings)
    with torch.device("meta"):  # as `torch.set_default_device` makes it, where there is no GPU
        assert outputs(pipeline, file, recordings) == before
        assert torch.get_default_device().type == "meta"


@pytest.mark.parametrize("device", ["cpu", "mps"])  # that of CUDA cannot be turned on without a GPU
def test_the_autocast_of_no_device_is_on_while_models_are_run(device: str) -> None:
    is_on = inference(lambda: torch.is_autocast_enabled(device))
    with torch.autocast(device, torch.float16):
        assert not is_on()
        assert torch.is_autocast_enabled(device)


@pytest.mark.filterwarnings("ignore:TensorFloat-32")
@pytest.mark.parametrize("run", ["call", "apply", "apply_batch", "enrol", "stream"])
def test_a_gpu_is_exact_however_a_pipeline_is_run(
    model: Pix2Seq, run: str, recordings: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, exact = make(model, "chain"), list[bool]()
    gpu = torch.device("cuda")  # as if the model were on one
    monkeypatch.setattr(pipelines, "fix_reproducibility", lambda _: fix_reproducibility(gpu))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with model.frontend.register_forward_hook(lambda *_: exact.append(not torch.backends.cudnn.allow_tf32)):
        {
            "call": lambda: pipeline(talk()),
            "apply": lambda: pipeline.apply(talk()),
            "apply_batch": lambda: list(pipeline.apply_batch([talk()], known={"ann": recordings["ann"]})),
            "enrol": lambda: pipeline.enrol({"ann": recordings["ann"]}),
            "stream": lambda: pipeline.stream(RATE).push(talk()["waveform"]),
        }[run]()
    assert exact and all(exact)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_nothing_is_heard_where_half_precision_is_the_default(
    model: Pix2Seq, kind: torch.dtype, recordings: dict[str, Path]
) -> None:
    pipeline, file = make(model, "two_pass"), talk()
    pipeline.decoding = {"method": "consensus", "max_turns": 6}
    before, stream = outputs(pipeline, file, recordings), pipeline.stream(RATE)
    calls: list[Callable[[], object]] = [
        lambda: pipeline(file),
        lambda: pipeline.enrol({"ann": recordings["ann"]}),
        lambda: stream.push(file["waveform"]),
        stream.close,
    ]
    torch.set_default_dtype(kind)
    try:
        for call in calls:
            with pytest.raises(
                ArgumentError, match=rf"is {str(kind)[6:]}; .* torch\.set_default_dtype\(torch\.float32"
            ):
                call()
    finally:
        torch.set_default_dtype(torch.float32)
    assert [*stream.push(file["waveform"]), *stream.close()] == before[-1]
    assert outputs(pipeline, file, recordings) == before


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_in_another_precision_is_refused_with_what_to_do(
    model: Pix2Seq, kind: torch.dtype, recordings: dict[str, Path]
) -> None:
    pipeline = make(copy.deepcopy(model), "chain")
    pipeline.model.to(kind)
    calls: list[Callable[[], object]] = [
        lambda: pipeline(talk()),
        lambda: pipeline.apply_batch([talk()]),
        lambda: pipeline.enrol({"ann": recordings["ann"]}),
        lambda: pipeline.stream(RATE),
        lambda: make(pipeline.model, "two_pass"),
    ]
    for call in calls:
        with pytest.raises(ArgumentError, match=f"a model in {str(kind)[6:]} was given; .* Load it again"):
            call()


def test_what_is_run_has_no_gradient_and_its_own_name() -> None:
    @inference
    def double(values: torch.Tensor) -> torch.Tensor:
        """Twice as much."""
        return 2 * values

    assert not double(torch.ones(1, requires_grad=True)).requires_grad
    assert (double.__name__, double.__doc__) == ("double", "Twice as much.")
