import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from language import follows_grammar

from pyannote_pix2seq.grammar import grammar
from pyannote_pix2seq.vocabulary import EOS, FIRST_TIME, PAD, TOKENS_PER_TRIPLET, Triplet, Vocabulary, VocabularyError

V = Vocabulary(window=6.0, resolution=0.5, num_speakers=3)
A, B, C = range(V.first_speaker, V.size)

seeds = st.integers(0, 2**32 - 1)


@st.composite
def limits(draw: st.DrawFn) -> dict[str, int]:
    most = draw(st.integers(1, V.num_speakers))
    return {"min_speakers": draw(st.integers(0, most)), "max_speakers": most}


def tokens_of(*fields: int) -> list[int]:
    """Tokens of (start bin, end bin, speaker token) triplets written in a row."""
    return [field if i % 3 == 2 else FIRST_TIME + field for i, field in enumerate(fields)]


def accepts(tokens: list[int], num_bins: int | None = None, **numbers: int) -> bool:
    bins = None if num_bins is None else torch.tensor([num_bins])
    return bool(follows_grammar(V, torch.tensor([tokens]), num_bins=bins, **numbers))


def walk(seed: int, num_bins: int, steps: int = 400, **numbers: int) -> list[int]:
    """A random sequence within the grammar; the end is never chosen before `steps` if there is anything else."""
    rng = np.random.default_rng(seed)
    hasty = rng.random()
    tokens: list[int] = []
    while EOS not in tokens:
        written = torch.tensor([tokens], dtype=torch.int64)
        allowed = grammar(V, written, num_bins=torch.tensor([num_bins]), last=True, **numbers)[0, 0]
        choices = allowed.nonzero()[:, 0].tolist()
        assert choices, f"nothing may follow {tokens}"
        if len(tokens) < steps and choices != [EOS]:
            choices = [token for token in choices if token != EOS]
        tokens.append(choices[0] if rng.random() < hasty else int(rng.choice(choices)))
    return tokens


def is_well_formed(tokens: list[int], num_bins: int, min_speakers: int, max_speakers: int) -> bool:
    """The rules again, one after the other, for whole sequences."""
    if EOS not in tokens:
        return False
    stop = tokens.index(EOS)
    written, rest = tokens[:stop], tokens[stop + 1 :]
    if stop % TOKENS_PER_TRIPLET or any(token != PAD for token in rest):
        return False
    last_start = 0
    busy_until: dict[int, int] = {}
    for i in range(0, stop, TOKENS_PER_TRIPLET):
        start, end, speaker = written[i] - FIRST_TIME, written[i + 1] - FIRST_TIME, written[i + 2]
        if not last_start <= start < end < num_bins:
            return False
        if not V.first_speaker <= speaker <= V.first_speaker + min(len(busy_until), max_speakers - 1):
            return False
        if start < busy_until.get(speaker, 0):
            return False
        last_start = start
        busy_until[speaker] = end
    return len(busy_until) >= min_speakers


# sequences that follow


@given(seeds, st.integers(2, V.num_bins), limits())
@settings(max_examples=40, deadline=None)
def test_there_is_always_something_to_write(seed: int, num_bins: int, numbers: dict[str, int]) -> None:
    tokens = walk(seed, num_bins, **numbers)
    assert accepts(tokens, num_bins=num_bins, **numbers)
    assert is_well_formed(tokens, num_bins, **numbers)
    turns = V.decode(tokens)
    heard = len({turn.speaker for turn in turns})
    assert numbers["min_speakers"] <= heard <= numbers["max_speakers"]
    assert V.encode(turns) == tokens


def test_where_no_turn_fits_the_sequence_ends_whoever_is_missing() -> None:
    for num_bins in (0, 1):
        allowed = grammar(V, torch.empty(1, 0, dtype=torch.int64), min_speakers=1, num_bins=torch.tensor([num_bins]))
        assert allowed[0, 0].nonzero()[:, 0].tolist() == [EOS]


@given(seeds, st.integers(2, V.num_bins), limits())
@settings(max_examples=25, deadline=None)
def test_stopping_as_early_as_possible(seed: int, num_bins: int, numbers: dict[str, int]) -> None:
    tokens = walk(seed, num_bins, steps=0, **numbers)
    assert is_well_formed(tokens, num_bins, **numbers)


messy_turns = st.lists(
    st.builds(
        lambda start, duration, speaker: Triplet(start, min(start + duration, V.window), speaker),
        st.floats(0, V.window),
        st.floats(0, 3),
        st.sampled_from([0, 4, 9]),
    ),
    max_size=25,
)


@given(messy_turns, st.integers(2, V.num_bins))
@settings(max_examples=300, deadline=None)
def test_every_target_follows_the_grammar(turns: list[Triplet], num_bins: int) -> None:
    tokens = V.encode(turns, num_bins)
    heard = len({turn.speaker for turn in turns})
    assert accepts(tokens, num_bins=num_bins, min_speakers=heard, max_speakers=max(heard, 1))


@given(seeds, st.integers(2, V.num_bins), limits(), st.data())
@settings(max_examples=300, deadline=None)
def test_one_wrong_token_is_refused_and_one_harmless_is_not(
    seed: int, num_bins: int, numbers: dict[str, int], data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    turns = [
        Triplet(start, min(start + length, V.window), int(speaker))
        for start, length, speaker in zip(
            rng.uniform(0, 6, 6), rng.exponential(1, 6), rng.integers(3, size=6), strict=True
        )
    ]
    tokens = [*V.encode(turns, num_bins), PAD]
    for _ in range(data.draw(st.integers(0, 2))):
        tokens[data.draw(st.integers(0, len(tokens) - 1))] = data.draw(st.integers(0, V.size - 1))
    assume(EOS in tokens)
    assert accepts(tokens, num_bins=num_bins, **numbers) == is_well_formed(tokens, num_bins, **numbers)


# sequences that do not


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("an end at its start", [*tokens_of(3, 3, A), EOS]),
        ("an end before its start", [*tokens_of(3, 2, A), EOS]),
        ("a start that goes back", [*tokens_of(3, 5, A, 2, 4, B), EOS]),
        ("a letter skipped at the beginning", [*tokens_of(3, 5, B), EOS]),
        ("a letter skipped", [*tokens_of(3, 5, A, 4, 6, C), EOS]),
        ("the end within a triplet, after a start", [*tokens_of(3), EOS]),
        ("the end within a triplet, after an end", [*tokens_of(3, 5), EOS]),
        ("a turn after the end", [EOS, *tokens_of(3, 5, A)]),
        ("a second end", [*tokens_of(3, 5, A), EOS, EOS]),
        ("padding before the end", [*tokens_of(3, 5, A), PAD]),
        ("a speaker who interrupts himself", [*tokens_of(3, 6, A, 5, 8, A), EOS]),
        ("a speaker where a time belongs", [A, *tokens_of(3, 5), EOS]),
        ("a time where a speaker belongs", [*tokens_of(3, 5, 2), EOS]),
        ("a turn that starts in the last bin", [*tokens_of(11, 11, A), EOS]),
        ("nobody left to speak", [*tokens_of(0, 9, A, 0, 9, B, 0, 9, C, 5, 9, A), EOS]),
    ],
)
def test_violations(name: str, tokens: list[int]) -> None:
    assert not accepts(tokens), name


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("silence", [EOS]),
        ("an end that is padded", [*tokens_of(3, 5, A), EOS, PAD, PAD]),
        ("overlap", [*tokens_of(3, 9, A, 4, 6, B, 7, 8, B), EOS]),
        ("three who start at once", [*tokens_of(3, 9, A, 3, 5, B, 3, 4, C), EOS]),
        ("a speaker who goes on where he stopped", [*tokens_of(3, 5, A, 5, 6, A), EOS]),
        ("the whole window", [*tokens_of(0, 11, A), EOS]),
        ("the last bin", [*tokens_of(10, 11, A), EOS]),
        ("an unfinished sequence", tokens_of(3, 5, A, 6)),
    ],
)
def test_sequences_that_are_well_formed(name: str, tokens: list[int]) -> None:
    assert accepts(tokens), name


# limits


def test_speakers_asked_for() -> None:
    alone, both = [*tokens_of(0, 2, A), EOS], [*tokens_of(0, 2, A, 1, 3, B), EOS]
    assert accepts(alone, max_speakers=1) and not accepts(both, max_speakers=1)
    assert accepts(both, min_speakers=2) and not accepts(alone, min_speakers=2)
    assert not accepts([EOS], min_speakers=1)


def test_a_missing_speaker_can_always_be_heard() -> None:
    # the last start there is: B and C can still share it
    tokens = tokens_of(0, 11, A, 10, 11, B)
    allowed = grammar(V, torch.tensor([tokens]), min_speakers=3, last=True)[0, 0]
    assert allowed.nonzero()[:, 0].tolist() == tokens_of(10)
    assert accepts([*tokens, *tokens_of(10, 11, C), EOS], min_speakers=3)


def test_nobody_starts_before_somebody_is_free() -> None:
    # everyone who may speak is busy until bin 4 at least
    tokens = torch.tensor([tokens_of(0, 8, A, 1, 4, B)])
    starts = grammar(V, tokens, max_speakers=2, last=True)[0, 0, FIRST_TIME : V.first_speaker]
    assert starts.nonzero()[:, 0].tolist() == list(range(4, 11))
    # a third speaker could start at once
    starts = grammar(V, tokens, last=True)[0, 0, FIRST_TIME : V.first_speaker]
    assert starts.nonzero()[:, 0].tolist() == list(range(1, 11))


@pytest.mark.parametrize(
    "numbers",
    [
        {"min_speakers": 3, "max_speakers": 2},
        {"min_speakers": 4},
        {"max_speakers": 4},
        {"max_speakers": 0},
        {"min_speakers": -1},
    ],
)
def test_numbers_of_speakers_that_cannot_be_obeyed(numbers: dict[str, int]) -> None:
    with pytest.raises(VocabularyError, match="1 <= max_speakers <= 3"):
        grammar(V, torch.empty(1, 0, dtype=torch.int64), **numbers)


def test_every_example_has_its_own_bins() -> None:
    tokens = torch.tensor([tokens_of(1, 3, A), tokens_of(1, 3, A)])
    allowed = grammar(V, tokens, num_bins=torch.tensor([12, 6]))
    starts, ends = allowed[:, 3], allowed[:, 1]
    assert starts[0, FIRST_TIME : V.first_speaker].nonzero()[:, 0].tolist() == list(range(1, 11))
    assert starts[1, FIRST_TIME : V.first_speaker].nonzero()[:, 0].tolist() == list(range(1, 5))
    assert (ends[0].nonzero()[:, 0] - FIRST_TIME).tolist() == list(range(2, 12))
    assert (ends[1].nonzero()[:, 0] - FIRST_TIME).tolist() == list(range(2, 6))


# one position, or all


@given(st.lists(seeds, min_size=1, max_size=3), limits())
@settings(max_examples=15, deadline=None)
def test_each_position_depends_on_what_stands_before_it(many: list[int], numbers: dict[str, int]) -> None:
    sequences = [torch.tensor(walk(seed, V.num_bins, **numbers)) for seed in many]
    tokens = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=PAD)
    allowed = grammar(V, tokens, **numbers)
    assert allowed.shape == (len(many), tokens.shape[1] + 1, V.size)
    for i in range(tokens.shape[1] + 1):
        last = grammar(V, tokens[:, :i], last=True, **numbers)
        assert torch.equal(last, allowed[:, i : i + 1])
        assert torch.equal(grammar(V, tokens[:, :i], **numbers), allowed[:, : i + 1])


def test_nothing_but_padding_follows_the_end() -> None:
    allowed = grammar(V, torch.tensor([[*tokens_of(3, 5, A), EOS, PAD]]))[0]
    assert allowed[4:].nonzero().tolist() == [[0, PAD], [1, PAD]]
    assert not allowed[:4, PAD].any()
