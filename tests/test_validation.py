"""Validation while a model is trained: its scores, and whom it leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pyannote.core import Segment, Timeline
from pyannote.database.protocol import SpeakerDiarizationProtocol
from toy import annotation
from training import STEPS_PER_EPOCH, Remember, fit, make_model, make_task, make_trainer

from pyannote_pix2seq.decoding.search import Hypothesis
from pyannote_pix2seq.protocol import SyntheticProtocol
from pyannote_pix2seq.training.examples import CacheError

pytestmark = pytest.mark.filterwarnings("ignore")


def test_validation_scores_perfect_and_empty_outputs(
    protocol: SyntheticProtocol, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(protocol, cache)
    model = make_model(task)
    fit(model, max_epochs=1)
    rates = []
    for is_perfect in (True, False):
        batch = task.collate_fn([task.val__getitem__(k) for k in range(task.val__len__())], stage="val")
        rows = batch.tokens.tolist() if is_perfect else [[] for _ in range(len(batch))]
        written = [Hypothesis(row, [], [], 0.0) for row in rows]
        monkeypatch.setattr("pyannote_pix2seq.task.decode", lambda *_, written=written: written)
        monkeypatch.setattr(model, "log_dict", lambda *_, **__: None)
        model.validation_metric.reset()
        model.eval()
        task.validation_step(batch, 0)
        rates.append(float(model.validation_metric.compute()["DiarizationErrorRate"]))
    assert rates == [0.0, 1.0]


def test_a_model_is_validated_again_after_training(protocol: SyntheticProtocol, cache: Path) -> None:
    remember = Remember()
    model = make_model(make_task(protocol, cache))
    fit(model, remember, max_epochs=1)
    (logged,) = make_trainer().validate(model, verbose=False)
    assert logged == {"DiarizationErrorRate": remember.logged[-1]["DiarizationErrorRate"]}


def test_nothing_is_validated_without_a_development_set(cache: Path, protocol: SyntheticProtocol) -> None:
    class Unvalidated(SpeakerDiarizationProtocol):
        name = "Toy.SpeakerDiarization.Unvalidated"

        def train_iter(self) -> Any:
            return protocol.train_iter()

    trainer = fit(make_model(make_task(Unvalidated(), cache / "unvalidated")), max_epochs=1)  # type: ignore[arg-type]
    assert trainer.global_step == STEPS_PER_EPOCH and "loss/train/sequence" in trainer.callback_metrics


class Crowds(SpeakerDiarizationProtocol):
    """Noise of 4 s; one conversation of two to train on, and one of so many speakers for each number to develop on."""

    name = "Toy.SpeakerDiarization.Crowds"

    def __init__(self, *numbers: int) -> None:
        super().__init__()
        self.numbers = numbers

    def train_iter(self) -> Iterator[dict[str, Any]]:
        yield self._conversation("train", 2)

    def development_iter(self) -> Iterator[dict[str, Any]]:
        yield from (self._conversation(f"development{k}", number) for k, number in enumerate(self.numbers))

    def _conversation(self, uri: str, num_speakers: int) -> dict[str, Any]:
        turns = [(0.5 * speaker, 0.5 * speaker + 0.4, f"{uri} {speaker}") for speaker in range(num_speakers)]
        waveform = torch.randn(1, 64000, generator=torch.Generator().manual_seed(0))
        audio = {"waveform": waveform, "sample_rate": 16000, "annotated": Timeline([Segment(0, 4.0)])}
        return {"uri": uri, "scope": "global", "annotation": annotation(*turns), **audio}


def test_development_examples_with_too_many_speakers_are_left_out_with_one_warning(tmp_path: Path) -> None:
    task = make_task(Crowds(4, 3, 5, 0), tmp_path, num_speakers=3)  # type: ignore[arg-type]
    model = make_model(task)
    with pytest.warns(UserWarning) as caught:
        fit(model, max_epochs=2)
        fit(model, max_epochs=3)
    said = [str(warning.message) for warning in caught if "examples" in str(warning.message)]
    assert said == [
        "2 of 4 development examples begin with more than 3 speakers and are not validated. "
        "Use a larger num_speakers or a shorter chunk."
    ]
    assert [task.val__getitem__(k).num_speakers for k in range(task.val__len__())] == [3, 0]


def test_development_examples_that_all_have_too_many_speakers_are_refused(tmp_path: Path) -> None:
    model = make_model(make_task(Crowds(4, 5), tmp_path, num_speakers=3))  # type: ignore[arg-type]
    complaint = (
        r"^All 2 development examples begin with more than 3 speakers\. Use a larger num_speakers or a shorter chunk\.$"
    )
    for _ in range(2):
        with pytest.raises(CacheError, match=complaint):
            fit(model, max_epochs=1)
    shorter = make_task(Crowds(4, 5), tmp_path, num_speakers=3, chunk=1.5)  # type: ignore[arg-type]
    fit(make_model(shorter), max_epochs=1)
    assert [shorter.val__getitem__(k).num_speakers for k in range(shorter.val__len__())] == [3, 3]
