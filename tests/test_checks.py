"""What the training task refuses before it begins, and what it takes."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from loudness import LoudnessFrontend
from training import fit, make_model, make_task

from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.protocol import SyntheticProtocol
from pyannote_pix2seq.task import SequenceDiarization
from pyannote_pix2seq.training.checks import check_frontend

pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_protocol_that_does_not_end_is_refused(protocol: SyntheticProtocol, cache: Path) -> None:
    endless = SyntheticProtocol("Toy", *protocol._simulators.values())
    with pytest.raises(ValueError, match="Toy does not end, .* num_train=1000"):
        make_task(endless, cache)


def test_unknown_options_are_named_and_known_ones_listed(protocol: SyntheticProtocol, cache: Path) -> None:
    known = (
        "chunk, compact_probability, dense_probability, min_audibility, prompt_duration, prompted_probability, "
        "shifted_probability, shorter_probability, stranger_probability"
    )
    own = "protocol, cache, model_window, num_speakers, .*activity_weight, num_samples, learning_rate, seed"
    with pytest.raises(TypeError, match=f"no option crop, promted_probability. It has {own}, {known}"):
        make_task(protocol, cache, promted_probability=0.3, crop=1)


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("model_window", 0, "a number of seconds above 0"),
        ("model_window", "60", "a number of seconds above 0"),
        ("num_speakers", 0, "a whole number, 1 or more"),
        ("stretch", 0, "a number of seconds, 0.5 or more"),
        ("stretch", float("inf"), "a number of seconds, 0.5 or more"),
        ("batch_size", 2.5, "a whole number, 1 or more"),
        ("steps_per_epoch", 0, "a whole number, 1 or more"),
        ("num_workers", -1, "a whole number, 0 or more"),
        ("activity_weight", -1, "a number, 0 or more"),
        ("activity_weight", True, "a number, 0 or more"),
        ("num_samples", 1, "a whole number, 2 or more, or 0 for none"),
        ("num_samples", -1, "a whole number, 2 or more, or 0 for none"),
        ("num_samples", 2.0, "a whole number, 2 or more, or 0 for none"),
        ("learning_rate", 0, "a number above 0"),
        ("seed", -1, "a whole number, 0 or more"),
    ],
)
def test_options_out_of_their_ranges_are_refused(
    protocol: SyntheticProtocol, cache: Path, option: str, value: Any, allowed: str
) -> None:
    complaint = f"^SequenceDiarization: {option}={value!r} was given; it has to be {allowed}.$"
    with pytest.raises(ArgumentError, match=complaint):
        make_task(protocol, cache, **{option: value})
    with pytest.raises(ArgumentError, match="^SequenceDiarization: chunk=0 was given"):
        make_task(protocol, cache, chunk=0)


def test_the_name_of_a_protocol_is_no_protocol(cache: Path) -> None:
    name = "AMI.SpeakerDiarization.mini"
    way_out = rf"protocol='{name}' was given; .* such as registry\.get_protocol\('{name}'\)\.$"
    with pytest.raises(ArgumentError, match=f"^SequenceDiarization: {way_out}"):
        SequenceDiarization(name, cache)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"protocol=None was given; .*get_protocol\('Database\.Sp"):
        SequenceDiarization(None, cache)  # type: ignore[arg-type]


def test_a_cache_is_a_folder(protocol: SyntheticProtocol, cache: Path) -> None:
    with pytest.raises(ArgumentError, match="^SequenceDiarization: cache=None was given; it has to be a folder, such"):
        SequenceDiarization(protocol, None)  # type: ignore[arg-type]
    assert SequenceDiarization(protocol, str(cache)).folder == cache  # type: ignore[arg-type]


def test_options_at_the_ends_of_their_ranges_are_taken(protocol: SyntheticProtocol, cache: Path) -> None:
    task = make_task(protocol, cache, num_speakers=1, stretch=0.5, batch_size=1, steps_per_epoch=1, activity_weight=0)
    assert (task.stretch, task.steps_per_epoch, task.activity_weight) == (0.5, 1, 0)
    assert task.windows.max_speakers == task.vocabulary.num_speakers == 1


def test_chunks_and_prompts_have_to_fit_the_window(protocol: SyntheticProtocol, cache: Path) -> None:
    assert make_task(protocol, cache, model_window=12.0, chunk=4.0).windows.prompt_duration == 8.0
    assert make_task(protocol, cache, model_window=3.1, chunk=0.7).windows.prompt_duration == pytest.approx(2.4)
    with pytest.raises(ValueError, match="chunks of 9.0 s and prompts of 4.0 s do not fit a window of 12.0 s"):
        make_task(protocol, cache, model_window=12.0, chunk=9.0, prompt_duration=4.0)
    with pytest.raises(ValueError, match="do not fit"):
        make_task(protocol, cache, model_window=12.0, chunk=13.0)


def test_rounding_errors_do_not_keep_chunks_and_prompts_from_fitting(protocol: SyntheticProtocol, cache: Path) -> None:
    assert 1.1 + 32.2 > 33.3
    task = make_task(protocol, cache, model_window=33.3, chunk=1.1, prompt_duration=32.2)
    assert (task.windows.chunk, task.windows.prompt_duration) == (1.1, 32.2)
    assert make_task(protocol, cache, model_window=33.3, chunk=1.1 + 32.2).windows.prompt_duration == 0.0
    with pytest.raises(ValueError, match="do not fit a window of 33.3 s"):
        make_task(protocol, cache, model_window=33.3, chunk=1.1, prompt_duration=32.21)


def test_accumulated_gradients_are_refused(protocol: SyntheticProtocol, cache: Path) -> None:
    with pytest.raises(ValueError, match="accumulate_grad_batches=2"):
        fit(make_model(make_task(protocol, cache)), max_epochs=1, accumulate_grad_batches=2)


def test_precisions_in_which_it_cannot_be_trained_are_refused(protocol: SyntheticProtocol, cache: Path) -> None:
    complaint = "^Trainer: precision='bf16-true' was given. Use one of 32-true, 16-mixed, bf16-mixed: "
    with pytest.raises(ArgumentError, match=complaint):
        fit(make_model(make_task(protocol, cache)), max_epochs=1, precision="bf16-true")


def test_a_frozen_frontend_without_weights_is_refused(protocol: SyntheticProtocol, tmp_path: Path) -> None:
    model = Pix2Seq(frontend="speaker", width=16, num_layers=1, num_heads=2, task=make_task(protocol, tmp_path))
    with pytest.raises(
        ArgumentError, match="^SequenceDiarization: the SpeakerFrontend of the model has random weights"
    ):
        fit(model, max_epochs=1)
    assert not list(tmp_path.iterdir())


def test_frozen_frontends_that_load_their_weights_by_themselves_or_have_none_are_taken() -> None:
    frontend = LoudnessFrontend()
    with pytest.raises(ArgumentError, match="One of yours that loads its weights by itself has to set `is_loaded`.$"):
        check_frontend(frontend)
    frontend.is_loaded = True
    check_frontend(frontend)
    without = LoudnessFrontend()
    del without.weight
    check_frontend(without)


def test_frontends_know_whether_weights_were_loaded() -> None:
    model = Pix2Seq(frontend="speaker", width=16, num_layers=1, num_heads=2)
    assert not model.frontend.is_loaded
    model.load_state_dict(model.state_dict())
    assert model.frontend.is_loaded and deepcopy(model).frontend.is_loaded


@pytest.mark.parametrize("name", ["limit_train_batches", "overfit_batches"])
@pytest.mark.parametrize("value", [2, 0.9])
def test_limits_that_cut_epochs_short_are_refused(
    protocol: SyntheticProtocol, cache: Path, name: str, value: float
) -> None:
    complaint = f"^Trainer: {name}={value} was given, .* all of its 3 steps. Use a smaller steps_per_epoch instead.$"
    with pytest.raises(ArgumentError, match=complaint):
        fit(make_model(make_task(protocol, cache)), **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("subset", ["train", "development"])
def test_a_protocol_with_an_empty_set_is_refused(protocol: SyntheticProtocol, cache: Path, subset: str) -> None:
    simulators = {name: protocol._simulators[name] for name in ("train", "development")}
    sizes = {"num_train": 1, "num_development": 1, f"num_{subset}": 0}
    with pytest.raises(ArgumentError, match=f"Synthetic.SpeakerDiarization.Empty has no file in its {subset} set"):
        make_task(SyntheticProtocol("Empty", **simulators, **sizes), cache)


def test_a_training_without_end_is_refused(protocol: SyntheticProtocol, cache: Path) -> None:
    with pytest.raises(ValueError, match="neither max_epochs nor max_steps was given, but the learning rate"):
        fit(make_model(make_task(protocol, cache)), max_epochs=-1, max_time="00:00:00:01")
