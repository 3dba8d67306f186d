"""The refinement of the speaker frontend: what it changes, and the recipe that trains it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from toy import write_toy_voices

from pyannote_pix2seq.frontends import AudioTokens, SpeakerFrontend
from pyannote_pix2seq.frontends import refinement as refinement_module
from pyannote_pix2seq.frontends.campplus import NUM_FRAME_CHANNELS
from pyannote_pix2seq.frontends.counting import pool_counts
from pyannote_pix2seq.frontends.level import amplified
from pyannote_pix2seq.frontends.mel import MelFrontend
from pyannote_pix2seq.frontends.refinement import SMALLEST, Refinement
from pyannote_pix2seq.frontends.segmentation import NUM_CLASSES
from pyannote_pix2seq.training.examples import Example, ExampleCache
from pyannote_pix2seq.training.refining import (
    NUM_TOKENS,
    FirstPieces,
    Piece,
    RandomPieces,
    RefinementFeatures,
    RefinementTraining,
    piece,
)
from pyannote_pix2seq.vocabulary import Triplet

NUM_BINS = 4 * NUM_TOKENS


@pytest.fixture(scope="module")
def posteriors() -> torch.Tensor:
    return torch.randn(2, NUM_BINS, NUM_CLASSES, generator=torch.manual_seed(0)).mul(4).softmax(dim=-1)


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return torch.randn(2, NUM_BINS, NUM_FRAME_CHANNELS, generator=torch.manual_seed(1))


def test_what_was_never_trained_corrects_nothing(posteriors: torch.Tensor, frames: torch.Tensor) -> None:
    refined = Refinement(NUM_CLASSES, NUM_FRAME_CHANNELS).eval()(posteriors, frames).exp()
    assert torch.allclose(refined, posteriors, atol=1e-3)
    assert torch.allclose(refined.sum(dim=-1), torch.ones(2, NUM_BINS))


def test_it_hears_two_and_a_half_seconds_to_each_side(posteriors: torch.Tensor, frames: torch.Tensor) -> None:
    refinement = Refinement(NUM_CLASSES, NUM_FRAME_CHANNELS).eval()
    torch.nn.init.normal_(refinement.correct.weight)
    other = frames.clone()
    other[:, -1] += 10
    changed = (refinement(posteriors, frames) != refinement(posteriors, other)).any(dim=-1)[0]
    reach = 2 * sum(Refinement.DILATIONS)
    assert changed[-1 - reach :].float().mean() > 0.9 and not changed[: -1 - reach].any()
    assert 0.04 * reach == pytest.approx(2.48)


def test_frames_are_disturbed_in_training_alone(
    posteriors: torch.Tensor, frames: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refinement_module, "DROPOUT", 0.0)
    monkeypatch.setattr(refinement_module, "FRAME_DROPOUT", 1.0)
    refinement = Refinement(NUM_CLASSES, NUM_FRAME_CHANNELS)
    torch.nn.init.normal_(refinement.correct.weight)
    assert torch.equal(refinement(posteriors, frames), refinement(posteriors, -frames))  # it hears none
    assert not torch.equal(refinement.eval()(posteriors, frames), refinement(posteriors, -frames))
    monkeypatch.setattr(refinement_module, "FRAME_DROPOUT", 0.0)
    noisy = refinement._disturbed(torch.zeros(100, 50, 20))
    assert noisy.std().item() == pytest.approx(0.3 * 2**0.5, rel=0.05)
    assert noisy.mean(dim=1).std().item() == pytest.approx(0.3, rel=0.05)


def test_half_of_a_correction_is_believed_after_training(
    posteriors: torch.Tensor, frames: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NOISE", "FRAME_DROPOUT"):
        monkeypatch.setattr(refinement_module, name, 0.0)
    refinement = Refinement(NUM_CLASSES, NUM_FRAME_CHANNELS).eval()
    torch.nn.init.normal_(refinement.correct.weight, std=0.1)
    half = refinement(posteriors, frames)
    refinement.training = True  # but not its layers, which drop nothing out
    whole = refinement(posteriors, frames)
    heard = posteriors.clamp(min=SMALLEST).log()
    assert torch.allclose((heard + 0.5 * (whole - heard)).log_softmax(dim=-1), half, atol=1e-5)


def test_how_far_out_an_outlier_of_the_frames_is_does_not_matter(
    posteriors: torch.Tensor, frames: torch.Tensor
) -> None:
    refinement = Refinement(NUM_CLASSES, NUM_FRAME_CHANNELS).eval()
    torch.nn.init.normal_(refinement.correct.weight)
    within, out, far_out = (frames.index_fill(2, torch.tensor([7]), value) for value in (3.0, 5.0, 1e4))
    assert torch.equal(refinement(posteriors, out), refinement(posteriors, far_out))
    assert not torch.equal(refinement(posteriors, within), refinement(posteriors, out))


def example(turns: list[Triplet], num_tokens: int = NUM_TOKENS + 10) -> Example:
    audio = AudioTokens(torch.zeros(num_tokens, 28), torch.zeros(num_tokens, 4, NUM_FRAME_CHANNELS))
    return Example("meeting@0.00", audio, turns, ("ann", "bob", "cleo", "dan"))


def test_a_piece_has_the_turns_of_those_who_speak_most() -> None:
    turns = [Triplet(0.0, 3.2, 0), Triplet(1.6, 4.0, 1), Triplet(2.0, 2.4, 2), Triplet(4.0, 8.0, 3)]
    found = piece(example(turns), first=10)
    assert found.posteriors.shape == (NUM_BINS, NUM_CLASSES) and found.frames.shape == (NUM_BINS, NUM_FRAME_CHANNELS)
    # it begins at 1.6 s
    assert found.activity.sum(dim=0).tolist() == [100, 60, 40]
    assert found.activity[:, 1].nonzero().flatten().tolist() == list(range(60))


def test_a_piece_that_the_example_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"meeting@0\.00 has 74 audio tokens; .* number 11 needs 75\. Make longer"):
        piece(example([]), first=11)


@pytest.fixture
def refining() -> RefinementTraining:
    torch.manual_seed(0)
    return RefinementTraining(num_steps=30, steps_per_epoch=30, batch_size=2)


def test_the_order_of_the_speakers_of_the_target_does_not_matter(
    posteriors: torch.Tensor, refining: RefinementTraining
) -> None:
    activity = torch.zeros(2, NUM_BINS, 3)
    activity[:, :100, 0] = 1
    activity[:, 50:200, 1] = 1
    losses = [refining._loss(posteriors.log(), activity[..., order]) for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0])]
    assert torch.equal(losses[0], losses[1]) and torch.equal(losses[0], losses[2])


def test_who_is_right_about_everything_loses_nothing(refining: RefinementTraining) -> None:
    classes = torch.zeros(1, NUM_BINS, dtype=torch.int64)
    classes[:, 50:100] = 2  # the second speaker
    classes[:, 100:120] = 4  # the first and the second
    activity = torch.zeros(1, NUM_BINS, 3)
    activity[:, 50:120, 0] = 1
    activity[:, 100:120, 2] = 1
    right = F.one_hot(classes, NUM_CLASSES).float().clamp(min=1e-4).log()
    assert refining._loss(right, activity).item() == pytest.approx(0, abs=1e-3)
    silent = F.one_hot(torch.zeros_like(classes), NUM_CLASSES).float().clamp(min=1e-4).log()
    assert refining._loss(silent, activity).item() == pytest.approx(70 / NUM_BINS * -math.log(1e-4), rel=1e-3)


def test_speakers_of_the_target_are_those_who_are_likelier_even_if_silence_is_the_likeliest(
    refining: RefinementTraining,
) -> None:
    unsure = torch.tensor([0.5, 0.1, 0.3, 0.1, 0.0, 0.0, 0.0]).clamp(min=1e-4).log().expand(1, NUM_BINS, -1)
    activity = torch.tensor([1.0, 0.0, 0.0]).expand(1, NUM_BINS, -1)
    assert refining._loss(unsure, activity).item() == pytest.approx(-math.log(0.3), abs=1e-4)


def test_dropout_depends_on_the_step_and_the_seed_alone(
    posteriors: torch.Tensor, frames: torch.Tensor, refining: RefinementTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(step: int, seed: int) -> float:
        monkeypatch.setattr(RefinementTraining, "global_step", step)
        refining.seed = seed
        return refining.training_step(batch, 0).item()

    torch.nn.init.normal_(refining.refinement.correct.weight)
    monkeypatch.setattr(refining, "log", lambda *_, **__: None)
    batch = Piece(posteriors, frames, F.pad((frames[..., :1] > 0).float(), (0, 2)))
    before = torch.get_rng_state()
    first = [loss(*where) for where in ((0, 0), (1, 0), (0, 1))]
    assert torch.equal(torch.get_rng_state(), before)  # nobody else's random numbers are touched
    torch.manual_seed(5)
    assert [loss(*where) for where in ((0, 0), (1, 0), (0, 1))] == first and len(set(first)) == 3


def test_training_lowers_the_loss(posteriors: torch.Tensor, frames: torch.Tensor, refining: RefinementTraining) -> None:
    """Posteriors say nothing here; a fifth of the frames' channels says who speaks."""
    activity = F.pad((frames[..., :1] > 0).float(), (0, 2))
    telling = frames.clone()
    telling[..., :100] = 3 * activity[..., :1] - 1.5
    optimizer = torch.optim.AdamW(refining.parameters(), 2e-3)
    losses = []
    for _ in range(40):
        loss = refining._loss(refining.refinement(posteriors, telling), activity)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def cache_of(folder: Path, lengths: list[int]) -> ExampleCache:
    """Examples of so many tokens each."""
    cache = ExampleCache.__new__(ExampleCache)
    cache.frontend = MelFrontend()  # whose tokens last as long
    cache.paths = [folder / f"{number}.npz" for number in range(len(lengths))]
    for path, length in zip(cache.paths, lengths, strict=True):
        content = np.full((length, 28), length, dtype=np.float16)
        voice = np.zeros((length, 4, NUM_FRAME_CHANNELS), np.float16)
        np.savez(path, content=content, voice=voice, turns=[(0, 1, 0)], names=["ann"])
    return cache


def test_what_is_too_short_is_not_validated(tmp_path: Path) -> None:
    pieces = FirstPieces(cache_of(tmp_path, [NUM_TOKENS - 1, NUM_TOKENS, NUM_TOKENS + 30]))
    lengths = [int(pieces[index].posteriors[0, 0]) for index in range(len(pieces))]
    assert lengths == [NUM_TOKENS, NUM_TOKENS + 30]


def test_pieces_of_a_step_depend_on_its_number_alone(
    tmp_path: Path, refining: RefinementTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = RandomPieces(cache_of(tmp_path, list(range(NUM_TOKENS, NUM_TOKENS + 20))), refining)
    monkeypatch.setattr(RefinementTraining, "global_step", 0)
    drawn = [int(piece.posteriors[0, 0]) for piece in pieces]
    assert len(drawn) == len(pieces) == 60 and len(set(drawn)) > 10
    monkeypatch.setattr(RefinementTraining, "global_step", 25)
    loader = DataLoader(pieces, batch_size=2, num_workers=2)
    assert [batch.posteriors[:, 0, 0].tolist() for batch in loader] == [drawn[i : i + 2] for i in range(50, 60, 2)]


def test_what_is_heard_is_what_the_frontend_refines() -> None:
    torch.manual_seed(0)
    hearing, frontend = RefinementFeatures(), SpeakerFrontend()
    frontend.load_state_dict(hearing.state_dict())
    waveforms = 1e-3 * torch.randn(1, 1, 16000)  # quiet
    heard, tokens = hearing(waveforms), frontend(waveforms)
    assert heard.voice.shape == (1, tokens.content.shape[1], 4, NUM_FRAME_CHANNELS)
    posteriors = heard.content.unflatten(-1, (4, -1)).flatten(1, 2)
    numbers = frontend.counter(amplified(waveforms), posteriors.shape[1])
    expected = pool_counts(posteriors.log(), numbers, torch.tensor([0, 1, 1, 1, 2, 2, 2])).exp()
    assert torch.allclose(expected, tokens.content.unflatten(-1, (4, -1)).flatten(1, 2), atol=1e-3)  # nothing corrected


SIZES = {"conversations": 3, "development": 1, "duration": 12, "validate-every": 2, "batch-size": 2, "jobs": 0}


@pytest.mark.filterwarnings("ignore")  # of Lightning: few workers, few steps, log intervals
def test_the_recipe_trains_the_refinement_alone_and_goes_on(
    run_recipe: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched = SpeakerFrontend().state_dict()
    torch.save(fetched, tmp_path / "fetched.pt")
    options = [f"--{name}={size}" for name, size in SIZES.items()]
    given = ["--voices", write_toy_voices(tmp_path / "voices"), "--difficulty", "Easy", *options]

    def refine(steps: int, *more: str) -> dict[str, torch.Tensor]:
        rest = ["--frontend", tmp_path / "fetched.pt", "--into", tmp_path / "folder", f"--steps={steps}"]
        run_recipe("refine.py", *given, *rest, *more)
        return torch.load(tmp_path / "folder" / "frontend.pt", weights_only=True)

    refined = refine(steps=2)
    kind = f"--voices {tmp_path / 'voices'} --difficulty Easy --frontend {tmp_path / 'folder' / 'frontend.pt'}"
    assert f"with: python recipes/train.py {kind} --into run/\n" in capsys.readouterr().out
    changed = {name for name in fetched if not torch.equal(fetched[name], refined[name])}
    assert changed and all(name.startswith("refinement.") for name in changed)
    heard = np.load(next((tmp_path / "folder" / "heard" / "train").rglob("*.npz")))
    assert heard["content"].shape[1:] == (28,) and heard["voice"].shape[1:] == (4, NUM_FRAME_CHANNELS)
    again = refine(steps=2)  # nothing is left to do
    assert all(torch.equal(refined[name], again[name]) for name in refined)
    assert not torch.equal(refine(steps=4)["refinement.correct.bias"], refined["refinement.correct.bias"])
    checkpoint = torch.load(tmp_path / "folder" / "checkpoints" / "last.ckpt", weights_only=False)
    assert checkpoint["global_step"] == 4
    with pytest.raises(SystemExit, match="seed was . and is 1"):
        refine(4, "--seed=1")


def test_a_frontend_of_something_else_is_not_replaced(run_recipe: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "frontend.pt").write_text("mine")
    given = ["--voices", tmp_path, "--difficulty", "Easy", "--frontend", tmp_path / "fetched.pt", "--into", tmp_path]
    with pytest.raises(SystemExit, match="frontend.pt is not of a run in this folder, and would be replaced"):
        run_recipe("refine.py", *given)
    assert [path.name for path in tmp_path.iterdir()] == ["frontend.pt"]


def test_conversations_that_are_shorter_than_a_piece_are_refused(
    run_recipe: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--voices", tmp_path, "--difficulty", "Easy", "--frontend", tmp_path / "fetched.pt", "--into", tmp_path]
    with pytest.raises(SystemExit):
        run_recipe("refine.py", *given, "--duration", 10)
    assert "--duration 10: pieces of 10.24 s are cut out of it. Make it longer" in capsys.readouterr().err
