"""Compensation of channels: what is fitted, and that people are recognised by it."""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch
from pipelines import save_checkpoint
from pyannote.audio import Model
from torch import Tensor
from toy import write_toy_voices

from pyannote_pix2seq import PRETRAINED, PRETRAINED_MEL
from pyannote_pix2seq.frontends import TOKEN_DURATION, AudioTokens
from pyannote_pix2seq.frontends.mel import MelFrontend
from pyannote_pix2seq.frontends.voiced_mel import VoicedMelFrontend
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.network.compensation import UNCOMPENSATED, ChannelCompensation
from pyannote_pix2seq.specifications import specifications_of
from pyannote_pix2seq.strategies.matching import match_enrolled
from pyannote_pix2seq.strategies.speakers import Speaker
from pyannote_pix2seq.training.compensating import (
    ACCEPTED,
    CompensationError,
    HeardVoices,
    check_has_voices,
    fit,
    heard_voices,
)
from pyannote_pix2seq.training.examples import Example
from pyannote_pix2seq.vocabulary import Triplet, Vocabulary

DIM, CHANNELS = 24, 4
"""Dimension of voices, and of the space in which channels differ."""
SIZES = ["--conversations", 24, "--duration", 12, "--jobs", 0]
"""Of what the recipe hears."""


def heard(num_speakers: int, seed: int, num_recordings: int = 6) -> HeardVoices:
    """Speakers through several channels, which change voices more than speakers differ, in a few directions."""
    rng = np.random.default_rng(seed)
    people = rng.normal(0, 1, (num_speakers, DIM))
    channel = np.zeros((num_speakers, num_recordings, DIM))
    channel[..., :CHANNELS] = rng.normal(0, 6, (num_speakers, num_recordings, CHANNELS))
    voices = people[:, None] + channel + rng.normal(0, 0.1, channel.shape)
    directions = (voices / np.linalg.norm(voices, axis=-1, keepdims=True)).reshape(-1, DIM).astype(np.float32)
    numbers = np.arange(len(directions))
    speakers = np.array([f"{seed}-{number}" for number in numbers // num_recordings])
    return HeardVoices(directions, speakers, numbers.astype(str))


def cosines(voices: HeardVoices, compensation: ChannelCompensation) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of pairs of voices of one speaker, and of two."""
    directions = compensation(torch.from_numpy(voices.directions)).numpy()
    similarity, is_same = directions @ directions.T, voices.speakers[:, None] == voices.speakers
    return similarity[is_same & ~np.eye(len(directions), dtype=bool)], similarity[~is_same]


def person(voice: Tensor, name: str | None = None) -> Speaker:
    return Speaker(AudioTokens(torch.zeros(1, 2), torch.zeros(1, 1, DIM)), 1.0, voice, 5.0, name=name)


def test_other_speakers_are_told_apart_whatever_the_channel() -> None:
    others = heard(20, seed=1)
    one, two = cosines(others, ChannelCompensation(DIM))
    assert np.median(one) < 0.2 and np.quantile(two, 0.75) > 0.3  # it is channels that are alike, or not
    fitted = fit(heard(100, seed=0))
    one, two = cosines(others, fitted)
    assert np.median(one) > 0.8 and np.median(two) < 0.1
    assert (two >= fitted.least.item()).mean() == pytest.approx(ACCEPTED, abs=ACCEPTED)
    assert (one >= fitted.least.item()).mean() > 0.9


def test_what_differs_within_speakers_is_as_large_in_all_directions() -> None:
    voices, fitted = heard(200, seed=0), fit(heard(200, seed=0))
    white = HeardVoices((voices.directions - fitted.mean.numpy()) @ fitted.whitening.numpy(), *voices[1:])
    variances = np.linalg.eigvalsh(np.cov(white.deviations.T))
    assert variances[-CHANNELS:] == pytest.approx(variances[-1], rel=0.4)
    assert variances[-1] < 1.3
    plain = np.linalg.eigvalsh(np.cov(voices.deviations.T))
    assert plain[-1] / plain[-CHANNELS - 1] > 10 * variances[-1] / variances[-CHANNELS - 1]


def test_the_fit_does_not_depend_on_the_order_of_voices() -> None:
    voices = heard(15, seed=3)
    shuffled = voices.of(np.random.default_rng(0).permutation(len(voices.speakers)))
    for name, value in fit(voices).state_dict().items():
        assert torch.allclose(value, fit(shuffled).state_dict()[name], atol=1e-4)


def test_nothing_is_compensated_before_the_fit() -> None:
    voices = 3 * torch.randn(5, DIM)
    untouched = ChannelCompensation(DIM)
    assert torch.allclose(untouched(voices), torch.nn.functional.normalize(voices, dim=-1), atol=1e-6)
    assert untouched.least.item() == pytest.approx(UNCOMPENSATED)


def test_voices_are_centred_and_whitened_in_full_precision_whatever_their_length_and_a_half_model() -> None:
    compensation = ChannelCompensation(2)
    compensation.mean.copy_(torch.tensor([0.5, 0.0]))
    compensation.whitening.copy_(torch.diag(torch.tensor([2.0, 1.0])))
    expected = torch.nn.functional.normalize(torch.tensor([[2 * (0.6 - 0.5), 0.8], [2 * (0.8 - 0.5), 0.6]]), dim=-1)
    voices = torch.tensor([[3.0, 4.0], [4000.0, 3000.0]])
    for given in (voices, voices.half()):
        for model in (compensation, copy.deepcopy(compensation).half()):
            torch.testing.assert_close(model(given), expected, atol=1e-6, rtol=0)
    assert compensation(voices.to("meta")).device.type == "meta"  # wherever the model is


def test_a_voice_of_length_0_is_nobodys() -> None:
    fitted = fit(heard(100, seed=0))
    nobody = fitted(torch.zeros(1, DIM))
    assert nobody.norm() == 0
    opposite = person(-fitted.mean, "ann")  # who is most like what is left of nothing without the mean
    assert match_enrolled([opposite], [torch.zeros(DIM)], fitted) == {}


def test_those_who_are_heard_in_one_recording_are_not_compared_with_each_other() -> None:
    voices = heard(100, seed=0)
    party = np.arange(len(voices.directions)) % 6 == 0  # at which everybody sounds the same
    directions = np.where(party[:, None], voices.directions[0], voices.directions)
    alike, apart = (
        fit(HeardVoices(directions, voices.speakers, recordings)).least.item()
        for recordings in (voices.recordings, np.where(party, "party", voices.recordings))
    )
    assert alike == pytest.approx(1.0, abs=1e-3) and apart < 0.9


def test_names_are_given_to_compensated_voices_that_are_similar_enough() -> None:
    others, fitted = heard(20, seed=2, num_recordings=2), fit(heard(100, seed=0))
    clean, noisy = (torch.from_numpy(others.directions[number::2]) for number in (0, 1))
    known = [person(voice, f"name{number}") for number, voice in enumerate(clean[:10])]
    assert match_enrolled(known, list(7 * noisy), fitted) == {number: number for number in range(10)}
    assert match_enrolled(known, list(7 * noisy), ChannelCompensation(DIM)) != {number: number for number in range(10)}
    fitted.least.fill_(1.1)
    assert match_enrolled(known, list(noisy), fitted) == {}
    assert match_enrolled([], list(noisy), fitted) == match_enrolled(known, [], fitted) == {}


def test_weights_of_before_are_loaded_without_compensation(tiny_pipeline: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(tiny_pipeline / "model" / "pytorch_model.bin", weights_only=False)
    names = [name for name in checkpoint["state_dict"] if name.startswith("compensation.")]
    assert len(names) == 3
    for name in names:
        del checkpoint["state_dict"][name]
    torch.save(checkpoint, tmp_path / "before.ckpt")
    model = Model.from_pretrained(tmp_path / "before.ckpt")
    assert model.compensation.whitening.equal(torch.eye(model.frontend.voice_dim))  # type: ignore[union-attr]


class Spoken(MelFrontend):
    """A frozen frontend, with two voices."""

    num_voices, voice_dim, frozen = 2, 3, True


def example(uri: str, turns: list[Triplet], voices: list[int], names: tuple[str, ...]) -> Example:
    """Ten seconds; the first voice of each second is along one axis, the second always along the last."""
    voice = torch.zeros(63, 2, 3)
    seconds = (torch.arange(63) * TOKEN_DURATION).long().clamp(max=len(voices) - 1)
    voice[torch.arange(63), 0, torch.tensor(voices)[seconds]] = 1.0
    voice[:, 1, 2] = 1.0
    return Example(uri, AudioTokens(torch.zeros(63, 4), voice.half()), turns, names)


def test_a_voice_is_heard_where_its_speaker_is_alone() -> None:
    turns = [Triplet(0, 6, 0), Triplet(4, 8, 1), Triplet(8, 9.5, 2)]  # the last too short
    spoken = example("a", turns, [0, 0, 0, 0, 2, 2, 1, 1, 1, 1], ("ann", "bob", "zoe"))
    rest = [example(f"{n}", [Triplet(0, 9, 0)], [0], (f"p{n % 10}",)) for n in range(20)]
    voices = heard_voices([spoken, *rest], Spoken())
    assert voices.speakers[:2].tolist() == ["ann", "bob"] and len(voices.speakers) == 22
    assert voices.directions[:2].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert voices.recordings.tolist() == ["a", "a", *map(str, range(20))]


@pytest.mark.parametrize("number", [0, 1, 9])
def test_too_few_who_are_heard_in_several_places_are_refused(number: int) -> None:
    names = [f"p{n}" for n in range(30)] + [f"p{n}" for n in range(number)]
    few = [example(f"{n}", [Triplet(0, 9, 0)], [0], (name,)) for n, name in enumerate(names)]
    with pytest.raises(CompensationError, match=f"{number} speakers .* .* in several conversations; it takes 10"):
        heard_voices(few, Spoken())


@pytest.mark.parametrize("number", [49, 50])
def test_few_who_are_heard_in_several_places_are_reported(number: int, recwarn: pytest.WarningsRecorder) -> None:
    names = [f"p{n}" for n in range(60)] + [f"p{n}" for n in range(number)]
    heard_voices([example(f"{n}", [Triplet(0, 9, 0)], [0], (name,)) for n, name in enumerate(names)], Spoken())
    assert [str(warning.message)[:47] for warning in recwarn] == ["Only 49 speakers are heard in several conversat"] * (
        number < 50
    )


def test_a_frontend_that_is_being_trained_hears_voices_as_it_does_afterwards() -> None:
    torch.manual_seed(0)
    frontend, noise = VoicedMelFrontend(content_dim=8), AudioTokens(torch.randn(63, 2560), torch.zeros(63, 0, 0))
    said = [Example(f"{n}", noise, [Triplet(0, 9, 0)], (f"p{n % 10}",)) for n in range(20)]
    trained, training = (heard_voices(said, frontend.train(mode)).directions for mode in (False, True))
    assert np.array_equal(trained, training)


def test_frontends_without_voices_are_refused() -> None:
    with pytest.raises(CompensationError, match=r"MelFrontend has no voices .* recipes/train\.py"):
        check_has_voices(MelFrontend())
    check_has_voices(Spoken())


def make_pipeline(folder: Path, frontend: str) -> Path:
    """Make the folder of a pipeline, such as recipes/export.py does."""
    (folder / "pix2seq").mkdir(parents=True)
    torch.manual_seed(0)
    model = Pix2Seq(frontend=frontend, width=16, num_layers=1, num_heads=2)
    model.specifications = specifications_of(Vocabulary(window=20.0, resolution=0.04, num_speakers=4))
    model.build()
    save_checkpoint(model, folder / "pix2seq" / "pytorch_model.bin")
    return folder


@pytest.fixture
def pipeline_folder(tmp_path: Path) -> Path:
    """That of a pipeline whose model learns its voices."""
    return make_pipeline(tmp_path / "pipeline", "voiced_mel")


def test_the_recipe_changes_nothing_but_the_compensation_and_goes_on(
    run_recipe: Callable[..., None], tmp_path: Path, pipeline_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = pipeline_folder / "pix2seq" / "pytorch_model.bin"
    before = torch.load(weights, weights_only=False)
    voices = write_toy_voices(tmp_path / "voices", num_train=12)
    given = [pipeline_folder, "--voices", voices, "--into", tmp_path / "heard", "--difficulties", "Easy", *SIZES]
    run_recipe("compensate.py", *given)
    after = torch.load(weights, weights_only=False)
    changed = {name for name in before["state_dict"] if not before["state_dict"][name].equal(after["state_dict"][name])}
    assert changed == {"compensation.mean", "compensation.whitening", "compensation.least"}
    assert {**before, "state_dict": None} == {**after, "state_dict": None}
    assert "speakers in 48 conversations: names are given from a similarity of " in capsys.readouterr().out
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "heard").rglob("*.npz")}
    assert sum("Alone-train" in path.name for path in kept) == 24 and len(kept) == 48
    run_recipe("compensate.py", *given)
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "heard").rglob("*.npz")}
    again = torch.load(weights, weights_only=False)["state_dict"]
    assert all(again[name].equal(value) for name, value in after["state_dict"].items())


def test_the_recipe_asks_for_the_folder_of_a_pipeline(
    run_recipe: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_recipe("compensate.py", tmp_path, "--voices", tmp_path, "--into", tmp_path / "heard")
    assert f"{tmp_path} is not the folder of a pipeline. Name one that recipes/export.py" in capsys.readouterr().err
    assert not (tmp_path / "heard").exists()


def test_the_recipe_leaves_the_weights_of_the_package_as_they_are(
    run_recipe: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(PRETRAINED)
    for own in (PRETRAINED, PRETRAINED_MEL, tmp_path / "link"):
        with pytest.raises(SystemExit, match="2"):
            run_recipe("compensate.py", own, "--voices", tmp_path, "--into", tmp_path / "heard")
        told = f"{own} is part of the package, whose own weights are not changed. Copy the folder (cp -rL {own} "
        assert told in capsys.readouterr().err


def test_the_recipe_refuses_a_frontend_without_voices_before_it_hears_anything(
    run_recipe: Callable[..., None], tmp_path: Path
) -> None:
    voices = write_toy_voices(tmp_path / "voices")
    without = make_pipeline(tmp_path / "pipeline", "mel")
    with pytest.raises(SystemExit, match="^compensate.py: MelFrontend has no voices"):
        run_recipe("compensate.py", without, "--voices", voices, "--into", tmp_path / "heard")
    assert not (tmp_path / "heard").exists()


def test_the_recipe_says_which_file_it_cannot_write(
    run_recipe: Callable[..., None], tmp_path: Path, pipeline_folder: Path
) -> None:
    voices, weights = write_toy_voices(tmp_path / "voices", num_train=12), pipeline_folder / "pix2seq"
    before = (weights / "pytorch_model.bin").read_bytes()
    (weights / ".pytorch_model.bin.part").mkdir()  # in the way, even of those who may write anywhere
    given = [pipeline_folder, "--voices", voices, "--into", tmp_path / "heard", "--difficulties", "Easy", *SIZES]
    with pytest.raises(SystemExit, match=r"^compensate.py: .* '.*/pix2seq/\.pytorch_model\.bin\.part'"):
        run_recipe("compensate.py", *given)
    assert (weights / "pytorch_model.bin").read_bytes() == before


def test_conversations_are_of_the_voices_and_the_noise_that_are_named(
    load_recipe: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    write_toy_voices(tmp_path / "voices")
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "hum.wav", np.full(16000, 0.1), 16000)
    options = Namespace(voices=tmp_path / "voices", split="dev", noise=None, difficulties=["Easy"], duration=10.0)
    simulators = load_recipe("compensate.py").simulators
    generated = simulators(options)
    options.noise = tmp_path / "noise"
    noise = simulators(options)
    assert list(generated) == list(noise) == ["Easy", "Alone"]
    for name, number in (("Easy", 2), ("Alone", 1)):
        conversations = [noise[name].describe(str(seed)) for seed in range(20)]
        assert {voice[:3] for talk in conversations for voice in talk.voices} == {"dev"}
        assert max(len(talk.voices) for talk in conversations) == number
        assert noise[name].acoustics.noises is not None and generated[name].acoustics.noises is None
