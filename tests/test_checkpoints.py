"""Loading of models and pipelines: what is not there, what is not ours, and what is no fault of the file."""

from __future__ import annotations

import pickle
import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pipelines import save_checkpoint
from pyannote.audio import Model, Pipeline

from pyannote_pix2seq import PRETRAINED
from pyannote_pix2seq.checkpoints import (
    load_checkpoint,
    load_frontend,
    load_model,
    load_pipeline,
    save_weights,
)
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.enrolment import Enrolment, EnrolmentError
from pyannote_pix2seq.frontends import MelFrontend
from pyannote_pix2seq.frontends.segmentation import build_segmentation
from pyannote_pix2seq.loading import load_diarization
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.sources import ModelError

LOADERS: dict[str, Callable[[Any], Any]] = {
    "pipeline": load_pipeline,
    "model": load_model,
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What was asked of a hub, which cannot be reached, in a folder in which there is a folder `runs`."""
    asked: list[Any] = []

    def fail(checkpoint: Any, **_: Any) -> None:
        asked.append(checkpoint)
        raise ConnectionError("no network")

    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    for kind in (Model, Pipeline):
        monkeypatch.setattr(kind, "from_pretrained", fail)
    return asked


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("gone", ["runs/pipelin", "gone", "./gone", "gone/of/one", Path("gone/pipeline")])
def test_a_mistyped_folder_is_not_sought_on_a_hub(kind: str, gone: str | Path, hub: list[Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"^There is no folder {gone} \(looked in {tmp_path}\). Check its name"):
        LOADERS[kind](gone)
    assert hub == []


@pytest.mark.parametrize("kind", LOADERS)
def test_it_is_said_why_no_hub_is_asked(kind: str, hub: list[Any]) -> None:
    with pytest.raises(ModelError, match=r"name and folder\. No hub is asked for it where there is a folder runs\.$"):
        LOADERS[kind]("runs/pipelin")


@pytest.mark.parametrize(
    ("kind", "gone"),
    [("pipeline", "gone.yaml"), ("pipeline", "gone/config.yaml"), ("model", "gone.ckpt"), ("model", "gone/last.ckpt")],
)
def test_a_mistyped_file_is_not_sought_on_a_hub(kind: str, gone: str, hub: list[Any]) -> None:
    with pytest.raises(ModelError, match=f"^There is no file {gone} "):
        LOADERS[kind](gone)
    assert hub == []


def test_a_folder_without_a_pipeline(hub: list[Any]) -> None:
    with pytest.raises(ModelError, match="^There is no file runs/config.yaml "):
        load_pipeline("runs")
    assert hub == []


def test_the_model_of_a_pipeline_is_named_by_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for subfolder, complaint in (("gone", "There is no folder {}. Check"), ("there", "{} is not a checkpoint of")):
        with pytest.raises(ModelError, match="^" + re.escape(complaint.format(tmp_path / subfolder))):
            load_model({"checkpoint": tmp_path, "subfolder": subfolder})


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("pipeline", "cannot be used as a pipeline: ConnectionError: no network"),
        ("model", "is not a checkpoint of a Pix2Seq model (ConnectionError: no network)"),
    ],
)
def test_where_a_hub_fails_it_is_said_first_that_there_is_no_such_folder(
    kind: str, complaint: str, hub: list[Any], tmp_path: Path
) -> None:
    said = f"There is no folder some/thing (looked in {tmp_path}). Check its name and folder. On a hub, some/thing "
    with pytest.raises(ModelError, match="^" + re.escape(said + complaint)):
        LOADERS[kind]("some/thing")
    assert hub == ["some/thing"]


def test_a_hub_without_such_a_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "from_pretrained", lambda source: None)
    with pytest.raises(ModelError, match=r"^There is no folder no/where .* On a hub, no/where cannot be found\.$"):
        load_pipeline("no/where")


def test_weights_are_loaded_to_the_cpu_whatever_device_is_the_default(tiny_pipeline: Path) -> None:
    with torch.device("meta"):  # as if it were a GPU
        pipeline = load_pipeline(tiny_pipeline)
    assert isinstance(pipeline, Pix2SeqDiarization)
    assert {weights.device.type for weights in pipeline.model.state_dict().values()} == {"cpu"}


READERS: dict[str, tuple[Callable[[Path], Any], object, str, type[Exception]]] = {
    "pipeline": (load_pipeline, Pipeline, "from_pretrained", ModelError),
    "model": (LOADERS["model"], Model, "from_pretrained", ModelError),
    "checkpoint": (load_checkpoint, torch, "load", ModelError),
    "frontend": (lambda path: load_frontend(MelFrontend(), path), torch, "load", ModelError),
    "enrolment": (Enrolment.load, np, "load", EnrolmentError),
}


def failing(kind: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load a file that exists, but whose reader fails."""
    load, owner, name, _ = READERS[kind]

    def fail(*_: Any, **more: Any) -> None:
        raise error

    (tmp_path / "file").write_text("pipeline: {}")
    monkeypatch.setattr(owner, name, fail)
    load(tmp_path / "file")


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("error", [MemoryError("all of it"), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_lack_of_memory_is_not_blamed_on_the_file(
    kind: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(type(error)) as raised:
        failing(kind, error, tmp_path, monkeypatch)
    assert raised.value is error


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("error", [struct.error("4 bytes"), AssertionError(), RecursionError("deep")])
def test_whatever_else_a_reader_raises_is_said_of_the_file(
    kind: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(READERS[kind][3], match=f"^{tmp_path / 'file'} ") as raised:
        failing(kind, error, tmp_path, monkeypatch)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("kind", ["exported", "trained"])
def test_a_checkpoint_is_no_frontend(kind: str, tmp_path: Path) -> None:
    path = PRETRAINED / "pix2seq" / "pytorch_model.bin"
    if kind == "trained":
        path = tmp_path / "last.ckpt"
        torch.save({"pytorch-lightning_version": "2", "state_dict": {}, "callbacks": Path("any")}, path)
    with pytest.raises(ModelError, match=rf"^{path} is a checkpoint of a model.* with --initial of recipes/train"):
        load_frontend(MelFrontend(), path)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"mine", r"Unsupported operand 109"), (Path("any"), r"Unsupported global: GLOBAL pathlib[\w.]+ was not .*")],
)
def test_of_a_file_that_is_no_frontend_only_what_is_wrong_is_said(content: Any, told: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save({"weights": content}, path)
    with pytest.raises(
        ModelError, match=rf"^{path} does not hold the weights of a MelFrontend \({told}\)\. Take"
    ) as raised:
        load_frontend(MelFrontend(), path)
    assert "\x1b" not in str(raised.value) and "weights_only" not in str(raised.value)


# pipelines of this package


def test_options_of_a_pipeline_are_changed_only_where_they_are_given() -> None:
    shipped = DecodingOptions("consensus", temperature=0.8, num_samples=32, threshold=0.45)
    own = load_diarization(PRETRAINED)
    assert (own.strategy, own.decoding) == ("two_pass", shipped)
    changed = load_diarization(PRETRAINED, "chain", {"seed": 7, "method": None})
    assert (changed.strategy, changed.decoding) == ("chain", replace(shipped, seed=7))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"strategy": "two_pass"}, "strategy='two_pass' was given; it has to be chain with this model's frontend"),
        ({"decoding": {"method": "best"}}, "method='best' was given; it has to be one of greedy"),
        ({"strategy": ""}, "strategy='' was given"),
        ({"strategy": ["chain", "two_pass"]}, "strategy=\\['chain', 'two_pass'\\] was given"),
        ({"decoding": {"sed": 1}}, "DecodingOptions has no option sed"),
        ({"decoding": {"seed": -1}}, "seed=-1 was given; it has to be a whole number"),
    ],
)
def test_options_that_a_pipeline_cannot_have(options: dict[str, Any], complaint: str, tiny_pipeline: Path) -> None:
    with pytest.raises(ModelError, match=f"^{tiny_pipeline}: .*{complaint}"):
        load_diarization(tiny_pipeline, **options)


def test_a_pipeline_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "from_pretrained", lambda source: Pipeline())
    with pytest.raises(ModelError, match="^some/theirs is a Pipeline; it has to be a Pix2SeqDiarization, such as"):
        load_diarization("some/theirs")


def save_segmentation(path: Path) -> None:
    """A checkpoint of pyannote.audio that holds another network."""
    save_checkpoint(build_segmentation(), path)


def save_damaged(path: Path) -> None:
    torch.save({"pyannote.audio": {"versions": {"pyannote.audio": "4.0.7"}}}, path)


CHECKPOINTS: dict[str, Callable[[Path], Any]] = {
    "another network": save_segmentation,
    "saved dictionary": lambda path: torch.save({"weights": torch.ones(3)}, path),
    "pickled dictionary": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    "pickled list": lambda path: path.write_bytes(pickle.dumps([1, 2])),
    "half a checkpoint": save_damaged,
    "random bytes": lambda path: path.write_bytes(np.random.default_rng(0).bytes(1000)),
    "text": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
    "nothing": lambda path: path.write_bytes(b""),
    "no file": lambda path: path.unlink(),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.filterwarnings("ignore")
def test_checkpoints_that_are_not_ours(tiny_pipeline: Path, tmp_path: Path, kind: str) -> None:
    folder = shutil.copytree(tiny_pipeline, tmp_path / "broken")
    checkpoint = folder / "model" / "pytorch_model.bin"
    CHECKPOINTS[kind](checkpoint)
    with pytest.raises(ModelError, match="There is no file gone.ckpt"):  # and no hub is asked
        Pix2SeqDiarization("gone.ckpt")
    with pytest.raises(ModelError, match="this pipeline needs a Pix2Seq model|is not a checkpoint of a Pix2Seq"):
        Pipeline.from_pretrained(folder)


def test_a_model_that_is_not_named() -> None:
    with pytest.raises(ModelError, match="A model was given as {'path': 'x'}; it has to say which"):
        Pix2SeqDiarization({"path": "x"})


def test_a_truncated_checkpoint(tiny_pipeline: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_pipeline, tmp_path / "truncated")
    checkpoint = folder / "model" / "pytorch_model.bin"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(ModelError, match="is not a checkpoint of a Pix2Seq model"):
        Pipeline.from_pretrained(folder)


def test_a_model_is_no_pipeline_and_a_pipeline_no_model(tiny_pipeline: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "last.ckpt"
    checkpoint.write_bytes((tiny_pipeline / "model" / "pytorch_model.bin").read_bytes())
    for source in (checkpoint, str(tiny_pipeline / "model")):
        with pytest.raises(
            ModelError, match=rf"^{source} is a model, not a pipeline. Make one of it with recipes/expo"
        ):
            load_pipeline(source)
    with pytest.raises(ModelError, match=rf"^{tiny_pipeline} is a pipeline, not a model. Load it with"):
        load_model(tiny_pipeline)


def test_weights_are_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    save_weights({"kept": torch.ones(3)}, path)
    with pytest.raises(AttributeError):  # in the middle of writing
        save_weights({"first": torch.zeros(9), "second": lambda: 1}, path)
    assert torch.load(path)["kept"].equal(torch.ones(3)) and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="none"):
        save_weights({}, tmp_path / "none" / "weights.pt")
