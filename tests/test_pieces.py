"""Waveforms in pieces, and what is joined again."""

import torch

from pyannote_pix2seq.frontends.pieces import cross_fade, cut


def test_pieces_that_agree_are_joined_to_what_they_were_cut_from():
    waveforms = torch.arange(26.0).reshape(2, 1, 13)
    pieces = cut(waveforms, 5, 3)
    assert pieces[0].tolist() == [[0, 1, 2, 3, 4], [3, 4, 5, 6, 7], [6, 7, 8, 9, 10], [9, 10, 11, 12, 0]]
    assert cut(waveforms, 20, 3).shape == (2, 1, 20)
    whole = torch.rand(2, 14, 3, generator=torch.Generator().manual_seed(0))
    whole /= whole.sum(-1, keepdim=True)
    torch.testing.assert_close(cross_fade(whole.unfold(1, 5, 3).transpose(2, 3), 3), whole)
