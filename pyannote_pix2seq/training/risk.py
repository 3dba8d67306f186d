"""Risk: the expected errors of the sequences that a model writes.

Cross-entropy rewards a model for each token of the reference behind those of the reference. What counts is how wrong
the sequences are that it writes by itself: here it draws several for each window, and makes those likelier that have
fewer errors than the others. This is REINFORCE (Williams, 1992), as used for models such as Pix2Seq by Pinto et al.,
"Tuning computer vision models with task rewards" (arXiv 2302.08242), with the mean of the other samples as a baseline
(Kool et al., "Buy 4 REINFORCE samples, get a baseline for free!", ICLR 2019 workshop). As starts never decrease, a
token can change nothing before the start of the turn before it, except which speakers are matched: only errors from
there on count for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.signal import lfilter
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pyannote_pix2seq.activity import rasterize
from pyannote_pix2seq.decoding.consensus import match
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.decoding.search import decode
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.network.context import Context
from pyannote_pix2seq.training.losses import chosen_log_probs
from pyannote_pix2seq.training.windows import Batch
from pyannote_pix2seq.vocabulary import DIARIZE, EOS, FIRST_TIME, PAD, TOKENS_PER_TRIPLET

HORIZON = 5.0
"""An error this many seconds later counts for a token by a factor of 1/e: what is written much later depends on chance
more than on the token."""


@dataclass(frozen=True)
class Samples:
    """Sequences that were drawn for windows, as many for each; those of the first window come first.

    Attributes
    ----------
    tokens : (num_samples, num_tokens) int64
        Whole triplets, given ones first, then `<eos>` and padding.
    num_given : (num_samples,) int64
        Number of tokens at the start that are given by prompts.
    num_bins : (num_samples,) int64
        Time bins of the audio.
    errors : (num_samples, num_bins)
        See `errors`.
    """

    tokens: Tensor
    num_given: Tensor
    num_bins: Tensor
    errors: Tensor


def draw(model: Pix2Seq, context: Context, batch: Batch, seed: int) -> Samples:
    """Draw sequences for windows and count their errors.

    Parameters
    ----------
    model : Pix2Seq
        In evaluation mode: it has to give samples the probabilities with which they were drawn.
    context : Context
        What `model.listen` returned for the batch, repeated for as many sequences as there are to be of each window.
    batch : Batch
    seed : int
    """
    count = len(context.written) // len(batch)
    num_given, num_bins = (values.repeat_interleave(count) for values in (batch.num_given, batch.num_bins))
    rows = zip(batch.tokens.repeat_interleave(count, 0).tolist(), num_given.tolist(), strict=True)
    options = DecodingOptions(method="sample", seed=seed)
    drawn = decode(model, context, num_bins, [row[:given] for row, given in rows], options)
    references = batch.activity.cpu().repeat_interleave(count, 0)
    prompted = (num_given // TOKENS_PER_TRIPLET).tolist()
    wrong = [
        errors(rasterize(model.vocabulary, sample.tokens, torch.zeros_like(reference)), reference, num_prompted)
        for sample, reference, num_prompted in zip(drawn, references, prompted, strict=True)
    ]
    ended = [torch.tensor([*sample.tokens, EOS, PAD, PAD]) for sample in drawn]
    tokens = pad_sequence(ended, batch_first=True, padding_value=PAD).to(num_bins.device)
    return Samples(tokens, num_given, num_bins, torch.stack(wrong).to(num_bins.device))


def errors(activity: Tensor, reference: Tensor, num_prompted: int) -> Tensor:
    """Speakers who are missed, false alarms or confused in each time bin, as DER counts them.

    Parameters
    ----------
    activity, reference : (num_bins, num_speakers)
        Zeros and ones. Except for prompted speakers, who come first, speakers are matched.
    num_prompted : int

    Returns
    -------
    errors : (num_bins,)
    """
    with torch.autocast("cpu", enabled=False):  # bins are counted exactly, and NumPy has no bfloat16
        matched = match(activity, reference, num_prompted)
    return torch.maximum(matched.sum(-1), reference.sum(-1)) - (matched * reference).sum(-1)


def merits(errors: Tensor, decay: float) -> Tensor:
    """How many fewer errors are to come in a sample, from each time bin on, than in the others of the same window.

    Parameters
    ----------
    errors : (num_windows, num_samples, num_bins)
    decay : float
        How much an error counts, compared to one in the bin before.

    Returns
    -------
    merits : (num_windows, num_samples, num_bins)
    """
    backwards = lfilter([1.0], [1.0, -decay], errors.flip(-1).cpu().numpy())
    to_come = torch.from_numpy(backwards).to(errors).flip(-1)
    others = (to_come.sum(1, keepdim=True) - to_come) / (errors.shape[1] - 1)
    return others - to_come


def risk_loss(model: Pix2Seq, context: Context, samples: Samples) -> Tensor:
    """Loss whose gradient is that of the expected errors, in seconds per window; its value means nothing.

    Parameters
    ----------
    model : Pix2Seq
    context : Context
        That of `draw`.
    samples : Samples
    """
    tokens, resolution = samples.tokens, model.vocabulary.resolution
    logits, _ = model.write(context, F.pad(tokens[:, :-1], (1, 0), value=DIARIZE))
    log_probs = chosen_log_probs(model.vocabulary, logits, tokens, samples.num_bins)
    num_windows = len(context.voice)
    better = merits(samples.errors.unflatten(0, (num_windows, -1)), math.exp(-resolution / HORIZON)).flatten(0, 1)
    weighted = log_probs * better.gather(1, _earliest(tokens)) * resolution
    return -weighted.masked_fill(~_is_drawn(samples), 0).sum() / len(tokens)


def _is_drawn(samples: Samples) -> Tensor:
    """Whether each token is neither given, nor the `<eos>` that `max_turns` demands, nor padding: as `tokens`, bool."""
    position = torch.arange(samples.tokens.shape[1], device=samples.tokens.device)
    is_free = position < TOKENS_PER_TRIPLET * DecodingOptions.max_turns
    return (samples.tokens != PAD) & is_free & (position >= samples.num_given[:, None])


def _earliest(tokens: Tensor) -> Tensor:
    """First time bin that each token of whole triplets can change: (num_samples, num_tokens) int64."""
    starts = (tokens[:, ::TOKENS_PER_TRIPLET] - FIRST_TIME).clamp(min=0)
    before = F.pad(starts[:, :-1], (1, 0))
    return torch.stack([before, starts, starts], dim=-1).flatten(1)
