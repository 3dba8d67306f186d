"""Search for sequences within the grammar: greedy, by sampling, by beam search or by consensus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pyannote_pix2seq.decoding.consensus import vote
from pyannote_pix2seq.decoding.continuation import choice
from pyannote_pix2seq.decoding.draft import Draft, Row
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.decoding.postprocessing import postprocess
from pyannote_pix2seq.grammar import grammar
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.network.context import Context
from pyannote_pix2seq.vocabulary import DIARIZE, EOS, FIRST_TIME, PAD, TOKENS_PER_TRIPLET, Triplet, Vocabulary

ANY_NUMBER = SpeakerLimits()
NEIGHBOURS = 2
"""Bins on either side of a time whose probability counts towards that of the time."""


class Hypothesis(NamedTuple):
    """A decoded sequence.

    Attributes
    ----------
    tokens : list of int
        Given ones included, without `<eos>` and padding.
    turns : list of Triplet
    confidence : list of float
        Probability of each turn: of its speaker, of times within `NEIGHBOURS` bins of its own, and of there being a
        turn at all, so that one which only limits on the number of speakers demand counts as unlikely. For a consensus,
        the share of samples that agree. 1 for given turns.
    log_prob : float
        Log-probability of the tokens that were not given, `<eos>` included. For a consensus, mean over the samples.
    """

    tokens: list[int]
    turns: list[Triplet]
    confidence: list[float]
    log_prob: float


@torch.inference_mode()
def decode(
    model: Pix2Seq,
    context: Context,
    num_bins: Tensor,
    given: Sequence[Sequence[int]] | None = None,
    options: DecodingOptions | None = None,
    limits: SpeakerLimits = ANY_NUMBER,
) -> list[Hypothesis]:
    """Decode sequences for audio that the model has read.

    Parameters
    ----------
    model : Pix2Seq
        In evaluation mode.
    context : Context
        What `model.listen` returned for a batch of recordings of any lengths.
    num_bins : (batch,) int64
        Time bins of each recording.
    given : sequence of sequences of int, optional
        Whole triplets with which each sequence starts: those of the prompts.
    options : DecodingOptions, optional
    limits : SpeakerLimits, optional
        On the number of speakers of each sequence, prompted ones included. Default to any number that the vocabulary
        can name.

    Returns
    -------
    hypotheses : list of Hypothesis
        The best one for each recording.

    Raises
    ------
    VocabularyError
        If the limits contradict each other or the vocabulary, or `given` are no triplets.
    """
    search = _Search(model, options or DecodingOptions(), limits, num_bins, given or [[] for _ in num_bins])
    written = search.hypotheses(search.prefilled(context))
    rows = zip(written, search.given, num_bins.tolist(), strict=True)
    return [_postprocessed(model.vocabulary, *row, search.options) for row in rows]


class _Search(NamedTuple):
    """A search for sequences, with the arguments of `decode`."""

    model: Pix2Seq
    options: DecodingOptions
    limits: SpeakerLimits
    num_bins: Tensor
    given: Sequence[Sequence[int]]

    def prefilled(self, context: Context) -> Context:
        """Write as many given tokens as all sequences have, in one pass, but not the last, which predicts the next."""
        shared = slice(context.written.shape[1], min(map(len, self.given)))
        rows = [[DIARIZE, *row][shared] for row in self.given]
        tokens = torch.tensor(rows, dtype=torch.int64, device=context.written.device)
        return self.model.write(context, tokens)[1] if tokens.numel() else context

    def hypotheses(self, context: Context) -> list[Hypothesis]:
        """The best hypothesis for each recording of the context."""
        return self._by_consensus(context) if self.options.method == "consensus" else self._one_by_one(context)

    def _one_by_one(self, context: Context) -> list[Hypothesis]:
        options, vocabulary = self.options, self.model.vocabulary
        width = options.num_beams if options.method == "beam" else 1
        forced = _pad(self.given, self.num_bins.device)
        draft = Draft.begin(context, forced[:, : context.written.shape[1]], self.num_bins, width)
        choose = choice(options)
        longest = TOKENS_PER_TRIPLET * (options.max_turns + vocabulary.num_speakers)
        written: dict[int, Row] = {}
        for position in range(draft.tokens.shape[1], longest + 1):
            log_probs, going_on, draft = self._predict(draft)
            if position < forced.shape[1]:
                token = forced[draft.number // width, position]
                log_probs, going_on = _force(log_probs, token), torch.where(token == PAD, going_on, 1)
            scores = log_probs + draft.log_prob[:, None]
            beams = scores.view(-1, width, scores.shape[-1])
            parent, token = choose(beams, position % TOKENS_PER_TRIPLET, draft.number)
            mass = _mass(log_probs, parent, token, vocabulary) * going_on[parent]
            draft = draft.select(parent).append(token, scores[parent, token], mass)
            if (token < FIRST_TIME).all():
                break
            if width == 1:
                draft, done = draft.without_finished()
                written |= done
        written |= draft.best(width)
        return [_hypothesis(vocabulary, *written[number]) for number in range(len(self.num_bins))]

    def _by_consensus(self, context: Context) -> list[Hypothesis]:
        count = self.options.num_samples
        index = torch.arange(len(self.num_bins), device=self.num_bins.device).repeat_interleave(count)
        sampling = self._replace(num_bins=self.num_bins[index], given=[self.given[i] for i in index.tolist()])
        samples = sampling._one_by_one(context.repeat(count))
        groups = (samples[i : i + count] for i in range(0, len(samples), count))
        return [
            _agreed(self.model.vocabulary, group, given, num_bins, self.options, self.limits)
            for group, given, num_bins in zip(groups, self.given, self.num_bins.tolist(), strict=True)
        ]

    def _predict(self, draft: Draft) -> tuple[Tensor, Tensor, Draft]:
        """Log-probabilities of the next token within the grammar, (num_drafts, size), and `_going_on`."""
        vocabulary = self.model.vocabulary
        last = F.pad(draft.tokens, (1, 0), value=DIARIZE)[:, -1:]
        logits, context = self.model.write(draft.context, last)
        allowed = grammar(vocabulary, draft.tokens, *self.limits, num_bins=draft.num_bins, last=True)[:, 0]
        position = draft.tokens.shape[1]
        going_on = _going_on(logits[:, 0], allowed, position % TOKENS_PER_TRIPLET)
        if position >= TOKENS_PER_TRIPLET * self.options.max_turns:
            allowed = _wind_up(allowed, position % TOKENS_PER_TRIPLET)
        logits = logits[:, 0].float().masked_fill(~allowed, -torch.inf)
        return logits.log_softmax(-1), going_on, draft._replace(context=context)


def _agreed(
    vocabulary: Vocabulary,
    samples: list[Hypothesis],
    given: Sequence[int],
    num_bins: int,
    options: DecodingOptions,
    limits: SpeakerLimits,
) -> Hypothesis:
    sequences = [sample.tokens for sample in samples]
    tokens, agreement = vote(vocabulary, sequences, given, num_bins, options.threshold)
    num_speakers = len(set(tokens[TOKENS_PER_TRIPLET - 1 :: TOKENS_PER_TRIPLET]))
    if not limits.min_speakers <= num_speakers <= limits.at_once(vocabulary.num_speakers):
        return max(samples, key=lambda sample: sample.log_prob)
    log_prob = sum(sample.log_prob for sample in samples) / len(samples)
    return Hypothesis(tokens, vocabulary.decode(tokens), agreement, log_prob)


def _postprocessed(
    vocabulary: Vocabulary, found: Hypothesis, given: Sequence[int], num_bins: int, options: DecodingOptions
) -> Hypothesis:
    num_given = len(given) // TOKENS_PER_TRIPLET
    tokens, confidence = postprocess(vocabulary, found.tokens, found.confidence, num_given, num_bins, options)
    return found._replace(tokens=tokens, turns=vocabulary.decode(tokens), confidence=confidence)


def _going_on(logits: Tensor, allowed: Tensor, phase: int) -> Tensor:
    """Probability that a sequence does not end here, where only limits forbid it to; 1 elsewhere: (num_drafts,).

    Of sequences that have ended it means nothing.
    """
    if phase or allowed[:, EOS].all():
        return torch.ones(len(allowed), device=allowed.device)
    free = allowed.clone()
    free[:, EOS] = True
    stops = logits.float().masked_fill(~free, -torch.inf).softmax(-1)[:, EOS]
    return torch.where(allowed[:, EOS], 1, 1 - stops)


def _wind_up(allowed: Tensor, phase: int) -> Tensor:
    """Restrict tokens after `max_turns`: `<eos>` where it is allowed, else a turn for each speaker still needed."""
    token = torch.arange(allowed.shape[1], device=allowed.device)
    if phase == 0:
        return torch.where(allowed[:, EOS : EOS + 1], token == EOS, allowed)
    newest = (token * allowed).argmax(-1, keepdim=True)
    return token == newest if phase == 2 else allowed


def _force(log_probs: Tensor, token: Tensor) -> Tensor:
    """Give probability 1 to given tokens; PAD means that none is given."""
    certain = torch.full_like(log_probs, -torch.inf).scatter(1, token[:, None], 0.0)
    return torch.where((token == PAD)[:, None], log_probs, certain)


def _mass(log_probs: Tensor, parent: Tensor, token: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Probability of each token after its parent, summed over neighbouring bins for times: (num_drafts,)."""
    offsets = torch.arange(-NEIGHBOURS, NEIGHBOURS + 1, device=token.device)
    times = token[:, None] + offsets
    counts = (vocabulary.is_time(times) & vocabulary.is_time(token)[:, None]) | (offsets == 0)
    return (log_probs[parent[:, None], torch.where(counts, times, PAD)].exp() * counts).sum(1)


def _pad(sequences: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    rows = [torch.tensor(list(sequence), dtype=torch.int64, device=device) for sequence in sequences]
    return pad_sequence(rows, batch_first=True, padding_value=PAD)


def _hypothesis(vocabulary: Vocabulary, tokens: list[int], mass: list[float], log_prob: float) -> Hypothesis:
    turns = vocabulary.decode(tokens)
    written = TOKENS_PER_TRIPLET * len(turns)
    steps = range(0, written, TOKENS_PER_TRIPLET)
    confidence = [min(math.prod(mass[i : i + TOKENS_PER_TRIPLET]), 1.0) for i in steps]
    return Hypothesis(tokens[:written], turns, confidence, log_prob)
