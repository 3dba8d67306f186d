"""Runs of training: how they end, what is kept of them, and how they go on."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging

from pyannote_pix2seq.checkpoints import load_checkpoint
from pyannote_pix2seq.locking import InUseError, alone
from pyannote_pix2seq.sources import ModelError
from pyannote_pix2seq.training import run
from pyannote_pix2seq.training.run import RunError, check_settings, fit

pytestmark = pytest.mark.filterwarnings("ignore")  # of Lightning: few workers, few steps, log intervals


def test_a_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    check_settings(tmp_path, seed=1)
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    check_settings(tmp_path, seed=1, frontend="new")
    with pytest.raises(RunError, match="began otherwise: seed was 1 and is 2. Go"):
        check_settings(tmp_path, seed=2, frontend="new")


def test_settings_of_a_run_that_has_no_checkpoint_yet_are_not_replaced(tmp_path: Path) -> None:
    check_settings(tmp_path, seed=1)
    with alone(tmp_path), pytest.raises(InUseError, match="is in use by another process"):  # which trains
        check_settings(tmp_path, seed=2)
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    check_settings(tmp_path, seed=1)


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Ctrl-C is listened to, even if the tests run in the background of a script, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Counter(LightningModule):
    """Learns nothing but how many steps there were, and sends itself signals during one of them."""

    def __init__(self, step: int | str | None = None, *signals: int):
        super().__init__()
        self.count = torch.nn.Parameter(torch.zeros(()))
        self.step, self.signals = step, signals

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        for number in self.signals if self.global_step == self.step else ():
            signal.raise_signal(number)
        return -10 * self.count  # a gradient that is clipped to 1

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.validated = self.global_step
        for number in self.signals if self.step in ("validation", f"validation {self.global_step}") else ():
            signal.raise_signal(number)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def count(module: Counter, into: Path) -> int:
    """Train for 6 steps, in epochs of 4; how many there were, by the checkpoint."""
    fit(module, into, 6, torch.zeros(4, 1), torch.zeros(1, 1), accelerator="cpu")
    return steps_kept(into)


def steps_kept(into: Path) -> int:
    found = load_checkpoint(into / "checkpoints" / "last.ckpt")
    assert found["state_dict"]["count"].item() == pytest.approx(found["global_step"], rel=1e-5)
    return found["global_step"]


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_run_that_is_ended_finishes_its_step_and_goes_on(
    tmp_path: Path, number: int, error: type[BaseException]
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(error) as ended:
        count(Counter(1, number), tmp_path)
    assert error is KeyboardInterrupt or ended.value.code == 143
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert steps_kept(tmp_path) == 2
    module = Counter()
    assert count(module, tmp_path) == 6 and module.validated == 4


def test_a_checkpoint_is_whole_or_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert count(Counter(), tmp_path) == 6
    last = tmp_path / "checkpoints" / "last.ckpt"

    def torn(trainer: Trainer, path: Path, weights_only: bool) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save_checkpoint", torn)
        with pytest.raises(OSError, match="No space"):
            fit(Counter(), tmp_path, 8, torch.zeros(4, 1), torch.zeros(1, 1), accelerator="cpu")
    assert steps_kept(tmp_path) == 6 and list(last.parent.iterdir()) == [last]
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(ModelError, match="last.ckpt is damaged"):
        count(Counter(), tmp_path)


def test_nothing_is_said_of_checkpoints_that_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("lightning.pytorch")
    log.addHandler(caplog.handler)  # which does not propagate
    try:
        assert count(Counter(), tmp_path) == 6
    finally:
        log.removeHandler(caplog.handler)
    assert "max_steps=6" in caplog.text and "weights_only" not in caplog.text


def test_who_ends_a_run_twice_does_not_wait_for_a_step(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        count(Counter(5, signal.SIGINT, signal.SIGINT), tmp_path)
    assert steps_kept(tmp_path) == 4  # before what was validated


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_run_that_is_ended_in_its_last_validation_says_so(
    tmp_path: Path, number: int, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        fit(Counter("validation 8", number), tmp_path, 8, torch.zeros(4, 1), torch.zeros(1, 1), accelerator="cpu")
    assert steps_kept(tmp_path) == 8


def test_sigterm_does_not_wait_for_what_is_validated(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        count(Counter("validation", signal.SIGTERM), tmp_path)
    assert ended.value.code == 143 and steps_kept(tmp_path) == 4
    assert count(Counter(), tmp_path) == 6


def test_ctrl_c_stays_ignored_where_it_was(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert count(Counter(1, signal.SIGINT), tmp_path) == 6
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_is_kept_is_averaged_up_to_its_step(tmp_path: Path) -> None:
    data, average = torch.zeros(4, 1), WeightAveraging()
    with pytest.raises(KeyboardInterrupt):
        fit(Counter(1, signal.SIGINT), tmp_path, 6, data, data, [average], accelerator="cpu")
    found = load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert found["averaging_state"]["n_averaged"] == found["global_step"] == 2


def test_now_and_then_a_step_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "EVERY", 3)
    with pytest.raises(KeyboardInterrupt):
        count(Counter(3, signal.SIGINT, signal.SIGINT), tmp_path)
    assert steps_kept(tmp_path) == 3


def test_a_run_of_a_gpu_goes_on_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as on_gpu:
        on_gpu.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        with pytest.raises(KeyboardInterrupt):
            count(Counter(1, signal.SIGINT), tmp_path)
    assert count(Counter(), tmp_path) == 6


def test_a_run_that_is_over_is_not_run_again(tmp_path: Path) -> None:
    assert count(Counter(), tmp_path) == 6
    assert count(Counter(6, signal.SIGINT), tmp_path) == 6
    assert len(list((tmp_path / "logs").iterdir())) == 1
