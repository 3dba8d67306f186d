"""Who is active in which time bin, by what is written."""

from __future__ import annotations

import torch

from pyannote_pix2seq.activity import rasterize
from pyannote_pix2seq.vocabulary import EOS, FIRST_TIME, Triplet, Vocabulary


def test_activity_by_hand() -> None:
    vocabulary = Vocabulary(window=4.0, resolution=0.5, num_speakers=2)
    tokens = vocabulary.encode([Triplet(0.5, 1.6, 0), Triplet(1.5, 3.9, 1)])
    activity = rasterize(vocabulary, tokens, torch.zeros(8, 2))
    assert activity.T.tolist() == [[0, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1]]
    # what stands after the end, or is unfinished, is not there
    more = [*tokens, FIRST_TIME, FIRST_TIME + 7, vocabulary.first_speaker]
    assert torch.equal(rasterize(vocabulary, more, torch.zeros(8, 2)), activity)
    assert torch.equal(rasterize(vocabulary, [*tokens[:-1], FIRST_TIME + 6], torch.zeros(8, 2)), activity)
    assert not rasterize(vocabulary, [EOS], torch.zeros(8, 2)).any()
