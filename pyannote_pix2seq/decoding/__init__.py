"""Decoding of sequences within the grammar: greedy, by sampling, by beam search or by consensus."""

from .search import Hypothesis, decode

__all__ = ["Hypothesis", "decode"]
