"""The recipes that train a model and make a pipeline of it, from scratch and on toy voices."""

from __future__ import annotations

import json
import signal
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities import rank_zero_only
from toy import write_toy_voices

from pyannote_pix2seq import PRETRAINED
from pyannote_pix2seq.atomic import part_of
from pyannote_pix2seq.checkpoints import ModelError, load_checkpoint, load_model
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.frontends import SpeakerFrontend
from pyannote_pix2seq.loading import load_diarization
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.training import conversations, run
from pyannote_pix2seq.training.run import RunError, check_settings, fit

pytestmark = pytest.mark.filterwarnings("ignore")  # of Lightning: few workers, few steps, log intervals


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, run_recipe: Callable[..., None]) -> Path:
    """Of a model that was never trained before, after two steps whose weights were averaged."""
    folder = tmp_path_factory.mktemp("training")
    write_toy_voices(folder / "voices")
    run_recipe("train.py", *again(folder))
    return folder / "checkpoints" / "last.ckpt"


def again(run: Path) -> list[object]:
    """Options of `checkpoint`, with which its run is over."""
    sizes = {"conversations": 2, "development": 1, "duration": 4, "batch-size": 2, "steps": 2, "validate-every": 2}
    options = [f"--{name}={size}" for name, size in {**sizes, "jobs": 0}.items()]
    return ["--voices", run / "voices", "--difficulty", "Easy", *options, "--into", run]


def test_a_run_that_is_over_is_not_said_to_be_of_what_it_has_not_heard(
    checkpoint: Path, run_recipe: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_recipe("train.py", *again(checkpoint.parents[1]))
    assert f"Done: {checkpoint}, of step 2." in capsys.readouterr().out
    torch.save(SpeakerFrontend().state_dict(), tmp_path / "frontend.pt")
    with pytest.raises(SystemExit, match="began otherwise: frontend was '.*' and is '.*Go on with what it began"):
        run_recipe("train.py", *again(checkpoint.parents[1]), "--frontend", tmp_path / "frontend.pt")
    with pytest.raises(SystemExit, match="conversations was 'Synthetic.* and is '.*labels .*padding=0.2"):
        run_recipe("train.py", *again(checkpoint.parents[1]), "--padding", 0.2)


def test_a_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    check_settings(tmp_path, seed=1)
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    check_settings(tmp_path, seed=1, frontend="new")
    with pytest.raises(RunError, match="began otherwise: seed was 1 and is 2. Go"):
        check_settings(tmp_path, seed=2, frontend="new")


def test_a_run_goes_on_as_it_began_or_not_at_all(
    checkpoint: Path, run_recipe: Callable[..., None], tmp_path: Path
) -> None:
    run = checkpoint.parents[1]
    noted = json.loads((run / "checkpoints" / "settings.json").read_text())
    heard = {
        subset: json.loads((run / "tokens" / subset / "origin.json").read_text()) for subset in ("train", "development")
    }
    assert noted == {
        "seed": 0,
        "batch_size": 2,
        "processes": 1,
        "initial_weights": None,
        "learning_rate": 1e-3,
        "frontend": heard["train"]["frontend"],
        "conversations": heard["train"]["source"],
        "development": heard["development"]["source"],
    }
    with pytest.raises(SystemExit, match="began otherwise: seed was 0 and is 1. Go on"):
        run_recipe("train.py", *again(run), "--seed=1")
    check_settings(tmp_path / "new", seed=1)
    check_settings(tmp_path / "new", seed=2)  # nothing came of the first
    (tmp_path / "new" / "checkpoints" / "last.ckpt").touch()
    check_settings(tmp_path / "new", seed=2)
    with pytest.raises(RunError, match="seed was . and is 1"):
        check_settings(tmp_path / "new", seed=1)
    (tmp_path / "new" / "checkpoints" / "settings.json").unlink()
    with pytest.raises(RunError, match=r"last.ckpt is there, but not settings.json"):
        check_settings(tmp_path / "new", seed=2)


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
        return -self.count

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.validated = self.global_step
        for number in self.signals if self.step == "validation" else ():
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

    def torn(trainer: Trainer, path: Path) -> None:
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


def test_who_ends_a_run_twice_does_not_wait_for_a_step(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        count(Counter(5, signal.SIGINT, signal.SIGINT), tmp_path)
    assert steps_kept(tmp_path) == 4  # before what was validated


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


def state_dict(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path)["state_dict"]


def test_a_model_is_trained_from_scratch(checkpoint: Path) -> None:
    found = load_checkpoint(checkpoint)
    assert (found["global_step"], found["hyper_parameters"]["frontend"]) == (2, "mel")
    assert {"embed_speaker.weight", "name.weight", "frames.weight"} <= set(found["state_dict"])
    assert (checkpoint.parent / ".." / "logs" / "version_0" / "metrics.csv").exists()


def test_a_pipeline_without_voices_reads_a_chain_behind_clips(
    checkpoint: Path, run_recipe: Callable[..., None], tmp_path: Path
) -> None:
    run_recipe("export.py", checkpoint, tmp_path)
    params = yaml.safe_load((tmp_path / "config.yaml").read_text())["pipeline"]["params"]
    decoding = {"method": "consensus", "temperature": 0.9, "num_samples": 32}
    assert params == {"model": "$model/pix2seq", "decoding": decoding}  # nothing that is so by default
    pipeline = load_diarization(tmp_path)
    assert (pipeline.strategy, pipeline.prompts) == ("chain", "clip")
    assert pipeline.decoding == DecodingOptions(**decoding)
    exported = state_dict(tmp_path / "pix2seq" / "pytorch_model.bin")
    assert all(torch.equal(exported[name].float(), weight) for name, weight in state_dict(checkpoint).items())


@pytest.mark.parametrize("name", ["config.yaml", "thesis.tex"])
@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_nothing_is_exported_into_a_folder_of_something_else(
    name: str, options: list[str], checkpoint: Path, run_recipe: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / name).write_text("mine: true")
    with pytest.raises(SystemExit, match=f"^export.py: {tmp_path} .* holds {name}, which is none. Name another folder"):
        run_recipe("export.py", checkpoint, tmp_path, *options)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_pipeline_is_replaced_only_when_asked(
    checkpoint: Path, run_recipe: Callable[..., None], tmp_path: Path
) -> None:
    pipeline = tmp_path / "pipeline"
    weights, config = pipeline / "pix2seq" / "pytorch_model.bin", pipeline / "config.yaml"
    run_recipe("export.py", checkpoint, pipeline)
    config.write_text(config.read_text() + "# mine\n")
    for missing in (None, config):  # as if a run was killed between the two files
        size = weights.stat().st_size
        if missing:
            missing.unlink()
        with pytest.raises(SystemExit, match=f"^export.py: {pipeline} holds a pipeline already. .* with --overwrite"):
            run_recipe("export.py", checkpoint, pipeline, "--float16")
        assert weights.stat().st_size == size
        assert missing or config.read_text().endswith("# mine\n")
        run_recipe("export.py", checkpoint, pipeline, "--float16", "--overwrite")
        assert weights.stat().st_size <= size and "mine" not in config.read_text()
    assert load_diarization(pipeline).strategy == "chain"
    config.rename(part_of(config))  # killed while the second file was written
    run_recipe("export.py", checkpoint, pipeline, "--overwrite")
    (pipeline / "pix2seq" / "thesis.tex").touch()
    config.unlink()
    with pytest.raises(SystemExit, match=f"{pipeline} is to be the folder of a pipeline, and holds pix2seq, which is"):
        run_recipe("export.py", checkpoint, pipeline, "--overwrite")


def test_float16_is_half_as_large(checkpoint: Path, run_recipe: Callable[..., None], tmp_path: Path) -> None:
    run_recipe("export.py", checkpoint, tmp_path, "--float16")
    weights = tmp_path / "pix2seq" / "pytorch_model.bin"
    assert weights.stat().st_size <= 7e6
    exported, exact = state_dict(weights), state_dict(checkpoint)
    assert {weight.dtype for weight in exported.values()} == {torch.float16}
    assert all(torch.allclose(exported[name].float(), exact[name], atol=1e-6, rtol=1e-3) for name in exact)


def test_a_frontend_replaces_that_of_the_initial_model(
    load_recipe: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    recipe = load_recipe("train.py")
    refined = SpeakerFrontend().state_dict()
    refined["refinement.correct.bias"] += 1
    torch.save(refined, tmp_path / "frontend.pt")
    initial = PRETRAINED / "pix2seq" / "pytorch_model.bin"
    model = recipe.make_model(Namespace(initial=initial, frontend=tmp_path / "frontend.pt", seed=0), task=None)
    assert all(torch.equal(weight, refined[name]) for name, weight in model.frontend.state_dict().items())
    trained = state_dict(initial)
    assert torch.equal(model.name.weight, trained["name.weight"])


def test_a_pipeline_is_gone_on_from_by_its_folder(load_recipe: Callable[[str], ModuleType], tmp_path: Path) -> None:
    recipe = load_recipe("train.py")
    initial = recipe.model_of(str(PRETRAINED))
    model = recipe.make_model(Namespace(initial=initial, frontend=None, seed=0), task=None)
    trained = state_dict(PRETRAINED / "pix2seq" / "pytorch_model.bin")
    assert torch.equal(model.name.weight, trained["name.weight"])
    assert recipe.model_of(str(PRETRAINED / "pix2seq")) == initial
    assert recipe.model_of(str(tmp_path)) == tmp_path
    with pytest.raises(ModelError, match=f"{tmp_path} is not a checkpoint"):
        recipe.make_model(Namespace(initial=tmp_path, frontend=None, seed=0), task=None)


def test_a_run_is_known_by_its_initial_weights_wherever_they_are(
    load_recipe: Callable[[str], ModuleType], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe("train.py")
    monkeypatch.setattr(recipe, "origin", lambda protocol, subset: subset)

    def settings(initial: Path | None) -> dict[str, object]:
        options = Namespace(initial=initial, frontend=None, seed=0, batch_size=2, processes=1, learning_rate=1e-3)
        return recipe.settings(options, recipe.make_model(options, task=None) if initial else Pix2Seq(), None)

    monkeypatch.chdir(checkpoint.parent)
    assert settings(checkpoint) == settings(Path(checkpoint.name))
    assert settings(checkpoint)["initial_weights"] != settings(PRETRAINED / "pix2seq")["initial_weights"]
    assert settings(None)["initial_weights"] is None


def test_a_frontend_of_another_kind_is_refused(
    load_recipe: Callable[[str], ModuleType], checkpoint: Path, tmp_path: Path
) -> None:
    recipe = load_recipe("train.py")
    torch.save(SpeakerFrontend().state_dict(), tmp_path / "frontend.pt")
    options = Namespace(initial=checkpoint, frontend=tmp_path / "frontend.pt", seed=0)
    with pytest.raises(ModelError, match=r"frontend\.pt does not hold .* of a MelFrontend .*recipes/refine\.py"):
        recipe.make_model(options, task=None)


def test_what_a_checkpoint_lacks_is_said(tmp_path: Path) -> None:
    """Those of before there was a refinement, for instance."""
    found = load_checkpoint(PRETRAINED / "pix2seq" / "pytorch_model.bin")
    found["state_dict"] = {name: weight for name, weight in found["state_dict"].items() if "refinement" not in name}
    torch.save(found, tmp_path / "old.bin")
    with pytest.raises(ModelError, match=r"old\.bin is not a .* of this version .*Missing key.*frontend\.refinement"):
        load_model(tmp_path / "old.bin")


def test_averaged_weights_soon_forget_where_training_began(load_recipe: Callable[[str], ModuleType]) -> None:
    average = load_recipe("train.py").average
    averaged, frozen = torch.zeros(2), torch.full((2,), 0.1)
    for step in range(1, 400):
        average([averaged, frozen], [torch.ones(2), torch.full((2,), 0.1)], torch.tensor(step))
    assert averaged.min() >= 0.999  # 0.998 at every step would leave it at 0.55
    assert torch.equal(frozen, torch.full((2,), 0.1))
    late = torch.zeros(1)
    average([late], [torch.ones(1)], torch.tensor(100_000))
    assert late.item() == pytest.approx(0.002)


def test_what_a_difficulty_decides_is_not_asked_for_twice(
    run_recipe: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_recipe("train.py", "--voices", tmp_path, "--difficulty", "Easy", "--hesitations", 0.2, "--into", tmp_path)
    assert "Leave out --hesitations" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "argument --steps: '0' is not a whole number, 1 or more"),
        (["--validate-every", "0"], "argument --validate-every: '0' is not a whole number, 1 or more"),
        (["--batch-size", "0"], "argument --batch-size: '0' is not a whole number, 1 or more"),
        (["--development", "0"], "argument --development: '0' is not a whole number, 1 or more"),
        (["--conversations", "0"], "argument --conversations: '0' is not a whole number, 1 or more"),
        (["--jobs", "-1"], "argument --jobs: '-1' is not a whole number from 0 to"),
        (["--seed", "-1"], "argument --seed: '-1' is not a whole number from 0 to"),
    ],
)
@pytest.mark.parametrize("recipe", ["train.py", "refine.py"])
def test_what_cannot_be_trained_is_refused_before_anything_is_heard(
    recipe: str,
    options: list[str],
    message: str,
    tmp_path: Path,
    run_recipe: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run_recipe(
            recipe, "--voices", tmp_path, "--difficulty", "Easy", "--frontend", "no.pt", "--into", tmp_path, *options
        )
    assert message in " ".join(capsys.readouterr().err.split())


def test_processes_share_a_batch_evenly(
    tmp_path: Path, run_recipe: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_recipe("train.py", "--voices", tmp_path, "--difficulty", "Easy", "--into", tmp_path, "--processes", 3)
    assert "--processes 3 cannot share --batch-size 16 evenly" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("kind", [["--turns", "rttm/"], ["--difficulty", "Meeting"]])
@pytest.mark.parametrize("recipe", ["train.py", "refine.py"])
def test_without_the_extra_it_is_said_at_once_what_to_install(
    recipe: str,
    kind: list[str],
    tmp_path: Path,
    run_recipe: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(conversations, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        run_recipe(recipe, "--voices", tmp_path, *kind, "--frontend", "no.pt", "--into", tmp_path)
    said = " ".join(capsys.readouterr().err.split())
    assert "pip install 'pyannote-pix2seq[simulation]', or try --difficulty Easy" in said
    with pytest.raises(SystemExit, match=r"No voices\.json|There is no file no\.pt"):  # goes on
        run_recipe(recipe, "--voices", tmp_path, "--difficulty", "Easy", "--frontend", "no.pt", "--into", tmp_path)


def test_several_processes_are_done_once(
    checkpoint: Path,
    load_recipe: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for rank in (0, 1):
        monkeypatch.setattr(rank_zero_only, "rank", rank)
        load_recipe("train.py").say_done(checkpoint)
    assert capsys.readouterr().out.count("Done:") == 1
