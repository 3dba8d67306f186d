"""Beam search: what it finds, compared with every sequence and with a search by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from sequences import MAX_TURNS, few, finished, listen, log_prob_of, reseed, seeds, write
from torch import Tensor

from pyannote_pix2seq.decoding.draft import Draft
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.decoding.search import decode
from pyannote_pix2seq.grammar import grammar
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.network.context import Context
from pyannote_pix2seq.vocabulary import DIARIZE, EOS, TOKENS_PER_TRIPLET


@torch.inference_mode()
def all_sequences(model: Pix2Seq, context: Context, num_bins: Tensor, max_turns: int) -> dict[tuple[int, ...], float]:
    """Every sequence within the grammar and its log-probability."""
    found: dict[tuple[int, ...], float] = {}
    drafts: list[list[int]] = [[]]
    for length in range(TOKENS_PER_TRIPLET * max_turns + 1):
        rows = torch.tensor(drafts, dtype=torch.int64).view(len(drafts), length)
        allowed = grammar(model.vocabulary, rows, num_bins=num_bins.expand(len(drafts)), max_speakers=2, last=True)[
            :, 0
        ]
        if length == TOKENS_PER_TRIPLET * max_turns:
            found |= {tuple(draft): log_prob_of(model, context, num_bins, draft, max_speakers=2) for draft in drafts}
            break
        grown = [
            [*draft, token]
            for draft, row in zip(drafts, allowed, strict=True)
            for token in row.nonzero()[:, 0].tolist()
        ]
        ended = [draft for draft in grown if draft[-1] == EOS]
        found |= {tuple(draft): log_prob_of(model, context, num_bins, draft, max_speakers=2) for draft in ended}
        drafts = [draft for draft in grown if draft[-1] != EOS]
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_beam_that_is_wide_enough_finds_the_best_of_all_sequences(tiny_model: Pix2Seq, seed: int) -> None:
    model = reseed(tiny_model, seed)
    context, num_bins = listen(model, (1,))
    every = all_sequences(model, context, num_bins, max_turns=2)
    options = DecodingOptions(method="beam", num_beams=200, max_turns=2)
    found = decode(model, context, num_bins, options=options, limits=SpeakerLimits(max_speakers=2))[0]
    best = max(every, key=every.__getitem__)
    assert finished(found, max_turns=2) == list(best)
    assert found.log_prob == pytest.approx(every[best], abs=1e-4)


@torch.inference_mode()
def beam_by_hand(model: Pix2Seq, context: Context, num_bins: Tensor, width: int) -> tuple[list[int], float]:
    """Beam search with lists."""
    drafts: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(TOKENS_PER_TRIPLET * MAX_TURNS):
        grown = [draft for draft in drafts if EOS in draft[1]]
        for score, tokens in drafts:
            if EOS in tokens:
                continue
            row = torch.tensor([tokens], dtype=torch.int64)
            logits, _ = model.write(context, torch.cat([torch.tensor([[DIARIZE]]), row], dim=1))
            allowed = grammar(model.vocabulary, row, num_bins=num_bins, last=True)[0, 0]
            log_probs = logits[0, -1].masked_fill(~allowed, -torch.inf).log_softmax(-1)
            grown += [(score + float(log_probs[k]), [*tokens, k]) for k in allowed.nonzero()[:, 0].tolist()]
        drafts = sorted(grown, reverse=True)[:width]
    return drafts[0][1], drafts[0][0]


@pytest.mark.parametrize("width", [2, 3, 5])
@given(seed=seeds)
@few
def test_beams_are_those_of_a_search_by_hand(tiny_model: Pix2Seq, width: int, seed: int) -> None:
    model = reseed(tiny_model, seed)
    context, num_bins = listen(model, (1,))
    tokens, score = beam_by_hand(model, context, num_bins, width)
    options = DecodingOptions(method="beam", num_beams=width, max_turns=MAX_TURNS)
    found = decode(model, context, num_bins, options=options)[0]
    assert finished(found) == tokens
    assert found.log_prob == pytest.approx(score, abs=1e-4)


def test_no_finished_hypothesis_is_kept_twice(tiny_model: Pix2Seq, monkeypatch: pytest.MonkeyPatch) -> None:
    num_beams = 200  # more than there are continuations of a triplet
    drafts: list[Draft] = []
    best = Draft.best
    monkeypatch.setattr(Draft, "best", lambda draft, width: drafts.append(draft) or best(draft, width))
    for seed in range(3):
        write(reseed(tiny_model, seed), (1, 1), method="beam", num_beams=num_beams, max_turns=2, max_speakers=2)
        for row in range(0, 2 * num_beams, num_beams):
            one = slice(row, row + num_beams)
            possible = drafts[-1].log_prob[one] > -torch.inf
            kept = [tuple(tokens) for tokens in drafts[-1].tokens[one][possible].tolist()]
            assert len(set(kept)) == len(kept) > 1
