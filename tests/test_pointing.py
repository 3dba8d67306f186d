"""Pointing at time bins: hazards, survival, and where a voice ends."""

import math

import pytest
import torch

from pyannote_pix2seq.network.attention import VOICE_GAIN
from pyannote_pix2seq.network.pointing import RATE, REACH, Pointing
from pyannote_pix2seq.network.rotary import rotate
from pyannote_pix2seq.network.written import Written
from pyannote_pix2seq.vocabulary import DIARIZE, FIRST_TIME, Vocabulary

WIDTH, BINS_PER_TOKEN, NUM_AUDIO_TOKENS = 8, 4, 10
NUM_BINS = BINS_PER_TOKEN * NUM_AUDIO_TOKENS
VOCABULARY = Vocabulary(window=1.6, resolution=0.04, num_speakers=3)
TOKENS = torch.tensor([[DIARIZE, FIRST_TIME + 5, FIRST_TIME + 20, VOCABULARY.first_speaker, FIRST_TIME + 12]])


def point(
    pointing: Pointing, state: torch.Tensor, real: torch.Tensor | None = None, voice: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of all bins, and of none, of a written triplet and the start of another."""
    written = Written.read(TOKENS, VOCABULARY, BINS_PER_TOKEN)
    audio = torch.zeros(1, NUM_AUDIO_TOKENS, 0, 0) if voice is None else voice
    starts = torch.zeros(1, 5, 0, 0) if voice is None else voice[:, written.starts[0] // BINS_PER_TOKEN]
    keys = pointing.keys(torch.randn(1, NUM_AUDIO_TOKENS, WIDTH, generator=torch.Generator().manual_seed(1)))
    real = torch.ones(1, NUM_AUDIO_TOKENS, dtype=torch.bool) if real is None else real
    with torch.inference_mode():
        return pointing(state, torch.arange(5.0)[None], written, keys, (starts, audio), real)


@pytest.fixture
def state() -> torch.Tensor:
    return torch.randn(1, 5, WIDTH, generator=torch.Generator().manual_seed(0))


def make_pointing(num_voices: int = 0) -> Pointing:
    torch.manual_seed(0)
    return Pointing(WIDTH, BINS_PER_TOKEN, num_voices).eval()


def test_something_happens_once_or_never(state: torch.Tensor) -> None:
    scores, never = point(make_pointing(), state)
    assert scores.shape == (1, 5, NUM_BINS) and never.shape == (1, 5, 1)
    for position, first in enumerate([0, 5, 5, 5, 12]):
        total = scores[0, position, first:].exp().sum() + never[0, position].exp()
        assert total.item() == pytest.approx(1, abs=1e-5)


def test_reduced_precision_loses_no_probability(state: torch.Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        scores, never = point(make_pointing(), state)
    total = scores[0, 1, 5:].exp().sum() + never[0, 1].exp()
    assert scores.dtype == torch.float32 and total.item() == pytest.approx(1, abs=1e-5)


def test_a_constant_rate_is_a_geometric_distribution(state: torch.Tensor) -> None:
    pointing = make_pointing()
    for layer in (pointing.query, pointing.rate):
        torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(pointing.query.bias)
    scores, never = point(pointing, state)
    hazard = 1 / (1 + math.exp(-RATE))
    expected = [math.log(hazard) + k * math.log(1 - hazard) for k in range(NUM_BINS - 5)]
    assert scores[0, 1, 5:].tolist() == pytest.approx(expected, abs=1e-5)
    assert never[0, 0].item() == pytest.approx(NUM_BINS * math.log(1 - hazard), abs=1e-5)


def test_bins_are_where_their_centres_are() -> None:
    pointing = make_pointing()
    vector = torch.randn(WIDTH, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        pointing.key.weight.zero_()
        pointing.key.bias.copy_(vector.repeat(BINS_PER_TOKEN))
        keys = pointing.keys(torch.zeros(1, NUM_AUDIO_TOKENS, WIDTH))[0]
        centre = rotate(vector, pointing.rotary(torch.tensor(12.5 / BINS_PER_TOKEN)))
    products = keys @ centre
    assert products.argmax() == 12 and products[11].item() == pytest.approx(products[13].item(), abs=1e-5)


def test_nothing_happens_in_padding(state: torch.Tensor) -> None:
    real = torch.arange(NUM_AUDIO_TOKENS)[None] < 6
    scores, never = point(make_pointing(), state, real)
    everywhere, _ = point(make_pointing(), state)
    torch.testing.assert_close(scores[..., :24], everywhere[..., :24])
    assert scores[0, 0, :24].exp().sum() + never[0, 0].exp() == pytest.approx(1, abs=1e-5)


def test_ends_are_where_the_voice_of_the_onset_stops(state: torch.Tensor) -> None:
    pointing = make_pointing(num_voices=1)
    voice = torch.eye(2)[[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]][None, :, None]
    without, _ = point(pointing, state, voice=voice)
    with torch.no_grad():
        # a detector of "heard until here, and no more"
        pointing.voice.weight[..., : REACH // 2] = 0.1
        pointing.voice.weight[..., REACH // 2 :] = -0.1
    hears, _ = point(pointing, state, voice=voice)
    written = Written.read(TOKENS, VOCABULARY, BINS_PER_TOKEN)
    difference = (hears - without)[0]
    is_start = written.role == 1
    assert difference[~is_start].abs().max() == 0
    assert (difference[is_start][:, 20:].argmax(-1) == 0).all()  # the first bin of token 5
    # where the turns start, the voice is in 1 and 3 of the tokens before, and in 4 and 2 from there on
    hazards = [scores[0, [1, 4], [5, 12]].exp().logit() for scores in (hears, without)]
    assert (hazards[0] - hazards[1]).tolist() == pytest.approx([-0.3 * VOICE_GAIN, 0.1 * VOICE_GAIN], abs=1e-2)
