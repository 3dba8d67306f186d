"""Windows together, and what is to be written about them."""

from __future__ import annotations

import pytest
import torch
from draws import EXAMPLES, UNPROMPTED, draw
from language import follows_grammar
from loudness import TOKEN

from pyannote_pix2seq.training.windows import Window, collate
from pyannote_pix2seq.vocabulary import EOS, Triplet, Vocabulary, VocabularyError

VOCABULARY = Vocabulary(window=60.0, resolution=0.04, num_speakers=8)


def test_targets_of_hundreds_of_windows_follow_the_grammar() -> None:
    for seed in range(25):
        options = {"chunk": 30.0, "prompted_probability": 0.6, "stranger_probability": 0.3}
        windows = [draw(100 * seed + k, **options) for k in range(12)]
        batch = collate(windows, VOCABULARY, bins_per_token=4)
        assert follows_grammar(VOCABULARY, batch.tokens, num_bins=batch.num_bins).all()
        assert (batch.tokens == EOS).sum(1).tolist() == [1] * 12
        assert batch.lengths.tolist() == [len(window.audio.content) for window in windows]
        assert torch.equal(batch.num_bins, 4 * batch.lengths)
        assert batch.audio.content.shape == (12, max(batch.lengths), 1)
        assert batch.activity.shape == (12, 4 * max(batch.lengths), 8)
        assert (batch.num_given % 3 == 0).all()
        for row, given, window in zip(batch.tokens.tolist(), batch.num_given.tolist(), windows, strict=True):
            # the given triplets are those of the prompts: A, B, C...
            assert row[2:given:3] == [VOCABULARY.first_speaker + k for k in range(window.num_prompts)]
            written = VOCABULARY.decode(row)
            for turn, found in zip(window.turns[: window.num_prompts], written, strict=False):
                assert (found.start, found.end) == pytest.approx((turn.start, turn.end), abs=0.021)


@pytest.mark.parametrize("window", [7.0, 10.0, 15.0, 30.0])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_chunks_and_prompts_never_leave_the_window(window: float, share: float) -> None:
    vocabulary = Vocabulary(window=window, resolution=0.04, num_speakers=8)
    chunk = share * window
    options = {"chunk": chunk, "prompt_duration": window - chunk, "prompted_probability": 1.0}
    batch = collate([draw(seed, **options) for seed in range(40)], vocabulary, bins_per_token=4)
    assert chunk - TOKEN < max(batch.lengths - batch.starts) * TOKEN <= chunk
    assert max(batch.lengths) * TOKEN <= window


def test_what_a_vocabulary_cannot_say_is_no_target() -> None:
    window = Window(EXAMPLES[0].audio, [Triplet(1.0, 2.0, 0), Triplet(3.0, 4.0, 1)], 0, 0)
    with pytest.raises(VocabularyError, match="speakers"):
        collate([window], Vocabulary(window=60.0, resolution=0.04, num_speakers=1), bins_per_token=4)
    with pytest.raises(VocabularyError, match="outside the window"):
        collate([window], Vocabulary(window=3.5, resolution=0.04, num_speakers=2), bins_per_token=4)


def test_a_batch_is_padded_with_zeros_and_moves_as_one() -> None:
    long, short = (draw(0, chunk=chunk, shorter_probability=0.0, **UNPROMPTED) for chunk in (16.0, 3.2))
    batch = collate([long, short], VOCABULARY, bins_per_token=4)
    length = int(batch.lengths[1])
    assert (length, len(batch.audio.content[0])) == (20, 100)
    assert not batch.audio.content[1, length:].any() and batch.audio.content[1, :length].all()
    assert not batch.activity[1, 4 * length :].any()
    moved = batch.to(torch.device("meta"))
    assert len(moved) == 2
    tensors = [*moved.audio, moved.lengths, moved.num_bins, moved.starts, moved.tokens, moved.num_given, moved.activity]
    assert all(tensor.is_meta for tensor in tensors)
