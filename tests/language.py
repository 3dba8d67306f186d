"""What tests write, and ask of what is written."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pyannote_pix2seq.grammar import grammar
from pyannote_pix2seq.vocabulary import Vocabulary


def spelled(vocabulary: Vocabulary, *turns: tuple[int, int, int]) -> list[int]:
    """Tokens of turns of (first bin, last bin, speaker)."""
    return [token for turn in turns for token in vocabulary.triplet(*turn)]


def follows_grammar(vocabulary: Vocabulary, tokens: Tensor, **limits: Any) -> Tensor:
    """Whether each sequence of `tokens` (batch, num_tokens) follows the `grammar` within its limits: (batch,) bool."""
    allowed = grammar(vocabulary, tokens, **limits)[:, :-1]
    return allowed.gather(2, tokens[..., None]).squeeze(-1).all(1)
