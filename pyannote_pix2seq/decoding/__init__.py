"""From a model that listened to a sequence: greedily, sampled, by beam search or by consensus, within the grammar."""

from .search import Hypothesis, decode

__all__ = ["Hypothesis", "decode"]
