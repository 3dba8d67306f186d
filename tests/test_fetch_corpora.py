"""Real corpora, as tiny archives of the same layout; nothing is fetched."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import yaml
from pyannote.core import Segment
from pyannote.database import FileFinder, registry

pytestmark = pytest.mark.filterwarnings("ignore:Replacing existing")

ROOT = Path(__file__).parent.parent
FIRST, SECOND = 8000, 4000
"""What the first and the second microphone record, always."""


@pytest.fixture()
def recipe(load_recipe: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_recipe("fetch_corpora.py")

    def refuse(url: str) -> None:
        raise OSError(f"no network for {url}")

    monkeypatch.setattr(module.urllib.request, "urlopen", refuse)
    one = module.Size(1)
    small = {name: (read, dict.fromkeys(sizes, one)) for name, (read, sizes) in module.CORPORA.items()}
    monkeypatch.setattr(module, "CORPORA", small)
    return module


def sound(seconds: float = 2.0, channels: int = 1, rate: int = 16000, kind: str = "WAV") -> bytes:
    samples = np.tile(np.array([FIRST, SECOND][:channels], dtype=np.int16), (int(seconds * rate), 1))
    with io.BytesIO() as file:
        soundfile.write(file, samples, rate, format=kind, subtype="PCM_16")
        return file.getvalue()


def rttm(uri: str, *turns: tuple[float, float, str]) -> bytes:
    return "".join(f"SPEAKER {uri} 1 {s} {d} <NA> <NA> {name} <NA> <NA>\n" for s, d, name in turns).encode()


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


TURNS = ((0.5, 1.0, "ann"), (1.0, 1.2, "bob"))
TEXTGRID = b"""File type = "ooTextFile"
Object class = "TextGrid"
xmin = 0
xmax = 2
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "ann"
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 1.5
            text = "ni hao"
    item [2]:
        class = "IntervalTier"
        name = "bob"
        intervals: size = 1
        intervals [1]:
            xmin = 1.0
            xmax = 2.2
            text = "hao"
"""


def ami(folder: Path) -> None:
    labels = {f"AMI-x/only_words/rttms/test/{uri}.rttm": rttm(uri, *TURNS) for uri in ("ES2004a", "ES2004b")}
    write_zip(folder / "AMI.zip", labels)
    for uri in ("ES2004a", "ES2004b"):
        for microphone in ("Mix-Headset", "Array1-01"):
            (folder / f"{uri}.{microphone}.wav").write_bytes(sound())


def voxconverse(folder: Path) -> None:
    write_zip(folder / "voxconverse.zip", {"voxconverse-x/test/abcde.rttm": rttm("abcde", *TURNS)})
    files = {"wav/abcde.wav": sound(), "__MACOSX/wav/._abcde.wav": b"junk"}
    write_zip(folder / "voxconverse_test_wav.zip", files)


def aishell(folder: Path) -> None:
    files = {
        "test/TextGrid/L_R003S01C02.rttm": rttm("L_R003S01C02", *TURNS),
        "test/TextGrid/L_R003S01C02.TextGrid": TEXTGRID,
        "test/wav/L_R003S01C02.flac": sound(channels=2, kind="FLAC"),
    }
    write_tar(folder / "test.tar.gz", files)


def alimeeting(folder: Path) -> None:
    files = {
        "Test_Ali/Test_Ali_far/audio_dir/R8001_M8004_MS801.wav": sound(channels=2),
        "Test_Ali/Test_Ali_far/textgrid_dir/R8001_M8004.TextGrid": TEXTGRID,
        "Test_Ali/Test_Ali_near/audio_dir/R8001_M8004_N_SPK8013.wav": sound(),
    }
    write_tar(folder / "Test_Ali.tar.gz", files)


def msdwild(folder: Path) -> None:
    write_zip(folder / "MSDWILD.zip", {"MSDWILD-x/rttms/few.val.rttm": rttm("00042", *TURNS)})
    write_zip(folder / "msdwild_wavs.zip", {"wav/00042.wav": sound(), "wav/00043.wav": sound()})


CASES: list[tuple[str, str, Callable[[Path], None], list[str]]] = [
    ("AMI", "only_words", ami, ["ES2004a", "ES2004b"]),
    ("AMI", "mini", ami, ["ES2004a"]),
    ("AMI-SDM", "only_words", ami, ["ES2004a", "ES2004b"]),
    ("VoxConverse", "Original", voxconverse, ["abcde"]),
    ("AISHELL", "Original", aishell, ["L_R003S01C02"]),
    ("AliMeeting", "Far", alimeeting, ["R8001_M8004_MS801"]),
    ("MSDWILD", "Few", msdwild, ["00042"]),
]


@pytest.mark.parametrize(("corpus", "protocol", "write", "uris"), CASES)
def test_a_corpus_is_stored_as_its_protocol_has_it(
    corpus: str,
    protocol: str,
    write: Callable[[Path], None],
    uris: list[str],
    recipe: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "real" / "archives").mkdir(parents=True)
    write(tmp_path / "real" / "archives")
    monkeypatch.setattr(recipe, "MD5", {})  # toys
    size = recipe.Size(2 if write is ami else 1, 2.01 * (2 if write is ami else 1) / 3600)
    monkeypatch.setitem(recipe.CORPORA, corpus, (recipe.CORPORA[corpus][0], {"test": size}))
    assert recipe.main([corpus, "--subsets", "test", "--into", str(tmp_path / "real")]) == 0
    (tmp_path / "real.yml").write_bytes((ROOT / "protocols" / "real.yml").read_bytes())
    registry.load_database(tmp_path / "real.yml")
    name = f"{corpus}.SpeakerDiarization.{protocol}"
    files = list(registry.get_protocol(name, preprocessors={"audio": FileFinder()}).test())
    assert [file["uri"] for file in files] == uris
    for file in files:
        samples, rate = soundfile.read(file["audio"], dtype="int16")
        assert samples.shape == (32000,) and rate == 16000 and (samples == FIRST).all()
        turns = [(turn, label) for turn, _, label in file["annotation"].itertracks(yield_label=True)]
        assert turns == [(Segment(0.5, 1.5), "ann"), (Segment(1.0, 2.0), "bob")]  # bob ends after the recording
        assert list(file["annotated"]) == [Segment(0, 2)]


def test_quotes_in_a_textgrid_are_doubled(recipe: ModuleType) -> None:
    quoted = TEXTGRID.replace(b'"ni hao"', b'"""ni"" hao"').replace(b'"ann"', b'"ann ""a"" b"')
    turns = recipe.read_textgrid(quoted).itertracks(yield_label=True)
    assert [(*turn, name) for turn, _, name in turns] == [(0.5, 1.5, 'ann "a" b'), (1.0, 2.2, "bob")]


def test_every_protocol_has_files_that_the_recipe_writes(recipe: ModuleType) -> None:
    registered = yaml.safe_load((ROOT / "protocols" / "real.yml").read_text())
    assert set(registered["Protocols"]) == set(registered["Databases"]) == set(recipe.CORPORA)
    for corpus, protocols in registered["Protocols"].items():
        for name, subsets in protocols["SpeakerDiarization"].items():
            for subset, files in subsets.items():
                if subset == "scope":
                    continue
                stem = Path(files["annotation"]).stem
                assert stem in recipe.CORPORA[corpus][1]
                lists = f"{stem}.mini.lst" if name == "mini" else f"{stem}.lst"
                expected = {"uri": lists, "annotation": f"{stem}.rttm", "annotated": f"{stem}.uem"}
                assert files == {key: f"real/{corpus}/{file}" for key, file in expected.items()}


def test_what_is_wrong_is_said_and_does_not_stop_the_rest(
    recipe: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archives = tmp_path / "real" / "archives"
    labels = {"aaaaa": TURNS, "bbbbb": TURNS, "ccccc": ((0.0, 9.0, "x"),)}
    write_zip(archives / "voxconverse.zip", {f"v/test/{uri}.rttm": rttm(uri, *turns) for uri, turns in labels.items()})
    sounds = {"aaaaa": sound(), "bbbbb": sound(rate=8000), "ccccc": sound(), "ddddd": sound()}
    write_zip(archives / "voxconverse_test_wav.zip", {f"{uri}.wav": each for uri, each in sounds.items()})
    aishell(archives)
    options = ["VoxConverse", "MSDWILD", "AISHELL", "--subsets", "test", "--into", str(tmp_path / "real")]
    assert recipe.main(options) == 1
    out, err = capsys.readouterr()
    assert "AISHELL test: 1 recordings" in out
    assert "bbbbb: bbbbb is at 8000 Hz, not 16000" in err
    assert "ccccc: its last turn ends at 9.00 s, and the recording at 2.00 s" in err
    assert "ddddd: it has no turns" in err
    assert "github.com/X-LANCE/MSDWILD/archive/HEAD.zip cannot be fetched" in err and "Fetch it by hand" in err
    assert (tmp_path / "real" / "VoxConverse" / "test.lst").read_text() == "aaaaa\n"


def test_what_is_damaged_in_an_archive_does_not_stop_the_rest(
    recipe: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archives = tmp_path / "archives"
    voxconverse(archives)
    write_zip(archives / "voxconverse.zip", {f"v/test/{uri}.rttm": rttm(uri, *TURNS) for uri in ("aaaaa", "bbbbb")})
    wavs = archives / "voxconverse_test_wav.zip"
    write_zip(wavs, {"aaaaa.wav": sound(2.0), "bbbbb.wav": sound(2.5)})
    content = bytearray(wavs.read_bytes())
    content[content.index(b"bbbbb.wav") + 9 + 1000] ^= 1  # a sample of the second
    wavs.write_bytes(content)
    aishell(archives)
    tar = archives / "test.tar.gz"
    tar.write_bytes(tar.read_bytes()[:-100])
    assert recipe.main(["VoxConverse", "AISHELL", "--subsets", "test", "--into", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "bbbbb: Bad CRC-32 for file 'bbbbb.wav'" in err and "AISHELL test is not complete" in err
    assert (tmp_path / "VoxConverse" / "test.lst").read_text() == "aaaaa\n"


def test_a_disk_that_is_full_is_not_said_to_be_the_fault_of_a_recording(
    recipe: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "archives").mkdir()
    voxconverse(tmp_path / "archives")
    (tmp_path / "VoxConverse" / "audio").mkdir(parents=True)
    (tmp_path / "VoxConverse" / "audio" / ".abcde.flac.part").symlink_to("/dev/full")
    assert recipe.main(["VoxConverse", "--subsets", "test", "--into", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "abcde.flac.part cannot be written (" in said and "Make room on its disk" in said
    assert "good recordings" not in said  # as nothing is wrong with them


def test_a_download_that_broke_off_is_not_kept(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(url: str) -> HTTPResponse:
        head = "Transfer-Encoding: chunked\r\n\r\n9\r\n" if "chunked" in url else "Content-Length: 9\r\n\r\n"
        content = io.BytesIO(f"HTTP/1.1 200 OK\r\n{head}half".encode())
        response = HTTPResponse(SimpleNamespace(makefile=lambda mode: content))  # type: ignore[arg-type]
        response.begin()
        return response

    monkeypatch.setattr(recipe.urllib.request, "urlopen", serve)
    with pytest.raises(recipe.CorpusError, match="^https://x/a.zip broke off 5 bytes before its end. Run again, or"):
        recipe.Archives(tmp_path).path("https://x/a.zip")
    with pytest.raises(recipe.CorpusError, match="^https://x/chunked.zip cannot be fetched .IncompleteRead"):
        recipe.Archives(tmp_path).path("https://x/chunked.zip")
    assert not list(tmp_path.iterdir())


def test_an_interruption_is_one_line_and_keeps_no_half_of_a_download(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise KeyboardInterrupt

    monkeypatch.setattr(recipe.urllib.request, "urlopen", lambda _: Interrupted())
    with pytest.raises(SystemExit) as ended:
        recipe.main(["VoxConverse", "--subsets", "test", "--into", str(tmp_path)])
    assert ended.value.code == 130 and capsys.readouterr().err.endswith(": interrupted\n")
    assert not [*(tmp_path / "archives").iterdir()]


def test_subsets_that_there_are_not(recipe: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        recipe.main(["VoxConverse", "--subsets", "test", "dev", "--into", str(tmp_path)])
    assert "--subsets dev: VoxConverse has development, test" in capsys.readouterr().err


def test_too_few_recordings_are_an_error(
    recipe: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archives").mkdir()
    aishell(tmp_path / "archives")
    monkeypatch.setitem(recipe.CORPORA, "AISHELL", (recipe.aishell, {"test": recipe.Size(20, 12.7)}))
    assert recipe.main(["AISHELL", "--into", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "AISHELL test has 1 good recordings, not 20" in err and "AISHELL test lasts 0.00 h, not 12.7 h" in err


def test_an_archive_is_fetched_once_and_checked(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def serve(url: str) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(b"content")

    monkeypatch.setattr(recipe.urllib.request, "urlopen", serve)
    archives = recipe.Archives(tmp_path)
    assert archives.path("https://x/a.zip").read_bytes() == b"content"
    assert archives.path("https://x/a.zip") == tmp_path / "a.zip" and asked == ["https://x/a.zip"]
    with pytest.raises(
        recipe.CorpusError, match="md5 of .*msdwild_wavs.zip is 9a0364b9e99bb480dd25e1f0284c8555, not 0057"
    ):
        archives.path("https://x/y", "msdwild_wavs.zip")
    (tmp_path / "msdwild_wavs.zip").write_bytes(b"put there by hand")
    with pytest.raises(recipe.CorpusError, match="msdwild_wavs.zip is .*, not 0057"):
        archives.path("https://x/y", "msdwild_wavs.zip")
    assert not list(tmp_path.glob("*.part"))


def test_the_excerpts_of_the_readme_are_registered() -> None:
    registry.load_database(ROOT / "protocols" / "excerpts.yml")
    files = list(registry.get_protocol("Excerpts.SpeakerDiarization.All").test())
    assert [file["uri"] for file in files] == ["trn00", "trn02", "trn04", "trn06", "trn08", "dev00", "dev01"]
    assert [len(file["annotation"].labels()) for file in files] == [3, 1, 3, 3, 4, 2, 2]
    assert all(list(file["annotated"]) == [Segment(0, 30)] for file in files)
