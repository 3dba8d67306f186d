"""Adaptation of voices to conversations: what is learned, from what, and the recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pipelines import save_checkpoint
from torch.utils.data import DataLoader
from toy import write_toy_voices

from pyannote_pix2seq import PRETRAINED
from pyannote_pix2seq.checkpoints import MODEL, load_model
from pyannote_pix2seq.frontends import SpeakerFrontend
from pyannote_pix2seq.frontends.campplus import fbank, frame_count
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.simulation import Acoustics, Conversation, PlainTurns, Simulator, Voices
from pyannote_pix2seq.specifications import specifications_of
from pyannote_pix2seq.training.adapting import AdaptationTraining, FixedLessons, RandomLessons, together
from pyannote_pix2seq.training.lessons import NUM_REGIONS, LessonError, Teacher, regions
from pyannote_pix2seq.vocabulary import Triplet, Vocabulary

SECONDS = 6.0
NUM_FRAMES = frame_count(int(16000 * SECONDS))
TIMES = 0.0125 + 0.02 * np.arange(NUM_FRAMES)


class Silence:
    """Turn-taking of nobody."""

    def draw(self, rng: np.random.Generator, duration: float) -> list[Triplet]:
        return []


@pytest.fixture(scope="module")
def frontend() -> SpeakerFrontend:
    """That of the pipeline that ships."""
    frontend = load_model(PRETRAINED / MODEL).frontend
    assert isinstance(frontend, SpeakerFrontend)
    return frontend


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Simulator:
    voices = write_toy_voices(tmp_path_factory.mktemp("voices"))
    return Simulator(Voices(voices, "train"), PlainTurns(), Acoustics(room_probability=0.0), SECONDS)


@pytest.fixture(scope="module")
def teacher(simulator: Simulator, frontend: SpeakerFrontend) -> Teacher:
    return Teacher(simulator, frontend)


def test_frames_are_counted_as_they_are_computed(frontend: SpeakerFrontend) -> None:
    for num_samples in (2560, 16000, 16159, 16160, 16241):
        frames = frontend.frames(torch.randn(1, 1, num_samples))
        assert frames.shape[-1] == frame_count(num_samples)


def test_voices_are_pooled_where_their_speaker_is_heard_alone() -> None:
    turns = (Triplet(0.0, 3.0, 0), Triplet(2.0, 4.0, 1), Triplet(4.5, 6.0, 2), Triplet(4.6, 6.0, 1))
    talk = Conversation("talk", SECONDS, turns, ("ann", "bob", "zoe"))
    weights, speakers = regions(talk, NUM_FRAMES, np.random.default_rng(0))
    assert weights.shape == (len(speakers), NUM_FRAMES) and 10 < len(speakers) <= NUM_REGIONS
    assert set(speakers.tolist()) == {0, 1}  # nobody hears the third alone
    alone = np.array([(TIMES < 1.8), (TIMES > 3.2) & (TIMES < 3.8)])
    shares = weights / weights.sum(1, keepdim=True)
    for share, speaker in zip(shares, speakers.tolist(), strict=True):
        assert share[alone[speaker]].sum() > 0.5 and share[alone[1 - speaker]].sum() < 0.3
        reach = TIMES[share.numpy() > 0]
        assert 0.5 < reach[-1] - reach[0] <= 6.0
    widths = {round(float((row > 0).sum()) * 0.02, 1) for row in weights}
    assert min(widths) <= 0.8 and max(widths) >= 2.0  # both of first voices and of others


def test_who_is_never_heard_alone_has_no_region() -> None:
    talk = Conversation("talk", SECONDS, (Triplet(0.0, 6.0, 0), Triplet(0.0, 6.0, 1)), ("ann", "bob"))
    weights, speakers = regions(talk, NUM_FRAMES, np.random.default_rng(0))
    assert weights.shape == (0, NUM_FRAMES) and len(speakers) == 0


def test_a_lesson_is_the_same_each_time_and_another_one_is_another(teacher: Teacher) -> None:
    first, again, other = (teacher.lesson(uri) for uri in ("a", "a", "b"))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first.waveform, other.waveform)
    assert first.waveform.shape == (1, 16000 * SECONDS) and first.speakers.max() < len(first.clean)


def test_clean_voices_are_those_of_speech_without_noise(
    teacher: Teacher, simulator: Simulator, frontend: SpeakerFrontend
) -> None:
    lesson = teacher.lesson("a")
    described = simulator.describe("a-0")
    assert len(lesson.clean) == len(described.voices)
    assert lesson.clean.norm(dim=1).tolist() == pytest.approx([1.0] * len(lesson.clean))
    solo = replace(described, duration=12.0, turns=(Triplet(0.0, 12.0, 0),))
    speech = torch.from_numpy(simulator.tracks(solo)[0])
    with torch.inference_mode():
        expected = F.normalize(frontend.campplus(fbank(speech[None, None])), dim=-1)
    assert F.cosine_similarity(lesson.clean[:1], expected).item() == pytest.approx(1, abs=1e-3)


def test_conversations_in_which_nobody_speaks_are_refused(simulator: Simulator, frontend: SpeakerFrontend) -> None:
    silent = Simulator(simulator.voices, Silence(), simulator.acoustics, 1.0)  # type: ignore[arg-type]
    with pytest.raises(LessonError, match="nobody speaks alone for 0.4 s. Make them longer, or choose others: --dur"):
        Teacher(silent, frontend).lesson("a")


@pytest.fixture
def adapting(frontend: SpeakerFrontend) -> AdaptationTraining:
    return AdaptationTraining(frontend, num_steps=30, steps_per_epoch=30, batch_size=2)


def test_lessons_of_a_step_depend_on_its_number_and_the_seed_alone(
    teacher: Teacher, adapting: AdaptationTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Teacher, "lesson", lambda self, uri: uri)
    lessons = RandomLessons(teacher, adapting)
    monkeypatch.setattr(AdaptationTraining, "global_step", 0)
    drawn = list(lessons)
    assert len(drawn) == len(set(drawn)) == len(lessons) == 60
    monkeypatch.setattr(AdaptationTraining, "global_step", 27)
    loaded = DataLoader(lessons, batch_size=2, num_workers=2, collate_fn=together)  # type: ignore[arg-type]
    assert [uri for batch in loaded for uri in batch] == drawn[54:]
    adapting.seed = 1
    assert not set(lessons) & set(drawn)
    assert [FixedLessons(teacher, 2)[index] for index in range(2)] == ["validated-0", "validated-1"]


def test_before_training_voices_are_those_of_campplus(
    teacher: Teacher, adapting: AdaptationTraining, frontend: SpeakerFrontend
) -> None:
    lesson = teacher.lesson("a")
    whole = lesson._replace(weights=torch.ones(1, NUM_FRAMES))
    with torch.inference_mode():
        expected = F.normalize(frontend.campplus(fbank(lesson.waveform[None])), dim=-1)
    assert F.cosine_similarity(adapting._voices([whole, whole]), expected).tolist() == pytest.approx([1, 1], abs=0.01)


def test_voices_are_compared_with_those_of_all_speakers_of_the_batch_once_means_are_subtracted(
    teacher: Teacher, adapting: AdaptationTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons = [teacher.lesson(uri) for uri in ("a", "b")]
    clean = F.normalize(torch.randn(5, 192, generator=torch.manual_seed(0)), dim=-1)
    parts = [
        lessons[0]._replace(clean=clean[:2], speakers=torch.tensor([0, 1])),
        lessons[1]._replace(clean=clean[2:], speakers=torch.tensor([2, 0])),
    ]
    heard = clean[[0, 1, 4, 3]] + 5.0  # the last one is taken for another; all of them are moved
    monkeypatch.setattr(AdaptationTraining, "_voices", lambda self, batch: heard)
    adapting.heard_mean.fill_(5.0)
    apart, confused, right = adapting._compared(parts)
    cosine = float(clean[3] @ clean[2])
    assert apart.item() == pytest.approx((1 - cosine) / 4, abs=1e-4) and right.item() == 0.75
    logits = 12 * clean @ clean.T
    expected = F.cross_entropy(logits[[0, 1, 4, 3]], torch.tensor([0, 1, 4, 2]))
    assert confused.item() == pytest.approx(expected.item(), abs=1e-4)


def test_means_are_those_of_what_is_heard_and_of_what_is_clean(teacher: Teacher, adapting: AdaptationTraining) -> None:
    lessons = [teacher.lesson(uri) for uri in ("a", "b")]
    adapting.measure_means(lessons)
    assert torch.allclose(adapting.heard_mean, adapting._voices(lessons).mean(0), atol=1e-4)
    assert torch.allclose(adapting.clean_mean, torch.cat([each.clean for each in lessons]).mean(0))


def test_training_brings_voices_nearer_to_clean_ones(
    teacher: Teacher, adapting: AdaptationTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[dict[str, float]] = []
    monkeypatch.setattr(adapting, "_log", lambda values, size: logged.append({n: v.item() for n, v in values.items()}))
    lessons = [teacher.lesson(uri) for uri in ("a", "b")]
    adapting.measure_means(lessons)
    optimizer = torch.optim.AdamW(adapting.frontend.voicing.parameters(), 3e-4)
    for _ in range(8):
        optimizer.zero_grad()
        adapting.training_step(lessons, 0).backward()
        optimizer.step()
    assert logged[-1]["apart/train"] < 0.8 * logged[0]["apart/train"]
    adapting.validation_step(lessons, 0)
    assert set(logged[-1]) == {f"{name}/validation" for name in ("apart", "confused", "right")}
    trained = {name for name, weight in adapting.named_parameters() if weight.grad is not None}
    assert trained and all(name.startswith("frontend.voicing.") for name in trained)


def test_the_mean_of_the_weights_before_and_after_is_kept_as_precisely_as_before(
    adapting: AdaptationTraining, frontend: SpeakerFrontend
) -> None:
    with torch.no_grad():
        for weight in adapting.frontend.parameters():
            weight.add_(0.5)
    before = {name: weight.half() if "linear1" in name else weight for name, weight in frontend.state_dict().items()}
    learned = set(dict(frontend.voicing.named_parameters(prefix="voicing")))
    never = {name: weight for name, weight in before.items() if not name.startswith("voicing.")}
    for weights in (before, never):
        adapted = adapting.adapted(weights)
        assert adapted.keys() == before.keys()
        for name, weight in adapted.items():
            assert weight.dtype == before[name].dtype
            assert torch.allclose(weight.float(), before[name].float() + 0.25 * (name in learned), atol=1e-3)


SIZES = {"duration": 4, "development": 1, "validate-every": 2, "batch-size": 1, "jobs": 0}


def make_pipeline(folder: Path, frontend: str) -> Path:
    """Make the folder of a pipeline, such as recipes/export.py does."""
    (folder / "pix2seq").mkdir(parents=True)
    torch.manual_seed(0)
    model = Pix2Seq(frontend=frontend, width=16, num_layers=1, num_heads=2)
    model.specifications = specifications_of(Vocabulary(window=20.0, resolution=0.04, num_speakers=4))
    model.build()
    model.compensation.least.fill_(0.2)
    save_checkpoint(model, folder / "pix2seq" / "pytorch_model.bin")
    (folder / "config.yaml").write_text("pipeline: it\n")
    return folder


@pytest.mark.filterwarnings("ignore")  # of Lightning: few workers, few steps, log intervals
def test_the_recipe_writes_another_pipeline_with_other_voices_and_goes_on(
    run_recipe: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = make_pipeline(tmp_path / "pipeline", "speaker")
    sizes = [f"--{name}={size}" for name, size in SIZES.items()]
    voices = write_toy_voices(tmp_path / "voices")
    given = [pipeline, "--voices", voices, "--difficulty", "Easy", "--into", tmp_path / "run", *sizes]
    weights = pipeline / "pix2seq" / "pytorch_model.bin"
    before = weights.read_bytes()

    def adapt(steps: int, *more: str) -> dict[str, torch.Tensor]:
        run_recipe("adapt.py", *given, f"--steps={steps}", *more)
        written = tmp_path / "run" / "pipeline" / "pix2seq" / "pytorch_model.bin"
        return torch.load(written, weights_only=False)["state_dict"]

    adapted = adapt(2)
    assert weights.read_bytes() == before and (tmp_path / "run" / "pipeline" / "config.yaml").exists()
    assert f"Done: {tmp_path / 'run' / 'pipeline'}. Have it recognise enrolled" in capsys.readouterr().out
    old = torch.load(weights, weights_only=False)["state_dict"]
    changed = {name for name in old if not torch.equal(old[name], adapted[name])}
    assert {name for name in changed if not name.startswith("frontend.voicing.")} == {"compensation.least"}
    assert len(changed) > 100
    again = adapt(2)  # nothing is left to do
    assert all(torch.equal(adapted[name], again[name]) for name in adapted)
    more = adapt(3)
    assert any(not torch.equal(adapted[name], more[name]) for name in changed)
    with pytest.raises(SystemExit, match="seed was . and is 1"):
        adapt(3, "--seed=1")


def test_the_recipe_refuses_voices_that_are_learned_with_the_model(
    run_recipe: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voices = write_toy_voices(tmp_path / "voices")
    learned = make_pipeline(tmp_path / "pipeline", "voiced_mel")
    given = ["--voices", voices, "--difficulty", "Easy", "--into", tmp_path / "run"]
    with pytest.raises(SystemExit, match=r"frontend of .*/pipeline is a VoicedMelFrontend, whose voices are learned"):
        run_recipe("adapt.py", learned, *given)
    with pytest.raises(SystemExit, match="2"):
        run_recipe("adapt.py", tmp_path, *given)
    assert f"{tmp_path} is not the folder of a pipeline. Name one that recipes/export.py" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
