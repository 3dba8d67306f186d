"""The recipes that train a model and make a pipeline of it, from scratch and on toy voices."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from lightning.pytorch.utilities import rank_zero_only
from toy import write_toy_voices

from pyannote_pix2seq import PRETRAINED
from pyannote_pix2seq.atomic import part_of
from pyannote_pix2seq.checkpoints import load_checkpoint, load_model
from pyannote_pix2seq.console import conversation_options
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.frontends import SpeakerFrontend
from pyannote_pix2seq.loading import load_diarization
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.network.compensation import UNCOMPENSATED
from pyannote_pix2seq.sources import ModelError
from pyannote_pix2seq.training.run import RunError, check_settings

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
        "num_samples": 0,
        "num_conversations": 2,
        "frontend": heard["train"]["frontend"],
        "conversations": heard["train"]["source"],
        "development": heard["development"]["source"],
    }
    with pytest.raises(SystemExit, match="began otherwise: seed was 0 and is 1. Go on"):
        run_recipe("train.py", *again(run), "--seed=1")
    with pytest.raises(SystemExit, match="began otherwise: num_samples was 0 and is 2. Go on"):
        run_recipe("train.py", *again(run), "--num-samples=2")
    with pytest.raises(SystemExit, match="began otherwise: num_conversations was 2 and is 60;"):
        run_recipe("train.py", *again(run), "--conversations=60")
    with pytest.raises(SystemExit, match="num_samples=1 was given; it has to be a whole number, 2 or more, or 0"):
        run_recipe("train.py", *again(run), "--num-samples=1")
    check_settings(tmp_path / "new", seed=1)
    check_settings(tmp_path / "new", seed=2)  # nothing came of the first
    (tmp_path / "new" / "checkpoints" / "last.ckpt").touch()
    check_settings(tmp_path / "new", seed=2)
    with pytest.raises(RunError, match="seed was . and is 1"):
        check_settings(tmp_path / "new", seed=1)
    (tmp_path / "new" / "checkpoints" / "settings.json").unlink()
    with pytest.raises(RunError, match=r"last.ckpt is there, but not settings.json"):
        check_settings(tmp_path / "new", seed=2)


def state_dict(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path)["state_dict"]


def test_a_model_is_trained_from_scratch(checkpoint: Path) -> None:
    found = load_checkpoint(checkpoint)
    assert (found["global_step"], found["hyper_parameters"]["frontend"]) == (2, "voiced_mel")
    assert {"embed_speaker.weight", "name.weight", "frames.weight"} <= set(found["state_dict"])
    assert (checkpoint.parent / ".." / "logs" / "version_0" / "metrics.csv").exists()


def test_a_pipeline_whose_frontend_is_learned_reads_behind_clips(
    checkpoint: Path, run_recipe: Callable[..., None], tmp_path: Path
) -> None:
    run_recipe("export.py", checkpoint, tmp_path)
    params = yaml.safe_load((tmp_path / "config.yaml").read_text())["pipeline"]["params"]
    decoding = {"method": "consensus", "temperature": 0.8, "num_samples": 32, "threshold": 0.45}
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
    assert weights.stat().st_size <= 8e6
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
    assert model.compensation.least == pytest.approx(UNCOMPENSATED)  # that of before is of other voices


def test_a_pipeline_is_gone_on_from_by_its_folder(load_recipe: Callable[[str], ModuleType], tmp_path: Path) -> None:
    recipe = load_recipe("train.py")
    initial = recipe.model_of(str(PRETRAINED))
    model = recipe.make_model(Namespace(initial=initial, frontend=None, seed=0), task=None)
    trained = state_dict(PRETRAINED / "pix2seq" / "pytorch_model.bin")
    assert torch.equal(model.name.weight, trained["name.weight"])
    assert torch.equal(model.compensation.whitening, trained["compensation.whitening"])
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
        numbers = {"batch_size": 2, "processes": 1, "learning_rate": 1e-3, "num_samples": 0, "conversations": 6}
        options = Namespace(initial=initial, frontend=None, seed=0, **numbers)
        return recipe.settings(options, recipe.make_model(options, task=None) if initial else Pix2Seq(), None)

    monkeypatch.chdir(checkpoint.parent)
    assert settings(checkpoint) == settings(Path(checkpoint.name))
    assert settings(checkpoint)["initial_weights"] != settings(PRETRAINED / "pix2seq")["initial_weights"]
    assert settings(None)["initial_weights"] is None


def test_compensation_is_no_part_of_a_run_and_that_of_learned_voices_ends_with_them(
    load_recipe: Callable[[str], ModuleType], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe("train.py")
    monkeypatch.setattr(recipe, "origin", lambda protocol, subset: subset)
    found = load_checkpoint(checkpoint)
    found["state_dict"] = {**found["state_dict"], "compensation.least": torch.tensor(0.1)}
    torch.save(found, tmp_path / "compensated.ckpt")
    numbers = {"batch_size": 2, "processes": 1, "learning_rate": 1e-3, "num_samples": 0, "conversations": 6}
    model, before = load_model(tmp_path / "compensated.ckpt"), load_model(checkpoint)
    options = Namespace(initial=tmp_path / "compensated.ckpt", frontend=None, seed=0, **numbers)
    assert recipe.settings(options, model, None) == recipe.settings(options, before, None)
    assert model.compensation.least == pytest.approx(0.1)
    assert recipe.make_model(options, task=None).compensation.least == pytest.approx(UNCOMPENSATED)


def test_a_frontend_of_another_kind_is_refused(
    load_recipe: Callable[[str], ModuleType], checkpoint: Path, tmp_path: Path
) -> None:
    recipe = load_recipe("train.py")
    torch.save(SpeakerFrontend().state_dict(), tmp_path / "frontend.pt")
    options = Namespace(initial=checkpoint, frontend=tmp_path / "frontend.pt", seed=0)
    with pytest.raises(ModelError, match=r"frontend\.pt does not hold .* of a VoicedMelFrontend .*recipes/refine\.py"):
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
    monkeypatch.setattr(conversation_options, "find_spec", lambda name: None)
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
