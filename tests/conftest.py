"""What several tests share: tiny models, pipelines and protocols, commands and recipes."""

import os

os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # before pyannote.audio is imported: report no usage

import importlib.util
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import soundfile
import torch
import yaml
from command import write_talk
from pipelines import save_checkpoint, with_params
from pitched import RATE, of_speakers, tone
from talks import LOUD, QUIET, TELLER, file
from toy import write_toy_voices

from pyannote_pix2seq import cli
from pyannote_pix2seq.evaluation.comparison import Evaluation, evaluate
from pyannote_pix2seq.evaluation.system import System
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.pipeline import Pix2SeqDiarization
from pyannote_pix2seq.protocol import SyntheticProtocol
from pyannote_pix2seq.simulation import Acoustics, PlainTurns, Simulator, Voices
from pyannote_pix2seq.specifications import specifications_of
from pyannote_pix2seq.vocabulary import Vocabulary

RECIPES = Path(__file__).parents[1] / "recipes"

torch.set_num_threads(1)  # the models of these tests are too small to share


@pytest.fixture(scope="module")
def float32() -> Iterator[None]:
    """Nothing is computed in bfloat16, even where that is faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyannote_pix2seq.frontends.bfloat16.has_bfloat16", lambda device: False)
        yield


def make_tiny_model() -> Pix2Seq:
    """One narrow layer over mel-spectrograms: 20 s windows, bins of 40 ms, 4 speakers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(38)
        model = Pix2Seq(frontend="mel", width=32, num_layers=1, num_heads=2)
        model.specifications = specifications_of(Vocabulary(window=20.0, resolution=0.04, num_speakers=4))
        model.build()
        with torch.no_grad():
            model.pointing.rate.weight.mul_(4)  # some turns are short, some overlap
    return model.eval()


@pytest.fixture
def tiny_model() -> Pix2Seq:
    """The same random weights in every test."""
    return make_tiny_model()


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that `Pipeline.from_pretrained` takes: chunks of 10 s, the tiny model."""
    folder = tmp_path_factory.mktemp("tiny_pipeline")
    (folder / "model").mkdir()
    save_checkpoint(make_tiny_model(), folder / "model" / "pytorch_model.bin")
    pipeline = {
        "name": "pyannote_pix2seq.pipeline.Pix2SeqDiarization",
        "params": {"model": "$model/model", "chunk": 10.0},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({"pipeline": pipeline}))
    return folder


@pytest.fixture(scope="session")
def pipeline(tiny_pipeline: Path) -> Pix2SeqDiarization:
    """The tiny pipeline, of 12 turns a chunk at most: random weights would write on and on."""
    loaded = with_params(tiny_pipeline, decoding={"max_turns": 12})
    assert isinstance(loaded, Pix2SeqDiarization)
    return loaded


@pytest.fixture(scope="session")
def model() -> Pix2Seq:
    """One that hears whose voice it is, of three speakers."""
    return of_speakers(3)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of people to enrol, each of whom is a tone."""
    folder = tmp_path_factory.mktemp("people")
    for name, frequency in (("ann", 150), ("bob", 400), ("zoe", 550)):
        soundfile.write(folder / f"{name}.wav", tone(frequency, 6.0, seed=9)[0].numpy(), RATE)
    return {name: folder / f"{name}.wav" for name in ("ann", "bob", "zoe")}


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recording, in the folder that relative paths are of."""
    monkeypatch.chdir(tmp_path)
    return write_talk(tmp_path / "talk.wav")


@pytest.fixture
def diarize(tiny_pipeline: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, list[str]]]:
    """Run `diarize` with the tiny pipeline: status, stdout and the lines of stderr."""

    def run(*options: object, model: Path = tiny_pipeline) -> tuple[int, str, list[str]]:
        status = cli.main(["diarize", *(str(option) for option in options), "--model", str(model)])
        said = capsys.readouterr()
        return status, said.out, said.err.splitlines()

    return run


@pytest.fixture(scope="session")
def run_recipe() -> Callable[..., None]:
    """Run a recipe as its command would: `run_recipe("train.py", "--into", folder)`."""

    def run(name: str, *options: object) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [name, *map(str, options)])
            patch.syspath_prepend(str((RECIPES / name).parent))
            runpy.run_path(str(RECIPES / name), run_name="__main__")

    return run


@pytest.fixture(scope="session")
def load_recipe() -> Callable[[str], ModuleType]:
    """Import a recipe anew, to test what is in it: `load_recipe("train.py").average`."""

    def load(name: str) -> ModuleType:
        specification = importlib.util.spec_from_file_location(Path(name).stem, RECIPES / name)
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        sys.modules[specification.name] = module  # where dataclasses look for their module
        try:
            specification.loader.exec_module(module)
        finally:
            del sys.modules[specification.name]
        return module

    return load


@pytest.fixture
def teller(tmp_path: Path) -> Callable[..., System]:
    """A system that says that two people share the time, if there is enough of it."""

    def make(name: str, shortest: float = 0.0, confidence: str = "None") -> System:
        script = tmp_path / f"{name}.py"
        script.write_text(TELLER.format(shortest=shortest, confidence=confidence))
        return System.of_peer(f"{name}={script}")

    return make


@pytest.fixture
def evaluation(teller: Callable[..., System]) -> Evaluation:
    """Of two systems on two recordings."""
    systems = [teller("sure", confidence="[0.9, 0.5]"), teller("mute")]
    return evaluate("Toy.SpeakerDiarization.All", [file(LOUD), file(QUIET, 3.0)], systems, threads=1)


@pytest.fixture(scope="session")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> SyntheticProtocol:
    """Six training and two development conversations of 6 s."""
    folder = write_toy_voices(tmp_path_factory.mktemp("voices"), num_train=3, num_dev=3)
    train, dev = (
        Simulator(Voices(folder, split), PlainTurns(max_speakers=2), Acoustics.none(), duration=6.0)
        for split in ("train", "dev")
    )
    return SyntheticProtocol("Toy", train, dev, num_train=6, num_development=2)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what was heard of `protocol`, once for all tests."""
    return tmp_path_factory.mktemp("cache")
