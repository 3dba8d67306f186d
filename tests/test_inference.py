"""How models are run: as exactly within the caller's autocast as without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pitched import RATE, make, rows, talk
from pyannote.audio.utils.reproducibility import fix_reproducibility

from pyannote_pix2seq import pipeline as pipelines
from pyannote_pix2seq.inference import inference
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.strategies.strategy import STRATEGIES


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_autocast_of_the_caller_changes_nothing(model: Pix2Seq, strategy: str, recordings: dict[str, Path]) -> None:
    pipeline = make(model, strategy)
    pipeline.decoding = {"method": "consensus", "max_turns": 6}

    def outputs() -> list[Any]:
        output = pipeline(talk(), known={"ann": recordings["ann"]})
        (ann,) = pipeline.enrol({"ann": recordings["ann"]})
        stream = pipeline.stream(RATE)
        turns = [*stream.push(talk()["waveform"]), *stream.close()]
        return [rows(output), list(output.confidence), output.speaker_embeddings.tolist(), ann.voice.tolist(), turns]

    before = outputs()
    with torch.autocast("cpu", torch.bfloat16):
        assert outputs() == before
        assert torch.is_autocast_enabled("cpu")


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


def test_what_is_run_has_no_gradient_and_its_own_name() -> None:
    @inference
    def double(values: torch.Tensor) -> torch.Tensor:
        """Twice as much."""
        return 2 * values

    assert not double(torch.ones(1, requires_grad=True)).requires_grad
    assert (double.__name__, double.__doc__) == ("double", "Twice as much.")
