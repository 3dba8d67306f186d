"""What `import pyannote_pix2seq` gives, and what it costs."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import pyannote_pix2seq

ROOT = Path(__file__).parents[1]


def test_the_public_surface():
    assert pyannote_pix2seq.__all__ == [
        "PRETRAINED",
        "PRETRAINED_MEL",
        "AudioError",
        "Enrolment",
        "EnrolmentError",
        "ModelError",
        "Pix2Seq",
        "Pix2SeqDiarization",
        "Pix2SeqError",
        "Pix2SeqOutput",
        "SequenceDiarization",
        "SpeakerCountError",
        "SyntheticProtocol",
        "Triplet",
        "Vocabulary",
        "__version__",
    ]


def test_every_public_name_is_there_and_says_what_it_is():
    for name in set(pyannote_pix2seq.__all__) - {"PRETRAINED", "PRETRAINED_MEL", "__version__"}:
        public = getattr(pyannote_pix2seq, name)
        assert (public.__name__, public.__module__.split(".")[0]) == (name, "pyannote_pix2seq")
        assert public.__doc__


def test_the_four_contracts_of_pyannote_are_public():
    from pyannote.audio import Model, Pipeline
    from pyannote.audio.core.task import Task
    from pyannote.database.protocol import SpeakerDiarizationProtocol

    assert issubclass(pyannote_pix2seq.Pix2Seq, Model)
    assert issubclass(pyannote_pix2seq.SequenceDiarization, Task)
    assert issubclass(pyannote_pix2seq.Pix2SeqDiarization, Pipeline)
    assert issubclass(pyannote_pix2seq.SyntheticProtocol, SpeakerDiarizationProtocol)


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'Pix2Sequence'.*it has PRETRAINED, PRETRAINED_MEL, AudioError,"):
        _ = pyannote_pix2seq.Pix2Sequence
    assert not hasattr(pyannote_pix2seq, "utils")


@pytest.mark.parametrize(("name", "folder"), [("PRETRAINED", "pretrained"), ("PRETRAINED_MEL", "pretrained_mel")])
def test_pretrained_pipelines_lie_in_the_package(name, folder):
    path = Path(pyannote_pix2seq.__file__).parent / folder
    assert getattr(pyannote_pix2seq, name) == path
    assert {"README.md", "config.yaml", "pix2seq"} <= {file.name for file in path.iterdir()}


def test_the_version_is_that_of_the_installation():
    try:
        installed = version("pyannote-pix2seq")
    except PackageNotFoundError:
        installed = "0+unknown"
    assert pyannote_pix2seq.__version__ == installed


@pytest.mark.parametrize("module", ["pyannote_pix2seq", "pyannote_pix2seq.cli", "pyannote_pix2seq.evaluation.system"])
def test_importing_is_light(module):
    heavy = "{'torch', 'numpy', 'matplotlib', 'pyannote.audio', 'pyannote.core'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_the_architecture_page_says_what_is_in_every_file_and_folder():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "pyannote_pix2seq"
    modules = {path.name for path in package.glob("[!_]*.py")}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert {name for name in modules | folders if f"`{name}`" in page} == modules | folders
