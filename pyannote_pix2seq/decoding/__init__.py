"""Decoding of sequences within the grammar: greedy, by sampling, by beam search or by consensus."""

from pyannote_pix2seq.decoding.search import Hypothesis, decode

__all__ = ["Hypothesis", "decode"]
