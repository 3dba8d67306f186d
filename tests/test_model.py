from pathlib import Path
from typing import Any

import pytest
import torch
from pyannote.audio import Model
from pyannote.audio.core.task import Problem, Resolution, Specifications
from rows import rows
from torch import Tensor

from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.frontends import FRONTENDS, AudioTokens
from pyannote_pix2seq.grammar import grammar
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.network.context import Context
from pyannote_pix2seq.network.written import Written
from pyannote_pix2seq.specifications import specifications_of
from pyannote_pix2seq.vocabulary import DIARIZE, EOS, FIRST_TIME, Triplet, Vocabulary, VocabularyError

TURNS = [Triplet(0.2, 1.1, 0), Triplet(0.9, 2.0, 1), Triplet(1.3, 2.4, 0), Triplet(2.5, 2.7, 2)]
NUM_AUDIO_TOKENS = 18


@pytest.fixture(scope="module")
def speaker_model() -> Pix2Seq:
    """Two layers behind the speaker frontend, all weights random."""
    torch.manual_seed(0)
    model = Pix2Seq(frontend="speaker", width=24, num_layers=2, num_heads=2)
    model.specifications = specifications_of(Vocabulary(window=10.0, resolution=0.04, num_speakers=5))
    model.build()
    return model.eval()


@pytest.fixture(params=["mel", "speaker"])
def model(request: pytest.FixtureRequest, tiny_model: Pix2Seq) -> Pix2Seq:
    return tiny_model if request.param == "mel" else request.getfixturevalue("speaker_model")


def random_audio(model: Pix2Seq, batch: int = 2, num_tokens: int = NUM_AUDIO_TOKENS, seed: int = 0) -> AudioTokens:
    """What the frontend of the model might give, in the precision of the model."""
    generator = torch.Generator().manual_seed(seed)
    frontend, dtype = model.frontend, model.stop.weight.dtype
    content = torch.randn(batch, num_tokens, frontend.content_dim, generator=generator, dtype=dtype)
    voice = torch.randn(batch, num_tokens, frontend.num_voices, frontend.voice_dim, generator=generator, dtype=dtype)
    certainty = torch.rand(batch, num_tokens, frontend.num_voices, 1, generator=generator, dtype=dtype)
    return AudioTokens(content, torch.nn.functional.normalize(voice, dim=-1) * certainty)


def written_about(model: Pix2Seq, batch: int = 2) -> Tensor:
    """`<diarize>` and four turns, (batch, 13); the turns of each example start a bit later than those before."""
    later = [[Triplet(s + 0.04 * k, e + 0.04 * k, who) for s, e, who in TURNS] for k in range(batch)]
    return torch.tensor([[DIARIZE, *model.vocabulary.encode(turns)[:-1]] for turns in later])


@torch.inference_mode()
def logits_of(model: Pix2Seq, audio: AudioTokens, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
    return model.write(model.listen(audio, lengths), tokens)[0]


# reading and writing


@torch.inference_mode()
def test_writing_token_by_token_equals_writing_at_once(model: Pix2Seq) -> None:
    model.double()
    try:
        audio, tokens = random_audio(model), written_about(model)
        start = model.listen(audio)
        expected, whole = model.write(start, tokens)
        for size in (1, 2, 5):
            context, pieces = start, []
            for piece in tokens.split(size, dim=1):
                logits, context = model.write(context, piece)
                pieces.append(logits)
            torch.testing.assert_close(torch.cat(pieces, dim=1), expected, atol=1e-10, rtol=0)
            assert torch.equal(context.written, whole.written)
        assert start.written.shape == (2, 0) and torch.equal(whole.written, tokens)
    finally:
        model.float()


def test_logits_depend_on_what_was_written_before_only(model: Pix2Seq) -> None:
    audio, tokens = random_audio(model), written_about(model)
    expected = logits_of(model, audio, tokens)
    for position in range(1, tokens.shape[1]):
        changed = tokens.clone()
        changed[:, position] += 1
        logits = logits_of(model, audio, changed)
        torch.testing.assert_close(logits[:, :position], expected[:, :position], atol=1e-5, rtol=0)
        known = torch.isfinite(expected[:, position:])
        assert (logits[:, position:] - expected[:, position:])[known].abs().max() > 1e-4


def test_padding_of_the_audio_has_no_influence(model: Pix2Seq) -> None:
    audio, tokens = random_audio(model), written_about(model)
    noise = random_audio(model, num_tokens=7, seed=1)
    padded = AudioTokens(*(torch.cat([a, 100 * b], dim=1) for a, b in zip(audio, noise, strict=True)))
    expected = logits_of(model, audio, tokens)
    found = logits_of(model, padded, tokens, torch.tensor([NUM_AUDIO_TOKENS] * 2))
    heard = torch.isfinite(expected)
    torch.testing.assert_close(found[heard], expected[heard], atol=1e-4, rtol=0)


def test_a_batch_of_different_lengths_equals_one_by_one(model: Pix2Seq) -> None:
    lengths = torch.tensor([18, 5, 11])
    audio, tokens = random_audio(model, batch=3), written_about(model, batch=3)[:, :4]
    tokens[:, 1:3] = torch.tensor([[FIRST_TIME + k, FIRST_TIME + 5 + k] for k in range(3)])
    together = logits_of(model, audio, tokens, lengths)
    for k, length in enumerate(lengths.tolist()):
        alone = audio.at((slice(k, k + 1), slice(length)))
        expected = logits_of(model, alone, tokens[k : k + 1])
        num_bins = torch.tensor([length * model.frontend.bins_per_token])
        allowed = grammar(model.vocabulary, tokens[k : k + 1, 1:], num_bins=num_bins)
        torch.testing.assert_close(together[k : k + 1][allowed], expected[allowed], atol=1e-4, rtol=0)


def test_only_times_of_the_audio_are_possible_and_speakers_only_after_an_end(model: Pix2Seq) -> None:
    logits = logits_of(model, random_audio(model), written_about(model))
    first_beyond = FIRST_TIME + NUM_AUDIO_TOKENS * model.frontend.bins_per_token
    possible = torch.zeros(logits.shape[1:], dtype=torch.bool)
    possible[:, :first_beyond] = True  # padding, <eos> and times
    possible[2::3, EOS:first_beyond] = False  # but not after <diarize>, a start and an end
    possible[2::3, model.vocabulary.first_speaker :] = True
    assert torch.equal(torch.isfinite(logits), possible.expand_as(logits))
    assert torch.equal(torch.isneginf(logits), ~possible.expand_as(logits))


@torch.inference_mode()
def test_times_beyond_the_shorter_audio_of_a_batch_are_impossible(model: Pix2Seq) -> None:
    audio, tokens = random_audio(model), written_about(model)[:2]
    lengths = torch.tensor([NUM_AUDIO_TOKENS, 5])
    context = model.listen(audio.at(slice(2)), lengths)
    logits, _ = model.write(context, tokens[:, :1])
    times = logits[:, 0, FIRST_TIME : model.vocabulary.first_speaker]
    assert torch.isfinite(times).sum(-1).tolist() == (lengths * model.frontend.bins_per_token).tolist()


def test_times_that_have_no_name_are_impossible(model: Pix2Seq) -> None:
    vocabulary = model.vocabulary
    num_tokens = vocabulary.num_bins // model.frontend.bins_per_token + 2
    logits = logits_of(model, random_audio(model, num_tokens=num_tokens), written_about(model))
    assert torch.isfinite(logits[:, 0, : vocabulary.first_speaker]).all()
    assert torch.isneginf(logits[:, 0, vocabulary.first_speaker :]).all()


def test_all_weights_have_a_gradient_where_nobody_is_written(tiny_model: Pix2Seq) -> None:
    context = tiny_model.listen(random_audio(tiny_model))
    logits, _ = tiny_model.write(context, torch.full((2, 1), DIARIZE))
    logits[..., EOS].sum().backward()
    weights = (tiny_model.name.weight, tiny_model.compare.weight)
    assert all(weight.grad is not None and not weight.grad.any() for weight in weights)
    tiny_model.zero_grad()


def test_weights_of_half_precision_predict_in_single_precision(tiny_model: Pix2Seq) -> None:
    expected = logits_of(tiny_model, random_audio(tiny_model), written_about(tiny_model))
    tiny_model.bfloat16()
    found = logits_of(tiny_model, random_audio(tiny_model), written_about(tiny_model))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.5, rtol=0)


@torch.inference_mode()
def test_voices_enter_through_their_cosines_alone(speaker_model: Pix2Seq) -> None:
    audio, tokens = random_audio(speaker_model), written_about(speaker_model)
    dim = speaker_model.frontend.voice_dim
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=torch.Generator().manual_seed(3))).Q
    turned = AudioTokens(audio.content, audio.voice @ rotation)
    expected = logits_of(speaker_model, audio, tokens)
    heard = torch.isfinite(expected)
    found = logits_of(speaker_model, turned, tokens)
    torch.testing.assert_close(found[heard], expected[heard], atol=1e-4, rtol=0)
    activity, other = speaker_model.listen(audio).activity, speaker_model.listen(turned).activity
    torch.testing.assert_close(other, activity, atol=1e-4, rtol=0)
    silent = AudioTokens(audio.content, torch.zeros_like(audio.voice))
    assert (logits_of(speaker_model, silent, tokens)[heard] - expected[heard]).abs().max() > 1e-3


@torch.inference_mode()
def test_a_turn_carries_the_mean_of_its_region(tiny_model: Pix2Seq) -> None:
    # 4 bins a token: the turn from the middle of bin 2 to the middle of bin 9 covers 0.375 of token 0, 1, 0.375 of 2
    audio = random_audio(tiny_model, batch=1, num_tokens=5)
    triplet = [FIRST_TIME + 2, FIRST_TIME + 9, tiny_model.vocabulary.first_speaker + 1]
    written = Written.read(torch.tensor([[DIARIZE, *triplet]]), tiny_model.vocabulary, 4)
    stream = tiny_model._embed_written(written, torch.zeros(1, 4, 0, 0), tiny_model.listen(audio).content)
    content = audio.content[0]
    turn = (0.375 * content[0] + content[1] + 0.375 * content[2]) / 1.75
    onset = (0.375 * content[0] + content[1] + content[2] + content[3] + 0.625 * content[4]) / 4
    roles = tiny_model.embed_role.weight
    torch.testing.assert_close(stream.state[0, 0], tiny_model.embed_content.bias + roles[1])
    torch.testing.assert_close(stream.state[0, 1], tiny_model.embed_content(onset) + roles[2])
    torch.testing.assert_close(stream.state[0, 2], tiny_model.embed_content(turn) + roles[3])
    speaker = tiny_model.embed_content(turn) + roles[4] + tiny_model.embed_speaker.weight[1]
    torch.testing.assert_close(stream.state[0, 3], speaker)
    assert stream.time[0, 1:].tolist() == [0.625, 2.375, 0.625]


def test_audio_tokens_are_at_their_centres(tiny_model: Pix2Seq, monkeypatch: pytest.MonkeyPatch) -> None:
    read, times = tiny_model.transformer.read, []
    monkeypatch.setattr(
        tiny_model.transformer, "read", lambda positions, real: times.append(positions.time) or read(positions, real)
    )
    tiny_model.listen(random_audio(tiny_model, num_tokens=3))
    assert times[0].tolist() == [[0.5, 1.5, 2.5]] * 2


def test_before_training_speakers_are_told_by_the_cosine_of_their_first_voice(
    speaker_model: Pix2Seq, tiny_model: Pix2Seq
) -> None:
    assert not speaker_model.compare.weight.any() and not tiny_model.compare.weight.any()
    assert speaker_model.compare.bias.tolist() == [10, 0, 0, -5]  # three voices, and whether one was named
    assert tiny_model.compare.bias.tolist() == [0]


@torch.inference_mode()
def test_a_context_keeps_repeats_and_reorders_its_examples(model: Pix2Seq) -> None:
    audio, tokens = random_audio(model), written_about(model)
    index = torch.tensor([1, 0, 1])
    _, context = model.write(model.listen(audio), tokens[:, :4])
    expected = model.write(context, tokens[:, 4:])[0][index]
    found, chosen = model.write(rows(context, index), tokens[index, 4:])
    torch.testing.assert_close(found, expected)
    assert isinstance(chosen, Context) and torch.equal(chosen.written, tokens[index])


# a pyannote.audio model


def test_a_model_that_cannot_be_moved_stays_where_it_is(tiny_model: Pix2Seq) -> None:
    with pytest.raises((RuntimeError, NotImplementedError, AssertionError)):
        tiny_model.to(torch.device("xpu"))
    assert tiny_model.device == torch.device("cpu")
    assert tiny_model(*tiny_model.example_input_array).isfinite().any()


def test_the_example_input_gives_logits(tiny_model: Pix2Seq) -> None:
    waveforms, tokens = tiny_model.example_input_array
    logits = tiny_model(waveforms, tokens)
    assert waveforms.shape == (1, 1, 32000) and tokens.shape == (1, 3)
    assert logits.shape == (1, 4, tiny_model.vocabulary.size) == (1, 4, 506)
    audio = tiny_model.frontend(waveforms)
    expected = logits_of(tiny_model, audio, torch.tensor([[DIARIZE, *tokens[0].tolist()]]))
    torch.testing.assert_close(logits.detach(), expected)


@pytest.mark.parametrize(("num_samples", "num_frames"), [(1, 1), (2560, 1), (2561, 2), (32000, 13), (160000, 63)])
def test_frames_are_audio_tokens(tiny_model: Pix2Seq, num_samples: int, num_frames: int) -> None:
    assert tiny_model.num_frames(num_samples) == num_frames
    context = tiny_model.listen(tiny_model.frontend(torch.randn(1, 1, num_samples)))
    assert context.activity.shape == (1, 4 * num_frames, 4)
    assert context.pointers.shape == (1, 4 * num_frames, 32)


def test_frames_follow_each_other_without_gap_or_overlap(tiny_model: Pix2Seq) -> None:
    assert [tiny_model.receptive_field_size(n) for n in (1, 2, 10)] == [2560, 5120, 25600]
    assert [tiny_model.receptive_field_center(n) for n in (0, 1, 2)] == [1280, 3840, 6400]
    field = tiny_model.receptive_field
    assert (field.duration, field.step) == pytest.approx((0.16, 0.16))


def test_checkpoints_keep_the_logits(tiny_model: Pix2Seq, tiny_pipeline: Path) -> None:
    loaded = Model.from_pretrained(tiny_pipeline, subfolder="model")
    assert isinstance(loaded, Pix2Seq) and loaded.vocabulary == tiny_model.vocabulary
    assert loaded.vocabulary == Vocabulary(window=20.0, resolution=0.04, num_speakers=4)
    inputs = tiny_model.example_input_array
    assert torch.equal(loaded.eval()(*inputs), tiny_model(*inputs))


def test_building_again_changes_no_weight(tiny_model: Pix2Seq) -> None:
    before = {name: weight.clone() for name, weight in tiny_model.state_dict().items()}
    tiny_model.setup()
    after = tiny_model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_pretrained_frontend_is_frozen_and_a_learned_one_is_not(speaker_model: Pix2Seq, tiny_model: Pix2Seq) -> None:
    assert not any(weight.requires_grad for weight in speaker_model.frontend.parameters())
    assert all(weight.requires_grad for weight in tiny_model.parameters())


def test_models_are_single_precision_whatever_other_tensors_are() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        model = Pix2Seq(frontend="voiced_mel", width=16, num_layers=1, num_heads=2)
        model.specifications = specifications_of(Vocabulary(window=4.0, resolution=0.04, num_speakers=2))
        model.build()
        logits = model.train()(*model.example_input_array)
    finally:
        torch.set_default_dtype(torch.float32)
    weights = [weight for weight in model.state_dict().values() if weight.is_floating_point()]
    assert {weight.dtype for weight in (*weights, logits)} == {torch.float32}


# what cannot be


def test_an_unknown_frontend() -> None:
    with pytest.raises(ValueError, match="no frontend 'spectrogram'. Use one of .*mel.*speaker"):
        Pix2Seq(frontend="spectrogram")


def test_another_sample_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="mel frontend works at 16000 Hz, not at 8000 Hz. Give .*16000: .*resampled"):
        Pix2Seq(frontend="mel", sample_rate=8000)
    monkeypatch.setitem(FRONTENDS, "narrow", type("Narrow", (FRONTENDS["mel"],), {"sample_rate": 8000}))
    with pytest.raises(ValueError, match="narrow frontend works at 8000 Hz, not at 16000 Hz. Give sample_rate=8000"):
        Pix2Seq(frontend="narrow")
    assert Pix2Seq(frontend="narrow", sample_rate=8000).frontend.sample_rate == 8000


@pytest.mark.parametrize(
    ("size", "value", "allowed"),
    [
        ("width", 0, "a whole number, 1 or more"),
        ("width", -12, "a whole number, 1 or more"),
        ("num_layers", 0, "a whole number, 1 or more"),
        ("num_layers", -1, "a whole number, 1 or more"),
        ("num_layers", 2.5, "a whole number, 1 or more"),
        ("num_heads", 0, "a whole number, 1 or more"),
        ("dropout", -0.1, "a number from 0 to 1"),
        ("dropout", 1.1, "a number from 0 to 1"),
        ("dropout", "0.1", "a number from 0 to 1"),
    ],
)
def test_sizes_out_of_their_ranges(size: str, value: Any, allowed: str) -> None:
    with pytest.raises(ArgumentError, match=f"^Pix2Seq: {size}={value!r} was given; it has to be {allowed}.$"):
        Pix2Seq(**{size: value})


def test_sizes_that_do_not_fit_each_other() -> None:
    with pytest.raises(ArgumentError, match="^width=20 cannot be shared by 6 heads: it must be a multiple of 12.$"):
        Pix2Seq(width=20)


def test_sizes_at_the_ends_of_their_ranges(tiny_model: Pix2Seq) -> None:
    for dropout in (0, 1):
        model = Pix2Seq(width=2, num_layers=1, num_heads=1, dropout=dropout)
        model.specifications = tiny_model.specifications
        model.build()
        assert model.eval()(*tiny_model.example_input_array).isfinite().any()


def test_an_unknown_option() -> None:
    with pytest.raises(TypeError, match="num_blocks"):
        Pix2Seq(frontend="mel", num_blocks=3)  # type: ignore[call-arg]


def test_specifications_of_another_resolution(tiny_model: Pix2Seq) -> None:
    tiny_model.specifications = specifications_of(Vocabulary(window=20.0, resolution=0.05, num_speakers=4))
    with pytest.raises(
        VocabularyError, match=r"406 tokens \(400 time bins, 4 speakers\).*40 ms: 500 time bins are needed"
    ):
        _ = tiny_model.vocabulary


@pytest.mark.parametrize("classes", [None, ["A", "B"], ["<pad>", "<eos>", "0.020", "0.060", "A"], ["speaker#1"]])
def test_specifications_of_another_task(tiny_model: Pix2Seq, classes: list[str] | None) -> None:
    tiny_model.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION, resolution=Resolution.CHUNK, duration=20.0, classes=classes
    )
    with pytest.raises(VocabularyError, match=f"vocabulary of {len(classes or [])} tokens.*500 time bins are needed"):
        tiny_model.build()


def test_a_new_vocabulary_is_noticed(tiny_model: Pix2Seq) -> None:
    for num_speakers in (4, 3):
        vocabulary = Vocabulary(window=20.0, resolution=0.04, num_speakers=num_speakers)
        tiny_model.specifications = specifications_of(vocabulary)
        assert tiny_model.vocabulary == vocabulary
