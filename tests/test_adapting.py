"""Adaptation of the speaker embedding network to conversations: what is learned, from what, and the recipe."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from toy import write_toy_voices

from pyannote_pix2seq import PRETRAINED
from pyannote_pix2seq.checkpoints import MODEL, load_model, save_weights
from pyannote_pix2seq.frontends import SpeakerFrontend
from pyannote_pix2seq.frontends.campplus import fbank
from pyannote_pix2seq.frontends.level import amplified
from pyannote_pix2seq.simulation import Acoustics, Conversation, PlainTurns, Simulator, Voices
from pyannote_pix2seq.training.adapting import (
    AdaptationTraining,
    FixedLessons,
    LessonLoader,
    RandomLessons,
    together,
)
from pyannote_pix2seq.training.lessons import NUM_REGIONS, Lesson, LessonError, Teacher, regions
from pyannote_pix2seq.training.run import check_settings
from pyannote_pix2seq.vocabulary import Triplet

SECONDS = 6.0
NUM_FRAMES = 299
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


def test_conversations_in_which_nobody_is_heard_alone_are_not_rendered(
    simulator: Simulator, frontend: SpeakerFrontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Simulator(simulator.voices, PlainTurns(), simulator.acoustics, 0.1)  # too short for anybody
    rendered: list[Conversation] = []
    monkeypatch.setattr(Simulator, "render", lambda self, conversation: rendered.append(conversation))
    with pytest.raises(LessonError, match="In 100 simulated conversations, nobody speaks alone"):
        Teacher(short, frontend).lesson("a")
    assert not rendered


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_is_wrong_in_another_process_is_said_without_its_traceback(
    simulator: Simulator, frontend: SpeakerFrontend, num_workers: int
) -> None:
    silent = Simulator(simulator.voices, Silence(), simulator.acoustics, 1.0)  # type: ignore[arg-type]
    lessons = FixedLessons(Teacher(silent, frontend), 1)
    with pytest.raises(LessonError) as raised:
        list(LessonLoader(DataLoader(lessons, num_workers=num_workers, collate_fn=together)))
    assert str(raised.value).startswith("In 100 simulated") and str(raised.value).endswith("--difficulty.")


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


def test_before_training_voices_are_those_of_campplus_and_nothing_else_is_heard(
    teacher: Teacher, adapting: AdaptationTraining, frontend: SpeakerFrontend
) -> None:
    lesson = teacher.lesson("a")
    whole = lesson._replace(weights=torch.ones(1, NUM_FRAMES), speakers=lesson.speakers[:1])
    with torch.inference_mode():
        expected = F.normalize(frontend.campplus(fbank(lesson.waveform[None])), dim=-1)
        voices = adapting._voices(adapting._frames([whole, whole]), [whole, whole])
        assert adapting._parts([lesson, lesson])["unlike"].item() == pytest.approx(0, abs=1e-5)
    assert F.cosine_similarity(voices, expected).tolist() == pytest.approx([1, 1], abs=0.01)


def test_lessons_know_what_was_heard_before_training(teacher: Teacher, frontend: SpeakerFrontend) -> None:
    lesson = teacher.lesson("a")
    waveform = torch.from_numpy(np.ascontiguousarray(teacher.simulator.render(teacher.simulator.describe("a-0"))))
    assert torch.equal(lesson.waveform, amplified(waveform[None])[0])
    assert lesson.posteriors.shape == lesson.refined.shape == (frontend.num_tokens(len(waveform[0])) * 4, 7)
    posteriors, frames = frontend.features(lesson.waveform[None])
    expected = frontend.refinement(posteriors, frontend.by_bin(frames, posteriors.shape[1]))
    assert torch.allclose(lesson.posteriors, posteriors[0], atol=1e-4)
    assert torch.allclose(lesson.refined.exp(), expected[0].exp(), atol=1e-2)


def test_voices_are_compared_with_those_of_all_speakers_of_the_batch_once_means_are_subtracted(
    teacher: Teacher, adapting: AdaptationTraining
) -> None:
    lessons = [teacher.lesson(uri) for uri in ("a", "b")]
    clean = F.normalize(torch.randn(5, 192, generator=torch.manual_seed(0)), dim=-1)
    parts = [
        lessons[0]._replace(clean=clean[:2], speakers=torch.tensor([0, 1])),
        lessons[1]._replace(clean=clean[2:], speakers=torch.tensor([2, 0])),
    ]
    heard = clean[[0, 1, 4, 3]] + 5.0  # the last one is taken for another; all of them are moved
    adapting.heard_mean.fill_(5.0)
    compared = adapting._compared(heard, parts)
    cosine = float(clean[3] @ clean[2])
    assert compared["apart"].item() == pytest.approx((1 - cosine) / 4, abs=1e-4) and compared["right"].item() == 0.75
    logits = 12 * clean @ clean.T
    expected = F.cross_entropy(logits[[0, 1, 4, 3]], torch.tensor([0, 1, 4, 2]))
    assert compared["confused"].item() == pytest.approx(expected.item(), abs=1e-4)


def test_means_are_those_of_what_is_heard_and_of_what_is_clean(teacher: Teacher, adapting: AdaptationTraining) -> None:
    lessons = [teacher.lesson(uri) for uri in ("a", "b")]
    adapting.measure_means(lessons)
    heard = adapting._voices(adapting._frames(lessons), lessons)
    assert torch.allclose(adapting.heard_mean, heard.mean(0), atol=1e-4)
    assert torch.allclose(adapting.clean_mean, torch.cat([each.clean for each in lessons]).mean(0))


def test_lessons_that_means_are_measured_of_are_not_kept(teacher: Teacher, adapting: AdaptationTraining) -> None:
    kept: list[weakref.ref] = []

    def one_by_one() -> Iterator[Lesson]:
        for uri in ("a", "b", "c"):
            assert sum(reference() is not None for reference in kept) <= 2  # of the one before
            lesson = teacher.lesson(uri)
            kept.extend(weakref.ref(field) for field in (lesson.waveform, lesson.clean))
            yield lesson

    adapting.measure_means(one_by_one())
    assert len(kept) == 6 and not any(reference() is not None for reference in kept)


def test_training_brings_voices_nearer_to_clean_ones_while_the_refinement_hears_the_same(
    teacher: Teacher, adapting: AdaptationTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[dict[str, float]] = []
    monkeypatch.setattr(adapting, "_log", lambda values, size: logged.append({n: v.item() for n, v in values.items()}))
    lessons = [teacher.lesson(uri) for uri in ("a", "b")]
    adapting.measure_means(lessons)
    adapting.validation_step(lessons, 0)
    optimizer = adapting.configure_optimizers()["optimizer"]
    for group, rate in zip(optimizer.param_groups, (1e-4, 3e-4), strict=True):
        group["lr"] = rate  # without a warm-up
    for _ in range(8):
        optimizer.zero_grad()
        adapting.training_step(lessons, 0).backward()
        optimizer.step()
    adapting.validation_step(lessons, 0)
    assert set(logged[0]) == {f"{name}/validation" for name in ("apart", "confused", "right", "unlike")}
    assert logged[-1]["apart/validation"] < 0.8 * logged[0]["apart/validation"]
    trained = {name for name, weight in adapting.named_parameters() if weight.grad is not None}
    networks = {name.split(".")[1] for name in trained}
    assert networks == {"campplus", "refinement"}
    after, adapted = logged[-1]["unlike/validation"], adapting.frontend.refinement.state_dict()
    adapting.frontend.refinement.load_state_dict(teacher.frontend.refinement.state_dict())
    adapting.validation_step(lessons, 0)
    assert after < 0.8 * logged[-1]["unlike/validation"]  # as of a refinement that was not trained on
    adapting.frontend.refinement.load_state_dict(adapted)


def test_the_mean_of_the_weights_before_and_after_is_kept_as_precisely_as_before(
    adapting: AdaptationTraining, frontend: SpeakerFrontend
) -> None:
    with torch.no_grad():
        for weight in adapting.frontend.parameters():
            weight.add_(0.5)
    before = {name: weight.half() if "linear1" in name else weight for name, weight in frontend.state_dict().items()}
    networks = ("campplus.", "refinement.")
    learned = {name for name, _ in frontend.named_parameters() if name.startswith(networks)}
    adapted = adapting.adapted(before)
    assert adapted.keys() == before.keys() and len(learned) > 300
    for name, weight in adapted.items():
        assert weight.dtype == before[name].dtype
        assert torch.allclose(weight.float(), before[name].float() + 0.25 * (name in learned), atol=1e-3)


SIZES = {"duration": 4, "development": 1, "validate-every": 2, "batch-size": 1, "jobs": 0}


@pytest.mark.filterwarnings("ignore")  # of Lightning: few workers, few steps, log intervals
def test_the_recipe_writes_another_frontend_and_goes_on(
    run_recipe: Callable[..., None], tmp_path: Path, frontend: SpeakerFrontend, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(frontend.state_dict(), tmp_path / "refined.pt")
    sizes = [f"--{name}={size}" for name, size in SIZES.items()]
    voices, run = write_toy_voices(tmp_path / "voices"), tmp_path / "run"
    given = ["--voices", voices, "--difficulty", "Easy", "--frontend", tmp_path / "refined.pt", *sizes]

    def adapt(steps: int, *more: str) -> dict[str, torch.Tensor]:
        run_recipe("adapt.py", *given, "--into", run, f"--steps={steps}", *more)
        return torch.load(run / "frontend.pt")

    adapted = adapt(2)
    said = capsys.readouterr().out
    assert f"recipes/train.py --voices {voices} --difficulty Easy --frontend {run / 'frontend.pt'} --into run/" in said
    changed = {name for name, weight in frontend.state_dict().items() if not torch.equal(weight, adapted[name])}
    assert {name.split(".")[0] for name in changed} == {"campplus", "refinement"} and len(changed) > 300
    again = adapt(2)  # nothing is left to do
    assert all(torch.equal(adapted[name], again[name]) for name in adapted)
    more = adapt(3)
    assert any(not torch.equal(adapted[name], more[name]) for name in changed)
    with pytest.raises(SystemExit, match="seed was . and is 1"):
        adapt(3, "--seed=1")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "frontend.pt").touch()
    with pytest.raises(SystemExit, match="elsewhere/frontend.pt is not of a run in this folder. Name another --into"):
        run_recipe("adapt.py", *given, "--into", elsewhere)


def test_the_folder_of_a_refinement_is_refused(
    run_recipe: Callable[..., None], tmp_path: Path, frontend: SpeakerFrontend
) -> None:
    folder = tmp_path / "refinement"
    (folder / "heard").mkdir(parents=True)
    torch.save(frontend.state_dict(), folder / "frontend.pt")
    check_settings(folder, seed=0, batch_size=4)
    save_weights({"global_step": 4000, "state_dict": {}}, folder / "checkpoints" / "last.ckpt")
    given = ["--voices", write_toy_voices(tmp_path / "voices"), "--difficulty", "Easy", "--development=1"]
    with pytest.raises(SystemExit, match="refinement is the folder of a run of recipes/refine.py. Name another --into"):
        run_recipe("adapt.py", *given, "--frontend", folder / "frontend.pt", "--into", folder)
