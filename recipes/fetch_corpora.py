"""Fetch the real corpora that protocols/real.yml registers.

    python recipes/fetch_corpora.py AMI AMI-SDM VoxConverse AISHELL AliMeeting MSDWILD --into protocols/real
    python recipes/fetch_corpora.py VoxConverse --subsets test --into protocols/real
    python recipes/evaluate.py VoxConverse.SpeakerDiarization.Original --registry protocols/real.yml

Needs a network and some 200 GB for all of them, a few for one test set; existing files are not fetched again. Each
corpus has its licence: read it first. Recordings are kept as FLAC, the first channel only. Annotations are those of
their authors: AMI "only words" by BUT, VoxConverse 0.3, AISHELL-4 and MSDWild as published, AliMeeting from its
TextGrid files. All of each recording is scored. When a subset is complete it is checked: number of recordings, 16 kHz,
turns in each of them and none after its end. Archives that you have already, or that have to be fetched by hand, go
into FOLDER/archives.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import sys
import tarfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import soundfile
from pyannote.core import Annotation, Segment
from pyannote.database.util import load_rttm

from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.audio.writing import write
from pyannote_pix2seq.console.arguments import Parser
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.digest import file_digest
from pyannote_pix2seq.errors import Pix2SeqError

GITHUB = "https://github.com/{}/archive/HEAD.zip"
AMI_LABELS = GITHUB.format("BUTSpeechFIT/AMI-diarization-setup")
AMI_AUDIO = "https://groups.inf.ed.ac.uk/ami/AMICorpusMirror/amicorpus/{uri}/audio/{uri}.{microphone}.wav"
VOXCONVERSE_LABELS = GITHUB.format("joonson/voxconverse")
VOXCONVERSE_AUDIO = "https://www.robots.ox.ac.uk/~vgg/data/voxconverse/data/voxconverse_{}_wav.zip"
AISHELL = "https://www.openslr.org/resources/111/{}.tar.gz"
ALIMEETING = "https://speech-lab-share-data.oss-cn-shanghai.aliyuncs.com/AliMeeting/openlr/{}.tar.gz"
MSDWILD_LABELS = GITHUB.format("X-LANCE/MSDWILD")
MSDWILD_AUDIO = (
    "https://drive.usercontent.google.com/download?id=1I5qfuPPGBM9keJKz0VN-OYEeRMJ7dgpl&export=download&confirm=t"
)
MD5 = {"msdwild_wavs.zip": "0057f82daaddf2ce993d1bf0679929c4"}
"""MD5 sums of archives whose authors publish them."""
QUOTED = r'"((?:[^"]|"")*)"'
"""A text in a TextGrid, in which quotes are doubled."""
LATE = 0.5
"""Seconds by which a turn may end after its recording; it is cut there."""
INEXACT = 0.03
"""Tolerance of a number of hours, for rounding and cutting, as a share of it."""
DAMAGED = (EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
"""What reading an archive that is damaged may raise."""


class CorpusError(Pix2SeqError, ValueError):
    """A corpus that cannot be fetched, or is not what it should be."""


class Recording(NamedTuple):
    """A recording of a corpus: its audio, and who speaks when."""

    uri: str
    audio: Callable[[], bytes]
    turns: Annotation


class Archives:
    """Archives and files of a folder, each downloaded when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, url: str, name: str | None = None) -> Path:
        """Path of a file, which is downloaded if it is not there.

        Raises
        ------
        CorpusError
            If it cannot be fetched, or is not the one that its authors published.
        """
        path = self.folder / (name or url.rsplit("/", 1)[-1])
        if not path.exists():
            print(f"fetching {url}", file=sys.stderr)
            try:
                with urllib.request.urlopen(url) as response, atomic_write(path) as part, part.open("wb") as file:
                    shutil.copyfileobj(response, file, 1 << 20)
                    if left := getattr(response, "length", None):  # Python does not say so itself
                        raise CorpusError(
                            f"{url} broke off {left} bytes before its end. Run again, or fetch it by hand."
                        )
            except (OSError, HTTPException) as error:
                raise CorpusError(f"{url} cannot be fetched ({error}). Fetch it by hand to {path}.") from error
        self._check(path)
        return path

    def content(self, url: str) -> bytes:
        """Content of a file, which is downloaded if it is not there."""
        return self.path(url).read_bytes()

    def members(self, path: Path, pattern: str) -> Iterator[tuple[re.Match[str], Callable[[], bytes]]]:
        """Files of a zip or tar archive whose whole name matches, with a function to read each before the next."""
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if match := re.fullmatch(pattern, name):
                        yield match, partial(archive.read, name)
            return
        with tarfile.open(path) as archive:
            for member in archive:
                if (match := re.fullmatch(pattern, member.name)) and (file := archive.extractfile(member)):
                    yield match, file.read

    def turns(self, path: Path, pattern: str) -> dict[str, Annotation]:
        """Turns of each recording in those RTTM files of an archive whose whole names match."""
        contents = (read() for _, read in self.members(path, pattern))
        files = (load_rttm(io.BytesIO(content)) for content in contents if content.strip())
        return {uri: turns for file in files for uri, turns in file.items()}

    def _check(self, path: Path) -> None:
        if path.name in MD5 and (digest := file_digest(path, "md5")) != MD5[path.name]:
            raise CorpusError(f"md5 of {path} is {digest}, not {MD5[path.name]}. Delete it and try again.")


def read_textgrid(content: bytes) -> Annotation:
    """Intervals with a text in a Praat TextGrid in its long form; each tier is a speaker."""
    turns = Annotation()
    for number, tier in enumerate(re.split(r"item \[\d+\]:", content.decode("utf-8"))[1:]):
        speaker = re.findall(rf"name = {QUOTED}", tier)[0].replace('""', '"')
        for start, end, text in re.findall(rf"xmin = ([\d.]+)\s+xmax = ([\d.]+)\s+text = {QUOTED}", tier):
            if text.strip():
                turns[Segment(float(start), float(end)), number] = speaker
    return turns


def ami(archives: Archives, subset: str, microphone: str = "Mix-Headset") -> Iterator[Recording]:
    """AMI with the mix of all headsets, or a single distant microphone."""
    folder = {"development": "dev"}.get(subset, subset)
    labels = archives.path(AMI_LABELS, "AMI.zip")
    for uri, turns in archives.turns(labels, rf".*/only_words/rttms/{folder}/.+\.rttm").items():
        yield Recording(uri, partial(archives.content, AMI_AUDIO.format(uri=uri, microphone=microphone)), turns)


def voxconverse(archives: Archives, subset: str) -> Iterator[Recording]:
    """VoxConverse 0.3, which has no training set."""
    folder = {"development": "dev"}.get(subset, subset)
    turns = archives.turns(archives.path(VOXCONVERSE_LABELS, "voxconverse.zip"), rf".*/{folder}/.+\.rttm")
    for match, read in archives.members(archives.path(VOXCONVERSE_AUDIO.format(folder)), r"(?:.*/)?([^/._]+)\.wav"):
        yield Recording(match[1], read, turns.get(match[1], Annotation()))


def aishell(archives: Archives, subset: str) -> Iterator[Recording]:
    """AISHELL-4, which has no development set."""
    for name in ("train_L", "train_M", "train_S") if subset == "train" else ("test",):
        path = archives.path(AISHELL.format(name))
        turns = archives.turns(path, r".*/[^/.]+\.rttm")
        for match, read in archives.members(path, r".*/([^/.]+)\.(?:flac|wav)"):
            yield Recording(match[1], read, turns.get(match[1], Annotation()))


def alimeeting(archives: Archives, subset: str) -> Iterator[Recording]:
    """AliMeeting with the far-field microphone array; R8001_M8004.TextGrid is that of R8001_M8004_MS801.wav."""
    name = {"train": "Train_Ali_far", "development": "Eval_Ali", "test": "Test_Ali"}[subset]
    path = archives.path(ALIMEETING.format(name))
    labels = archives.members(path, r".*_far/textgrid_dir/([^/.]+)\.TextGrid")
    turns = {match[1]: read_textgrid(read()) for match, read in labels}
    for match, read in archives.members(path, r".*_far/audio_dir/(([^/_.]+_[^/_.]+)[^/.]*)\.wav"):
        yield Recording(match[1], read, turns.get(match[2], Annotation()))


def msdwild(archives: Archives, subset: str) -> Iterator[Recording]:
    """MSDWild: conversations of few speakers are "train" and "test", those of many speakers "many"."""
    name = {"train": "few.train", "test": "few.val", "many": "many.val"}[subset]
    turns = archives.turns(archives.path(MSDWILD_LABELS, "MSDWILD.zip"), rf".*/rttms/{re.escape(name)}\.rttm")
    for match, read in archives.members(archives.path(MSDWILD_AUDIO, "msdwild_wavs.zip"), r"(?:.*/)?([^/._]+)\.wav"):
        if match[1] in turns:
            yield Recording(match[1], read, turns[match[1]])


class Size(NamedTuple):
    """Number of recordings of a subset, and hours where known: from its authors, or from those who have it."""

    recordings: int
    hours: float | None = None


CORPORA: dict[str, tuple[Callable[[Archives, str], Iterator[Recording]], dict[str, Size]]] = {
    "AMI": (ami, {"train": Size(136), "development": Size(18), "test": Size(16)}),
    "AMI-SDM": (partial(ami, microphone="Array1-01"), {"train": Size(136), "development": Size(18), "test": Size(16)}),
    "VoxConverse": (voxconverse, {"development": Size(216), "test": Size(232)}),
    "AISHELL": (aishell, {"train": Size(191), "test": Size(20)}),
    "AliMeeting": (alimeeting, {"train": Size(209, 111.4), "development": Size(8, 4.2), "test": Size(20, 10.8)}),
    "MSDWILD": (msdwild, {"train": Size(2476, 69.1), "test": Size(490, 10.6), "many": Size(177, 4.5)}),
}
"""Reader of each corpus, and sizes of its subsets."""
MINI = {"AMI": r"(ES|IS|TS)\d+a", "AMI-SDM": r"(ES|IS|TS)\d+a"}
"""Recordings of the mini protocols: the first meeting of each group that plays the design scenario."""


def store(recordings: Iterable[Recording], folder: Path, subset: str, size: Size, mini: str | None = None) -> None:
    """Write SUBSET.lst, .rttm and .uem, and the recordings that are not there yet.

    Raises
    ------
    CorpusError
        If something is wrong with a recording, or with the number or duration of all; what can be kept is kept.
    """
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = {"lst": [], "rttm": [], "uem": [], "mini.lst": []}
    problems, hours = [], 0.0
    for uri, audio, turns in recordings:
        try:
            seconds = keep(audio, folder / "audio" / f"{uri}.flac")
            lines["rttm"] += checked(uri, turns, seconds).to_rttm().splitlines()
        except (CorpusError, soundfile.LibsndfileError, *DAMAGED) as error:
            problems.append(f"{uri}: {error}")
            continue
        hours += seconds / 3600
        lines["lst"].append(uri)
        lines["uem"].append(f"{uri} 1 0.000 {seconds:.3f}")
        if mini and re.fullmatch(mini, uri):
            lines["mini.lst"].append(uri)
    for suffix, content in lines.items():
        if content:
            (folder / f"{subset}.{suffix}").write_text("\n".join(sorted(content)) + "\n", encoding="utf-8")
    if len(lines["lst"]) != size.recordings:
        problems.append(f"{folder.name} {subset} has {len(lines['lst'])} good recordings, not {size.recordings}.")
    if size.hours is not None and abs(hours - size.hours) > INEXACT * size.hours:
        problems.append(f"{folder.name} {subset} lasts {hours:.2f} h, not {size.hours} h.")
    if problems:
        raise CorpusError("\n".join(problems))


def checked(uri: str, turns: Annotation, seconds: float) -> Annotation:
    """Turns of a recording, cut at its end.

    Raises
    ------
    CorpusError
        If there are none, or one ends more than `LATE` seconds after the recording.
    """
    if not turns:
        raise CorpusError("it has no turns. Are labels and audio of the same version?")
    last = turns.get_timeline().extent().end
    if last > seconds + LATE:
        raise CorpusError(f"its last turn ends at {last:.2f} s, and the recording at {seconds:.2f} s. Is it complete?")
    cut = turns.crop(Segment(0, seconds))
    cut.uri = uri
    return cut


def keep(audio: Callable[[], bytes], path: Path) -> float:
    """Store the first channel of a recording as FLAC, unless it is there; return its duration, in seconds.

    Raises
    ------
    CorpusError
        If it is not at 16 kHz.
    """
    if not path.exists():
        samples, rate = soundfile.read(io.BytesIO(audio()), dtype="int16", always_2d=True)
        if rate != SAMPLE_RATE:
            raise CorpusError(f"{path.stem} is at {rate} Hz, not {SAMPLE_RATE}. Is the archive the right one?")
        with atomic_write(path) as part:
            write(part, samples[:, 0], rate, "FLAC")
    return soundfile.info(path).duration


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("corpora", nargs="+", choices=CORPORA, metavar="CORPUS", help=", ".join(CORPORA))
    parser.add_argument("--subsets", nargs="+", metavar="SUBSET", help="train, development, test... (default: all)")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="protocols/real, for real.yml")
    options = parser.parse_args(arguments)
    known = {subset for name in options.corpora for subset in CORPORA[name][1]}
    if unknown := sorted(set(options.subsets or known) - known):
        parser.error(f"--subsets {' '.join(unknown)}: {', '.join(options.corpora)} has {', '.join(sorted(known))}")
    with one_line_messages():
        return int(not fetch(options))


def fetch(options: argparse.Namespace) -> bool:
    """Fetch what is asked for, one subset after the other; return whether all of it is complete."""
    complete = True
    for name in dict.fromkeys(options.corpora):
        read, sizes = CORPORA[name]
        for subset in [each for each in sizes if options.subsets is None or each in options.subsets]:
            try:
                recordings = read(Archives(options.into / "archives"), subset)
                store(recordings, options.into / name, subset, sizes[subset], MINI.get(name))
                print(f"{name} {subset}: {sizes[subset].recordings} recordings", flush=True)
            except (Pix2SeqError, OSError, *DAMAGED) as error:
                complete = False
                print(f"{name} {subset} is not complete:\n{error}", file=sys.stderr)
    return complete


if __name__ == "__main__":
    raise SystemExit(main())
