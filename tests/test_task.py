from __future__ import annotations

from collections.abc import Callable, Iterator
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.strategies import SingleDeviceStrategy
from pyannote.audio import Model
from pyannote.core import Segment, Timeline
from pyannote.database.protocol import SpeakerDiarizationProtocol
from torch import Tensor
from toy import annotation, write_toy_voices

from pyannote_pix2seq.decoding.search import Hypothesis
from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.protocol import SyntheticProtocol
from pyannote_pix2seq.simulation import Acoustics, PlainTurns, Simulator, Voices
from pyannote_pix2seq.simulation.labels import Labels
from pyannote_pix2seq.task import SequenceDiarization
from pyannote_pix2seq.training.examples import CacheError, ExampleCache
from pyannote_pix2seq.training.loaders import outlive_sigterm
from pyannote_pix2seq.vocabulary import Vocabulary

STEPS_PER_EPOCH = 3

pytestmark = pytest.mark.filterwarnings("ignore")


class Remember(Callback):
    """Keeps what was logged after each epoch, and the loss of each step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.logged: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Any, model: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.losses.append(float(outputs["loss"]))

    def on_train_epoch_end(self, trainer: lightning.Trainer, model: Any) -> None:
        self.logged.append({name: float(value) for name, value in trainer.callback_metrics.items()})


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> SyntheticProtocol:
    """Six training and two development conversations of 6 s."""
    folder = write_toy_voices(tmp_path_factory.mktemp("voices"), num_train=3, num_dev=3)
    train, dev = (
        Simulator(Voices(folder, split), PlainTurns(max_speakers=2), Acoustics.none(), duration=6.0)
        for split in ("train", "dev")
    )
    return SyntheticProtocol("Toy", train, dev, num_train=6, num_development=2)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_a_protocol_that_does_not_end_is_refused(protocol: SyntheticProtocol, cache: Path) -> None:
    endless = SyntheticProtocol("Toy", *protocol._simulators.values())
    with pytest.raises(ValueError, match="Toy does not end, .* num_train=1000"):
        make_task(endless, cache)


def make_task(protocol: SyntheticProtocol, cache: Path, **options: Any) -> SequenceDiarization:
    options = {
        "model_window": 12.0,
        "num_speakers": 3,
        "batch_size": 2,
        "steps_per_epoch": STEPS_PER_EPOCH,
        "chunk": 4.0,
        **options,
    }
    return SequenceDiarization(protocol, cache, **options)


def make_model(task: SequenceDiarization, seed: int = 0) -> Pix2Seq:
    torch.manual_seed(seed)
    return Pix2Seq(frontend="mel", width=16, num_layers=1, num_heads=2, dropout=0.2, task=task)


def make_trainer(**options: Any) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


def fit(model: Pix2Seq, *callbacks: Callback, max_epochs: int = 3, **options: Any) -> lightning.Trainer:
    checkpoint = options.pop("ckpt_path", None)
    is_kept = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    options |= {"max_epochs": max_epochs, "callbacks": list(callbacks), "enable_checkpointing": is_kept}
    trainer = make_trainer(**options)
    trainer.fit(model, ckpt_path=checkpoint, weights_only=False)
    return trainer


def weights_of(model: Pix2Seq) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


@pytest.fixture(scope="module")
def uninterrupted(
    protocol: SyntheticProtocol, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Tensor], Remember, Path]:
    """Weights after three epochs of three steps, what was logged, and a folder with a checkpoint of every step."""
    folder = tmp_path_factory.mktemp("checkpoints")
    every_step = ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=1)
    remember = Remember()
    model = make_model(make_task(protocol, cache))
    fit(model, every_step, remember)
    return weights_of(model), remember, folder


@pytest.mark.parametrize(("trained_on", "heard_on"), [("cpu", None), ("cuda:0", torch.device("cuda:0"))])
def test_a_gpu_hears_what_it_trains_on(
    trained_on: str,
    heard_on: torch.device | None,
    protocol: SyntheticProtocol,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Enough(Exception):
        pass

    def fill(cache: ExampleCache, files: Any, num_workers: int, device: torch.device | None, **_: Any) -> None:
        assert device == heard_on
        raise Enough

    monkeypatch.setattr(ExampleCache, "fill", fill)
    monkeypatch.setattr(SingleDeviceStrategy, "root_device", torch.device(trained_on))
    monkeypatch.setattr(CPUAccelerator, "setup_device", lambda *_: None)
    with pytest.raises(Enough):
        fit(make_model(make_task(protocol, tmp_path)))


def test_processes_that_wait_hear_of_every_stretch(
    protocol: SyntheticProtocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an hour without a word would end a process that waits for the others."""
    told: list[tuple[Any, int]] = []

    def tell(strategy: Any, word: Any, src: int = 0) -> Any:
        told.append((word, len(list(tmp_path.rglob("*.npz")))))
        return word

    monkeypatch.setattr(SingleDeviceStrategy, "broadcast", tell)
    fit(make_model(make_task(protocol, tmp_path)), max_epochs=0)
    train, development = [(False, n) for n in range(1, 7)], [(False, n) for n in (7, 8)]
    assert told[1:] == [*train, (True, 6), *development, (True, 8)]  # the first is Lightning's own


def test_every_other_process_waits_until_all_is_heard_and_tells_nobody(
    protocol: SyntheticProtocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes the cache while he waits could have another idea of what it is made from, and stop."""
    words, folders = [False, False, False, True, True], []  # the first is Lightning's own

    def hear(*_: Any) -> bool:
        folders.append(len(list(tmp_path.iterdir())))
        return words.pop(0)

    monkeypatch.setattr(lightning.Trainer, "is_global_zero", False)
    monkeypatch.setattr(SingleDeviceStrategy, "broadcast", hear)
    task = make_task(protocol, tmp_path)
    fit(make_model(task), max_epochs=0)
    assert words == [] and folders == [0, 0, 0, 0, 1]
    assert len(task.examples) == 6 and len(task.development) == 2


def test_every_step_is_a_checkpoint(uninterrupted: tuple[dict[str, Tensor], Remember, Path]) -> None:
    _, remember, folder = uninterrupted
    assert sorted(path.name for path in folder.iterdir()) == [f"step={step}.ckpt" for step in range(1, 10)]
    assert len(remember.losses) == 9 and len(remember.logged) == 3


# in the middle of an epoch, at its end, at the beginning of another
@pytest.mark.parametrize("step", [1, 2, 3, 4, 8])
def test_going_on_from_a_checkpoint_equals_never_having_stopped(
    protocol: SyntheticProtocol, cache: Path, uninterrupted: tuple[dict[str, Tensor], Remember, Path], step: int
) -> None:
    expected, whole, folder = uninterrupted
    remember = Remember()
    model = make_model(make_task(protocol, cache), seed=99)
    trainer = fit(model, remember, ckpt_path=folder / f"step={step}.ckpt")
    assert trainer.global_step == 9
    assert remember.losses == whole.losses[step:]
    assert_same(weights_of(model), expected)
    assert remember.logged[-1]["DiarizationErrorRate"] == whole.logged[-1]["DiarizationErrorRate"]


class Stop(Callback):
    """Saves and stops training after so many steps, as a person does who runs out of time."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: lightning.Trainer, *rest: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            raise KeyboardInterrupt


def test_stopping_twice_equals_never_having_stopped(
    protocol: SyntheticProtocol,
    cache: Path,
    uninterrupted: tuple[dict[str, Tensor], Remember, Path],
    tmp_path: Path,
) -> None:
    checkpoint: Path | None = None
    for step in (2, 5):
        with pytest.raises((SystemExit, KeyboardInterrupt)):
            model = make_model(make_task(protocol, cache), seed=step if checkpoint else 0)
            fit(model, Stop(step, tmp_path / f"{step}.ckpt"), ckpt_path=checkpoint)
        checkpoint = tmp_path / f"{step}.ckpt"
    model = make_model(make_task(protocol, cache), seed=7)
    fit(model, ckpt_path=checkpoint)
    assert_same(weights_of(model), uninterrupted[0])


def test_workers_change_nothing(
    protocol: SyntheticProtocol, cache: Path, uninterrupted: tuple[dict[str, Tensor], Remember, Path]
) -> None:
    expected, _, folder = uninterrupted
    model = make_model(make_task(protocol, cache, num_workers=2))
    fit(model)
    assert_same(weights_of(model), expected)
    resumed = make_model(make_task(protocol, cache, num_workers=2), seed=99)
    fit(resumed, ckpt_path=folder / "step=4.ckpt")
    assert_same(weights_of(resumed), expected)


def test_workers_outlive_sigterm(
    protocol: SyntheticProtocol, cache: Path, uninterrupted: tuple[dict[str, Tensor], Remember, Path]
) -> None:
    class Terminate(Callback):
        """Sends workers what a scheduler does, once both have given a batch."""

        def on_train_batch_end(self, trainer: Any, model: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            for started in active_children() if batch_idx == 1 else ():
                started.terminate()
                terminated.append(started)

    terminated: list[BaseProcess] = []
    model = make_model(make_task(protocol, cache, num_workers=2))
    fit(model, Terminate())
    assert len(terminated) >= 6  # of three epochs
    assert_same(weights_of(model), uninterrupted[0])
    assert model.task.val_dataloader().worker_init_fn is outlive_sigterm


def test_another_seed_is_another_training(
    protocol: SyntheticProtocol, cache: Path, uninterrupted: tuple[dict[str, Tensor], Remember, Path]
) -> None:
    remember = Remember()
    fit(make_model(make_task(protocol, cache, seed=1)), remember, max_epochs=1)
    assert remember.losses[0] != uninterrupted[1].losses[0]


def test_training_lowers_the_loss(protocol: SyntheticProtocol, cache: Path) -> None:
    easy = dict.fromkeys(("prompted_probability", "stranger_probability", "shorter_probability"), 0.0)
    task = make_task(protocol, cache, steps_per_epoch=30, batch_size=4, **easy)
    remember = Remember()
    model = make_model(task)
    fit(model, remember, max_epochs=2)
    first, last = sum(remember.losses[:5]) / 5, sum(remember.losses[-5:]) / 5
    assert last < 0.75 * first
    assert remember.logged[-1]["loss/train/sequence"] < remember.logged[0]["loss/train/sequence"]
    assert remember.logged[-1]["loss/train/activity"] < remember.logged[0]["loss/train/activity"]


def test_what_is_logged(uninterrupted: tuple[dict[str, Tensor], Remember, Path]) -> None:
    for logged in uninterrupted[1].logged:
        assert {"DiarizationErrorRate", "loss/train/sequence", "loss/train/activity"} <= set(logged)
        assert 0 <= logged["DiarizationErrorRate"] < 10


def test_checkpoints_are_models(uninterrupted: tuple[dict[str, Tensor], Remember, Path]) -> None:
    expected, _, folder = uninterrupted
    model = Model.from_pretrained(folder / "step=9.ckpt")
    assert isinstance(model, Pix2Seq)
    assert model.vocabulary == Vocabulary(window=12.0, resolution=0.04, num_speakers=3)
    assert_same(weights_of(model), expected)


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


def test_a_model_is_validated_as_it_is_before_any_training(
    protocol: SyntheticProtocol, uninterrupted: tuple[dict[str, Tensor], Remember, Path], tmp_path: Path
) -> None:
    expected, remember, folder = uninterrupted
    model = Model.from_pretrained(folder / "step=9.ckpt").eval()
    task = model.task = make_task(protocol, tmp_path)
    (logged,) = make_trainer().validate(model, verbose=False)
    assert logged == {"DiarizationErrorRate": remember.logged[-1]["DiarizationErrorRate"]}
    assert [path.name for path in tmp_path.iterdir()] == ["development"]
    assert not model.training
    assert_same(weights_of(model), expected)
    heard = task.development
    fit(model, max_epochs=1)
    assert model.training and len(task.examples) == 6 and task.development is heard


def test_a_model_is_validated_again_after_training(protocol: SyntheticProtocol, cache: Path) -> None:
    remember = Remember()
    model = make_model(make_task(protocol, cache))
    fit(model, remember, max_epochs=1)
    (logged,) = make_trainer().validate(model, verbose=False)
    assert logged == {"DiarizationErrorRate": remember.logged[-1]["DiarizationErrorRate"]}


def test_a_cache_of_other_labels_is_refused(protocol: SyntheticProtocol, cache: Path, tmp_path: Path) -> None:
    fit(make_model(make_task(protocol, tmp_path)), max_epochs=1)
    train, development = (protocol._simulators[subset] for subset in ("train", "development"))
    loose = SyntheticProtocol("Toy", train, development, labels=Labels(padding=0.2), num_train=6, num_development=2)
    with pytest.raises(CacheError, match="labels merge_pauses=0,padding=0.2"):
        fit(make_model(make_task(loose, tmp_path)), max_epochs=1)


def test_unknown_options_are_named_and_known_ones_listed(protocol: SyntheticProtocol, cache: Path) -> None:
    known = (
        "chunk, compact_probability, dense_probability, min_audibility, prompt_duration, prompted_probability, "
        "shifted_probability, shorter_probability, stranger_probability"
    )
    own = "protocol, cache, model_window, num_speakers, .*activity_weight, learning_rate, seed"
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


@pytest.mark.parametrize("name", ["limit_train_batches", "overfit_batches"])
@pytest.mark.parametrize("value", [2, 0.9])
def test_limits_that_cut_epochs_short_are_refused(
    protocol: SyntheticProtocol, cache: Path, name: str, value: float
) -> None:
    complaint = f"^Trainer: {name}={value} was given, .* all of its 3 steps. Use a smaller steps_per_epoch instead.$"
    with pytest.raises(ArgumentError, match=complaint):
        fit(make_model(make_task(protocol, cache)), **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [{"limit_train_batches": 1.0}, {"limit_train_batches": 3}, {"limit_val_batches": 1}])
def test_limits_that_leave_epochs_whole_are_taken(
    protocol: SyntheticProtocol, cache: Path, uninterrupted: tuple[dict[str, Tensor], Remember, Path], limit: Any
) -> None:
    model = make_model(make_task(protocol, cache))
    assert fit(model, **limit).global_step == 9
    assert_same(weights_of(model), uninterrupted[0])


def test_a_fast_run_for_developers_takes_as_many_steps_as_asked_for(protocol: SyntheticProtocol, cache: Path) -> None:
    trainer = fit(make_model(make_task(protocol, cache)), fast_dev_run=2)
    assert trainer.global_step == 2 and "DiarizationErrorRate" in trainer.callback_metrics


def test_models_that_were_loaded_are_trained_with_dropout(protocol: SyntheticProtocol, cache: Path) -> None:
    class Modes(Callback):
        def on_train_batch_start(self, trainer: Any, model: Any, batch: Any, batch_idx: int) -> None:
            modes.update(module.training for module in model.modules() if isinstance(module, torch.nn.Dropout))

    modes: set[bool] = set()
    model = make_model(make_task(protocol, cache))
    for _ in range(2):
        fit(model.eval(), Modes(), max_epochs=2)
    assert modes == {True}
    with pytest.raises(ValueError, match="accumulate_grad_batches=2"):
        fit(model, max_epochs=3, accumulate_grad_batches=2)


def test_the_learning_rate_is_that_of_the_task(protocol: SyntheticProtocol, cache: Path) -> None:
    first, second = (make_model(make_task(protocol, cache, learning_rate=rate)) for rate in (1e-3, 1e-9))
    before = first.embed_content.weight.clone()
    for model in (first, second):
        fit(model, max_epochs=1)
    moved = [(model.embed_content.weight - before).abs().max().item() for model in (first, second)]
    assert moved[0] > 1e-4 and moved[1] < 1e-7


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
    said = [str(warning.message) for warning in caught if "development" in str(warning.message)]
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


@pytest.mark.parametrize("subset", ["train", "development"])
def test_a_protocol_with_an_empty_set_is_refused(protocol: SyntheticProtocol, cache: Path, subset: str) -> None:
    simulators = {name: protocol._simulators[name] for name in ("train", "development")}
    sizes = {"num_train": 1, "num_development": 1, f"num_{subset}": 0}
    with pytest.raises(ArgumentError, match=f"Synthetic.SpeakerDiarization.Empty has no file in its {subset} set"):
        make_task(SyntheticProtocol("Empty", **simulators, **sizes), cache)


@pytest.mark.parametrize("none", [{"max_epochs": 0}, {"max_steps": 0}, {"max_epochs": -1, "max_steps": 0}])
def test_a_training_without_steps_changes_nothing(
    protocol: SyntheticProtocol, cache: Path, none: dict[str, int]
) -> None:
    model = make_model(make_task(protocol, cache))
    before = weights_of(model)
    assert fit(model, **none).global_step == 0  # type: ignore[arg-type]
    after = weights_of(model)  # those of layers that depend on the vocabulary included
    assert_same({name: after[name] for name in before}, before)


def test_a_training_without_end_is_refused(protocol: SyntheticProtocol, cache: Path) -> None:
    with pytest.raises(ValueError, match="neither max_epochs nor max_steps was given, but the learning rate"):
        fit(make_model(make_task(protocol, cache)), max_epochs=-1, max_time="00:00:00:01")


def test_every_precision_that_the_recipe_offers_trains(
    protocol: SyntheticProtocol, cache: Path, load_recipe: Callable[[str], ModuleType]
) -> None:
    for precision in load_recipe("train.py").PRECISIONS:
        model = make_model(make_task(protocol, cache))
        before = model.embed_content.weight.clone()
        fit(model, max_epochs=1, precision=precision)
        after = model.embed_content.weight
        assert after.isfinite().all() and not torch.equal(before, after)


def test_steps_of_an_epoch(protocol: SyntheticProtocol, cache: Path) -> None:
    task = make_task(protocol, cache, steps_per_epoch=5, batch_size=3)
    assert task.train__len__() == 15
    assert task.vocabulary.size == len(task.specifications.classes) == 2 + 300 + 3


def test_time_bins_are_those_of_frontends(protocol: SyntheticProtocol, cache: Path) -> None:
    task = make_task(protocol, cache)
    assert task.vocabulary.resolution == make_model(task).bin_duration == 0.04
    with pytest.raises(TypeError, match="no option resolution"):
        make_task(protocol, cache, resolution=0.02)
