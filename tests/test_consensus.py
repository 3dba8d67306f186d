"""What several samples agree on."""

from functools import partial

import pytest
import torch
from language import follows_grammar, spelled

from pyannote_pix2seq.activity import rasterize
from pyannote_pix2seq.decoding.consensus import match, medoid, vote
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.decoding.search import Hypothesis, _agreed
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.vocabulary import EOS, Vocabulary

VOCABULARY = Vocabulary(window=4.0, resolution=0.04, num_speakers=4)
NUM_BINS = 100
written = partial(spelled, VOCABULARY)


def consensus(*samples: list[int], given: list[int] | None = None, threshold: float = 0.5) -> list[int]:
    return vote(VOCABULARY, samples, given or [], NUM_BINS, threshold)[0]


def activity(tokens: list[int]) -> torch.Tensor:
    return rasterize(VOCABULARY, tokens, torch.zeros(NUM_BINS, VOCABULARY.num_speakers))


def test_samples_that_say_the_same_are_right() -> None:
    tokens = written((3, 20, 0), (15, 40, 1), (50, 60, 0))
    assert vote(VOCABULARY, [tokens] * 3, [], NUM_BINS, 0.5) == (tokens, [1.0, 1.0, 1.0])


def test_the_majority_decides_bin_by_bin() -> None:
    samples = [written((0, 20, 0)), written((0, 30, 0)), written((10, 40, 0))]
    assert consensus(*samples) == written((0, 30, 0))
    assert consensus(*samples, threshold=0.3) == written((0, 40, 0))
    assert consensus(*samples, threshold=0.7) == written((10, 20, 0))
    _, agreement = vote(VOCABULARY, samples, [], NUM_BINS, 0.5)
    assert agreement == [pytest.approx((10 * 2 + 11 * 3 + 10 * 2) / 31 / 3)]


def test_a_speaker_whom_one_sample_misses_shifts_no_names() -> None:
    # the second sample misses the first speaker, so it calls the others by other letters
    full = written((0, 9, 0), (10, 49, 1), (50, 99, 2))
    assert consensus(full, written((10, 49, 0), (50, 99, 1)), full) == full


def test_a_speaker_whom_few_samples_hear_is_nobody_and_names_are_given_anew() -> None:
    full = written((0, 9, 0), (10, 49, 1), (50, 99, 2))
    short = written((10, 49, 0), (50, 99, 1))
    assert consensus(full, short, short) == short


@pytest.mark.parametrize(
    ("limits", "expected", "log_prob"),
    [
        (SpeakerLimits(0, None), written((0, 30, 0)), -2.0),
        (SpeakerLimits(2, None), written((0, 30, 0), (55, 65, 1)), -1.0),  # of the likeliest sample, the second
    ],
)
def test_where_too_few_speakers_are_agreed_on_the_likeliest_sample_counts(
    limits: SpeakerLimits, expected: list[int], log_prob: float
) -> None:
    samples = [
        Hypothesis(written((0, 30, 0), (start, start + 10, 1)), [], [], likelihood)
        for start, likelihood in ((40, -2.0), (55, -1.0), (70, -3.0))
    ]
    found = _agreed(VOCABULARY, samples, [], NUM_BINS, DecodingOptions(method="consensus"), limits)
    assert (found.tokens, found.log_prob) == (expected, log_prob)


def test_prompts_stay_as_they_are() -> None:
    given = written((0, 19, 0), (22, 40, 1))
    samples = [given + written((50, 80, 1)), given + written((50, 80, 1), (60, 70, 2)), given + written((50, 80, 0))]
    tokens, agreement = vote(VOCABULARY, samples, given, NUM_BINS, 0.5)
    assert tokens == given + written((50, 80, 1))
    assert agreement == [1.0, 1.0, pytest.approx(2 / 3)]


def test_prompted_speakers_who_never_agree_are_not_exchanged() -> None:
    given = written((0, 4, 0), (8, 12, 1))
    samples = [given + written((20, 99, speaker)) for speaker in (0, 1, 1)]
    assert consensus(*samples, given=given) == given + written((20, 99, 1))


def test_where_samples_agree_that_somebody_speaks_somebody_is_written() -> None:
    # nobody has the votes of more than 40 %, but all say that one speaks from 20 on, and most that two do from 60 on
    given = written((0, 2, 0), (4, 6, 1), (8, 10, 2))
    samples = [given + written((20, 99, speaker)) for speaker in (0, 1, 2, 2, 1, 2, 0)]
    assert consensus(*samples, given=given, threshold=0.45) == given + written((20, 99, 2))
    pairs = [given + written((20, 99, first), (60, 99, second)) for first, second in ((0, 1), (0, 2), (1, 2), (0, 2))]
    tokens, agreement = vote(VOCABULARY, pairs, given, NUM_BINS, 0.7)
    assert tokens == given + written((20, 99, 0), (60, 99, 2))
    assert agreement[3:] == [0.75, 0.75]


def test_turns_last_for_five_bins_at_least_and_nothing_is_nothing() -> None:
    assert consensus(written((0, 9, 0)), written((6, 19, 0))) == []
    assert consensus(written((0, 9, 0)), written((5, 19, 0))) == written((5, 9, 0))
    # all say that somebody speaks, but change their minds about who: 0.16 s is no answer
    asked = written((0, 49, 0), (50, 53, 1), (54, 99, 0))
    assert consensus(asked, asked, written((0, 99, 0))) == written((0, 49, 0), (54, 99, 0))
    coarse = Vocabulary(window=50.0, resolution=0.5, num_speakers=4)
    assert vote(coarse, [written((0, 9, 0)), written((9, 19, 0))], [], NUM_BINS, 0.5)[0] == []
    assert consensus([], []) == []


def test_matching_puts_speakers_where_they_agree() -> None:
    reference = activity(written((0, 9, 0), (10, 30, 1)))
    other = activity(written((12, 30, 0), (40, 50, 1)))
    assert match(other, reference)[:, 1].sum() == 19
    assert torch.equal(match(other, reference, num_fixed=4), other)


def test_the_nearest_sample_is_the_one_between_the_others() -> None:
    samples = torch.stack([activity(written((0, end, 0))) for end in (10, 50, 30)])
    assert medoid(samples, 0) == 2


@pytest.mark.parametrize("seed", range(20))
def test_a_consensus_of_anything_follows_the_grammar(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(5):
        starts = torch.randint(0, 60, (6,), generator=generator).sort().values.tolist()
        turns = [(start, start + 5 + 3 * number, number % 3) for number, start in enumerate(starts)]
        samples.append(written(*turns))
    tokens = consensus(*samples, threshold=0.2)
    assert tokens and follows_grammar(VOCABULARY, torch.tensor([[*tokens, EOS]]), num_bins=torch.tensor([NUM_BINS]))
