"""Rendered protocols: the same as those in memory, for whoever wants files."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from pyannote.core import Segment
from pyannote.database import FileFinder, registry
from pyannote.database.util import load_rttm
from pyannote.metrics.diarization import DiarizationErrorRate
from toy import SAMPLE_RATE, write_rttm, write_toy_voices
from waiting import start_until_it_warns

from pyannote_pix2seq import rendering
from pyannote_pix2seq.locking import alone
from pyannote_pix2seq.protocol import SUBSETS, SyntheticProtocol
from pyannote_pix2seq.rendering import record, registration, render
from pyannote_pix2seq.simulation import Acoustics, PlainTurns, Simulator, Voices
from pyannote_pix2seq.simulation.difficulty import DIFFICULTIES
from pyannote_pix2seq.simulation.labels import Labels
from pyannote_pix2seq.verification import RenderingError, verify

ROOT = Path(__file__).parent.parent
ORIGIN = {"made": ("from", "toys")}
NAME = "Synthetic.SpeakerDiarization.Easy"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_voices(tmp_path_factory.mktemp("store"), num_train=12, num_dev=12)


@pytest.fixture(scope="module")
def options(store: Path) -> dict[str, Any]:
    """Of a protocol of one training, two development and two test conversations of 6 s."""
    simulators = {
        subset: Simulator(Voices(store, split), PlainTurns(max_speakers=3), Acoustics(), duration=6.0)
        for subset, split in (("train", "train"), ("development", "dev"))
    }
    return {**simulators, "labels": Labels(0.25, 0.05), "num_train": 1, "num_development": 2, "num_test": 2}


@pytest.fixture(scope="module")
def protocol(options: dict[str, Any]) -> SyntheticProtocol:
    """It has the name of a difficulty."""
    return SyntheticProtocol("Easy", **options)


@pytest.fixture
def into(protocol: SyntheticProtocol, tmp_path: Path) -> Path:
    """The protocol, rendered."""
    folder = tmp_path / "synthetic"
    assert render(protocol, folder, ORIGIN) == pytest.approx(5 * 6 / 3600)
    return folder


@pytest.fixture(autouse=True)
def clean_registry() -> Iterator[None]:
    kept = [registry.databases, registry.sources, registry.configs]
    before = [dict(each) for each in kept]
    yield
    for each, content in zip(kept, before, strict=True):
        each.clear()
        each.update(content)


def turns_of(file: Any) -> list[tuple[float, float, str]]:
    tracks = file["annotation"].itertracks(yield_label=True)
    return sorted((round(segment.start, 3), round(segment.end, 3), label) for segment, _, label in tracks)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_on_disk_is_what_is_imagined(protocol: SyntheticProtocol, into: Path) -> None:
    registry.load_database(into / "database.yml")
    rendered = registry.get_protocol(NAME, preprocessors={"audio": FileFinder()})
    for subset in SUBSETS:
        pairs = list(zip(getattr(rendered, subset)(), getattr(protocol, subset)(), strict=True))
        assert len(pairs) == protocol.sizes[subset]
        for file, imagined in pairs:
            for key in ("uri", "database", "subset", "scope", "labels"):
                assert file[key] == imagined[key]
            assert file["labels"] == "merge_pauses=0.25,padding=0.05"
            assert turns_of(file) == turns_of(imagined) != []
            assert list(file["annotated"]) == [Segment(0, 6)]
            samples, sample_rate = soundfile.read(file["audio"], dtype="float32")
            assert sample_rate == SAMPLE_RATE
            assert np.abs(samples - imagined["waveform"][0].numpy()).max() < 2 / 2**15


def test_recordings_may_end_between_two_milliseconds(options: dict[str, Any], tmp_path: Path) -> None:
    simulator = Simulator(options["train"].voices, PlainTurns(), Acoustics.none(), duration=6.0025)
    protocol = SyntheticProtocol("Odd", simulator, simulator, num_train=1, num_development=0, num_test=0)
    assert render(protocol, tmp_path, ORIGIN) == pytest.approx(6.003 / 3600)


def test_rendering_again_changes_nothing(protocol: SyntheticProtocol, into: Path, tmp_path: Path) -> None:
    before = contents(into)
    render(protocol, into, ORIGIN)
    render(protocol, tmp_path / "elsewhere", ORIGIN)
    assert contents(into) == contents(tmp_path / "elsewhere") == before
    assert not any(name.endswith(".part") for name in before)


def test_hashes_are_those_of_the_recordings(into: Path) -> None:
    lines = (into / "Easy" / "SHA256SUMS").read_text().splitlines()
    assert len(lines) == 5
    for digest, name in (line.split() for line in lines):
        assert hashlib.sha256((into / "Easy" / name).read_bytes()).hexdigest() == digest


def test_only_what_is_missing_is_rendered(
    protocol: SyntheticProtocol, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(into)
    lost = into / "Easy" / "wav" / "Easy-test-000001.wav"
    lost.unlink()
    (into / "Easy" / "test.lst").unlink()
    heard = []
    original = Simulator.render
    monkeypatch.setattr(Simulator, "render", lambda self, talk: heard.append(talk.uri) or original(self, talk))
    render(protocol, into, ORIGIN)
    assert heard == ["Easy-train-000000", "Easy-test-000001"]  # the first there is, for comparison, and the missing one
    assert contents(into) == before


def test_a_protocol_can_grow_and_lose_a_subset(options: dict[str, Any], into: Path) -> None:
    render(SyntheticProtocol("Easy", **options | {"num_train": 2, "num_test": 0}), into, ORIGIN)
    assert (into / "Easy" / "train.lst").read_text() == "Easy-train-000000\nEasy-train-000001\n"
    registry.load_database(into / "database.yml")
    rendered = registry.get_protocol(NAME)
    assert len(list(rendered.development())) == 2
    with pytest.raises(NotImplementedError, match="test"):
        list(rendered.test())


def test_another_origin_is_refused(protocol: SyntheticProtocol, into: Path) -> None:
    with pytest.raises(RenderingError, match=r"Easy was rendered from something else: made was \['from', 'toys'\]"):
        render(protocol, into, {"made": ("from", "people")})


def test_a_folder_of_something_else_is_refused(protocol: SyntheticProtocol, tmp_path: Path) -> None:
    (tmp_path / "Easy").mkdir()
    (tmp_path / "Easy" / "test.rttm").write_text("mine")
    with pytest.raises(RenderingError, match="Easy holds something else, which may be replaced. Render into another"):
        render(protocol, tmp_path, ORIGIN)
    assert contents(tmp_path) == {"Easy/test.rttm": b"mine"}


def test_a_run_that_was_stopped_at_once_goes_on(protocol: SyntheticProtocol, tmp_path: Path) -> None:
    (tmp_path / "Easy").mkdir()
    (tmp_path / "Easy" / ".origin.json.part").write_text("{")
    render(protocol, tmp_path, ORIGIN)


def test_two_processes_do_not_render_into_one_folder_at_once(protocol: SyntheticProtocol, tmp_path: Path) -> None:
    there: list[set[str]] = []
    with alone(tmp_path / "Easy"):
        thread = Thread(target=render, args=(protocol, tmp_path, ORIGIN))
        with pytest.warns(UserWarning, match="Easy is in use by another process; waiting until it is done") as warned:
            start_until_it_warns(thread, warned)
        there.append(contents(tmp_path).keys() - {"Easy/.lock"})
    thread.join(60)
    there.append({path.name for path in (tmp_path / "Easy" / "wav").iterdir()})
    assert there[0] == set() and len(there[1]) == 5


def test_what_another_process_rendered_meanwhile_is_not_replaced(
    protocol: SyntheticProtocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def waited(folder: Path, is_patient: bool) -> Iterator[str]:
        (folder / "origin.json").parent.mkdir(parents=True)
        (folder / "origin.json").write_text('{"made": "by another process"}')
        yield str(folder)

    monkeypatch.setattr(rendering, "alone", waited)
    with pytest.raises(RenderingError, match="Easy was rendered from something else: made was 'by another process'"):
        render(protocol, tmp_path, ORIGIN)
    assert contents(tmp_path) == {"Easy/origin.json": b'{"made": "by another process"}'}


def test_another_sound_is_refused(options: dict[str, Any], into: Path) -> None:
    before = contents(into)
    train = options["train"]
    louder = Simulator(train.voices, train.turns, Acoustics.none(), train.duration)
    with pytest.raises(RenderingError, match=r"Easy-train-000000.wav is not how this conversation sounds now"):
        render(SyntheticProtocol("Easy", **options | {"train": louder}), into, ORIGIN)
    assert contents(into) == before


def test_what_does_not_end_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    endless = SyntheticProtocol("Easy", options["train"], options["development"])
    with pytest.raises(RenderingError, match="cannot be rendered: it does not end"):
        render(endless, tmp_path, ORIGIN)


def test_a_database_yml_of_somebody_else_is_not_replaced(protocol: SyntheticProtocol, tmp_path: Path) -> None:
    theirs = tmp_path / "database.yml"
    for mine in ("Mine: mine/{uri}.wav", "Gespräche: mine/{uri}.wav"):
        content = f"Databases:\n  {mine}\n".encode("latin-1")
        theirs.write_bytes(content)
        with pytest.raises(RenderingError, match="registers something else"):
            render(protocol, tmp_path, ORIGIN)
        assert contents(tmp_path) == {"database.yml": content}


def test_damage_is_found_and_named(protocol: SyntheticProtocol, into: Path) -> None:
    wav = into / "Easy" / "wav" / "Easy-development-000001.wav"
    intact = wav.read_bytes()
    wav.write_bytes(intact[:-1000] + bytes(1000))
    with pytest.raises(RenderingError, match="Easy-development-000001.wav has changed since it was rendered"):
        verify(protocol, into)
    soundfile.write(wav, np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    with pytest.raises(RenderingError, match=r"Easy-development-000001.wav has \(1, 16000, 16000\), not \(1, 96000"):
        verify(protocol, into)
    soundfile.write(wav, np.zeros((6 * SAMPLE_RATE, 2)), SAMPLE_RATE)
    with pytest.raises(RenderingError, match=r"Easy-development-000001.wav has \(2, 96000, 16000\), not \(1, 96000"):
        verify(protocol, into)
    wav.write_bytes(intact)
    rttm = into / "Easy" / "test.rttm"
    rttm.write_text("".join(rttm.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(RenderingError, match="Easy-test-000000: annotation is not what was written"):
        verify(protocol, into)
    uem = into / "Easy" / "development.uem"
    uem.write_text(uem.read_text().replace("6.000", "7.000"))
    with pytest.raises(RenderingError, match=r"Easy-development-000000: annotated is not .* \(0, [67]000, ''\)"):
        verify(protocol, into)


def test_lists_that_are_too_short_or_too_long_are_found(protocol: SyntheticProtocol, into: Path) -> None:
    uris = into / "Easy" / "test.lst"
    intact = uris.read_text().splitlines(keepends=True)
    uris.write_text("".join(intact[:-1]))
    with pytest.raises(RenderingError, match=f"^{intact[-1].strip()} is missing in the test list of Synthetic.*Easy"):
        verify(protocol, into)
    uris.write_text("".join([*intact, intact[0]]))
    with pytest.raises(RenderingError, match=f"^{intact[0].strip()} is one too many in the test list of Synthetic"):
        verify(protocol, into)
    uris.write_text("".join(intact))
    for damaged in (b"0123abcd\n", b"\xff"):
        (into / "Easy" / "SHA256SUMS").write_bytes(damaged)
        with pytest.raises(RenderingError, match="SHA256SUMS is damaged. Delete it and run again"):
            verify(protocol, into)


# protocols/database.yml


def test_our_database_yml_registers_every_difficulty() -> None:
    found = yaml.safe_load((ROOT / "protocols" / "database.yml").read_text())
    rendered = yaml.safe_dump(registration(dict.fromkeys(DIFFICULTIES, SUBSETS)))
    assert found == yaml.safe_load(re.sub(rf"({'|'.join(DIFFICULTIES)})/", r"synthetic/\1/", rendered))


def test_our_database_yml_finds_what_is_rendered_beside_it(into: Path) -> None:
    (into.parent / "database.yml").write_bytes((ROOT / "protocols" / "database.yml").read_bytes())
    registry.load_database(into.parent / "database.yml")
    with pytest.warns(UserWarning, match="Replacing existing"):
        registry.load_database(into.parent / "database.yml")
    assert {f"Synthetic.SpeakerDiarization.{name}" for name in DIFFICULTIES} <= set(registry)
    files = list(registry.get_protocol(NAME, preprocessors={"audio": FileFinder()}).test())
    assert [file["audio"].name for file in files] == ["Easy-test-000000.wav", "Easy-test-000001.wav"]
    with pytest.raises(FileNotFoundError, match="synthetic/Crowd/test.lst"):
        list(registry.get_protocol("Synthetic.SpeakerDiarization.Crowd").test())


def test_meta_protocols_mix_synthetic_and_real_corpora(into: Path) -> None:
    real = into.parent / "real"
    real.mkdir()
    soundfile.write(real / "meeting.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    write_rttm(real / "real.rttm", [(0.0, 0.5, "ann")])
    (real / "real.lst").write_text("meeting\n")
    (into.parent / "mixed.yml").write_text(
        """
        Requirements: synthetic/database.yml
        Databases: {Real: "real/{uri}.wav"}
        Protocols:
          Real: {SpeakerDiarization: {Corpus: {scope: file, train: {uri: real/real.lst, annotation: real/real.rttm}}}}
          X:
            SpeakerDiarization:
              Mixed:
                train: {Real.SpeakerDiarization.Corpus: [train], Synthetic.SpeakerDiarization.Easy: [train]}
                development: {Synthetic.SpeakerDiarization.Easy: [development]}
        """
    )
    registry.load_database(into.parent / "mixed.yml")
    mixed = registry.get_protocol("X.SpeakerDiarization.Mixed", preprocessors={"audio": FileFinder()})
    files = list(mixed.train())
    assert [file["database"] for file in files] == ["Real", "Synthetic"]
    assert [soundfile.info(file["audio"]).duration for file in files] == [1.0, 6.0]
    assert files[0]["annotation"].labels() == ["ann"]
    assert len(list(mixed.development())) == 2


# pyannote-audio benchmark


@pytest.fixture
def benchmark(tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The upstream command; it asks torchcodec how long files are, which needs FFmpeg: here libsndfile answers."""
    pytest.importorskip("typer", reason="pip install 'pyannote.audio[cli]'")
    from pyannote.audio.__main__ import app
    from pyannote.audio.core import io
    from typer.testing import CliRunner

    def metadata(file: Any) -> SimpleNamespace:
        return SimpleNamespace(duration_seconds_from_header=soundfile.info(file["audio"]).duration)

    monkeypatch.setattr(io, "get_audio_metadata", metadata)
    (tmp_path / "results").mkdir()

    def run(*options: str) -> str:
        arguments = ["benchmark", str(tiny_pipeline), NAME, str(tmp_path / "results"), "--device", "cpu", *options]
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return str(tmp_path / "results" / f"{NAME}.test")

    return run


def check_results(stem: str, protocol: SyntheticProtocol) -> None:
    """Compare the upstream command's scores with those of its RTTM and our own labels."""
    hypotheses = load_rttm(f"{stem}.rttm")
    metric = DiarizationErrorRate()
    expected = {
        file["uri"]: metric(file["annotation"], hypotheses[file["uri"]], uem=file["annotated"])
        for file in protocol.test()
    }
    expected["TOTAL"] = abs(metric)
    with Path(f"{stem}.csv").open() as lines:
        found = {row[0]: float(row[1]) for row in csv.reader(lines) if row[0].startswith(("Easy", "TOTAL"))}
    assert found == pytest.approx({uri: 100 * rate for uri, rate in expected.items()}, abs=0.1)
    assert len(expected) == 3


def test_upstream_benchmark_scores_rendered_protocols(benchmark: Any, protocol: SyntheticProtocol, into: Path) -> None:
    check_results(benchmark("--registry", str(into / "database.yml"), "--progress"), protocol)


def test_upstream_benchmark_can_tell_how_many_speak(benchmark: Any, protocol: SyntheticProtocol, into: Path) -> None:
    stem = benchmark("--registry", str(into / "database.yml"), "--num-speakers", "oracle")
    check_results(f"{stem}.OracleNumSpeakers", protocol)
    assert "Accuracy = 100.0%" in Path(f"{stem}.OracleNumSpeakers.SpeakerCount.csv").read_text()


def test_upstream_benchmark_scores_protocols_in_memory(
    benchmark: Any, protocol: SyntheticProtocol, options: dict[str, Any]
) -> None:
    SyntheticProtocol.register("Easy", **options)
    check_results(benchmark(), protocol)


# recipes/render.py


def test_the_recipe_renders_the_same_bytes_in_one_process_and_in_two(
    run_recipe: Callable[..., None], store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--voices", str(store), "--train", "2", "--development", "0", "--test", "0", "--train-duration", "5"]
    for jobs in ("1", "2"):
        run_recipe("render.py", "Crowd", "--into", str(tmp_path / jobs), "--jobs", jobs, *options)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    said = capsys.readouterr()
    assert "Synthetic.SpeakerDiarization.Crowd: 2 train, 0 development, 0 test" in said.out
    warned = f"render.py: {store} has no voices of split 'test': test conversations have those of development."
    assert sum(line.startswith(warned) for line in said.err.splitlines()) == 2
    origin = json.loads((tmp_path / "1" / "Crowd" / "origin.json").read_text())
    assert origin["labels"] == "merge_pauses=0,padding=0" and origin["train_duration"] == 5.0
    assert origin["difficulty"]["num_speakers"] == [5, 8] and origin["noise"] is None


@pytest.mark.filterwarnings("ignore:.*no voices of split 'test'")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["Hard"], "render.py: There is no difficulty 'Hard'. There are Easy, Meeting"),
        (["Easy", "--padding", "nan"], "render.py: Labels: padding=nan was given; it has to be a number of seconds"),
        (["Easy", "--voices", "nowhere"], "render.py: There is no folder nowhere .looked in"),
        (["Easy", "--noise", "nowhere"], "render.py: There is no file or folder nowhere .looked"),
    ],
)
def test_the_recipe_says_in_one_line_what_is_wrong(
    options: list[str], message: str, run_recipe: Callable[..., None], store: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=message):
        run_recipe("render.py", "--voices", str(store), "--into", str(tmp_path / "new"), *options)
    assert not (tmp_path / "new").exists()


def test_the_recipe_refuses_unknown_options(
    run_recipe: Callable[..., None], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_recipe("render.py", "Easy", "--voices", str(store), "--into", "x", "--colar", "1")
    assert "unrecognized arguments: --colar 1" in capsys.readouterr().err
    for option, value in (("--train", "-1"), ("--train-duration", "inf"), ("--jobs", "9" * 5000)):
        with pytest.raises(SystemExit):
            run_recipe("render.py", "Easy", "--voices", str(store), "--into", "x", option, value)
        said = capsys.readouterr().err
        assert f"argument {option}: '{value[:20]}' is not a" in said and len(said) < 200


def test_a_conversation_that_sounds_different_is_recorded_again(store: Path, tmp_path: Path) -> None:
    voices = Voices(store, "dev")
    steady, wild = (Simulator(voices, PlainTurns(), Acoustics(drift=drift), duration=6.0) for drift in (0.0, 9.0))
    conversation = steady.describe("talk")
    assert conversation == wild.describe("talk")
    heard = [record(conversation, simulator, tmp_path).read_bytes() for simulator in (steady, wild, steady)]
    assert heard[0] == heard[2] != heard[1]


def test_a_recording_that_was_interrupted_is_made_again(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = options["development"]
    conversation = simulator.describe("talk")
    louder = replace(conversation, scene=replace(conversation.scene, peak=0.0))
    expected = record(conversation, simulator, tmp_path).read_bytes()
    write_text = Path.write_text

    def interrupted(path: Path, *arguments: Any, **options: Any) -> int:
        if path.suffix == ".sha256":
            raise KeyboardInterrupt
        return write_text(path, *arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "write_text", interrupted)
        record(louder, simulator, tmp_path)
    assert (tmp_path / "talk.wav").read_bytes() != expected
    assert record(conversation, simulator, tmp_path).read_bytes() == expected


def test_a_conversation_is_recorded_once(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = options["development"]
    conversation = simulator.describe("talk")
    audio = record(conversation, simulator, tmp_path)
    samples, sample_rate = soundfile.read(audio, dtype="float32")
    assert len(samples) == 6 * SAMPLE_RATE and sample_rate == SAMPLE_RATE
    assert np.abs(samples - simulator.render(conversation)[0]).max() < 2 / 2**15
    assert load_rttm(tmp_path / "talk.rttm")["talk"].labels() == sorted(conversation.voices)
    monkeypatch.setattr(Simulator, "render", None)
    assert record(conversation, simulator, tmp_path) == audio
    monkeypatch.undo()
    audio.unlink()
    assert record(conversation, simulator, tmp_path).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "talk.rttm", "talk.sha256", "talk.wav"]


def test_two_processes_do_not_record_into_one_folder_at_once(options: dict[str, Any], tmp_path: Path) -> None:
    simulator = options["development"]
    thread = Thread(target=record, args=(simulator.describe("talk"), simulator, tmp_path))
    with alone(tmp_path):
        with pytest.warns(UserWarning, match="is in use by another process; waiting until it is done") as warned:
            start_until_it_warns(thread, warned)
        assert contents(tmp_path).keys() == {".lock"}
    thread.join(60)
    assert contents(tmp_path).keys() == {".lock", "talk.rttm", "talk.sha256", "talk.wav"}
