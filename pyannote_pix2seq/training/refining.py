"""Training of the refinement of a speaker frontend, before the model that uses the frontend is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from lightning import LightningModule
from pyannote.audio.torchmetrics import DiarizationErrorRate
from pyannote.audio.utils.permutation import permutate
from pyannote.audio.utils.powerset import Powerset
from pyannote.core import Segment
from torch import Tensor
from torch.optim import AdamW
from torch.utils.data import Dataset, IterableDataset

from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.frontends import TOKEN_DURATION, AudioTokens, SpeakerFrontend
from pyannote_pix2seq.frontends.campplus import NUM_FRAME_CHANNELS
from pyannote_pix2seq.frontends.level import amplified
from pyannote_pix2seq.frontends.refinement import Refinement
from pyannote_pix2seq.frontends.segmentation import MAX_LOCAL_SPEAKERS, MAX_OVERLAP, NUM_CLASSES
from pyannote_pix2seq.training.examples import Example, ExampleCache
from pyannote_pix2seq.training.schedule import annealed
from pyannote_pix2seq.training.steps import combined_seed, steps_left
from pyannote_pix2seq.training.windows import crop

NUM_TOKENS = SpeakerFrontend.CHUNK
"""Audio tokens of a piece: as many as in a chunk of the segmentation network."""
LEARNING_RATE = 2e-3


class RefinementFeatures(SpeakerFrontend):
    """Frontend whose tokens are the input of a refinement, so that networks process each recording once.

    `content` is the posteriors of a token, as in a `SpeakerFrontend` but not refined, nor pooled with a second
    estimate; `voice` is not a voice but the mean CAM++ frame of each of its bins.
    """

    num_voices = SpeakerFrontend.bins_per_token
    voice_dim = NUM_FRAME_CHANNELS

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> AudioTokens:
        posteriors, frames = self.features(amplified(waveforms))
        bins = (posteriors, self.by_bin(frames, posteriors.shape[1]))
        content, voice = (field.unflatten(1, (-1, self.bins_per_token)) for field in bins)
        return AudioTokens(content.flatten(2), voice)


class Piece(NamedTuple):
    """About ten seconds of an example; or a batch of them.

    Attributes
    ----------
    posteriors : (num_bins, num_classes) torch.Tensor
    frames : (num_bins, num_channels) torch.Tensor
    activity : (num_bins, MAX_LOCAL_SPEAKERS) torch.Tensor
        1 where a speaker is active; the most active speakers, in any order.
    """

    posteriors: Tensor
    frames: Tensor
    activity: Tensor


def piece(example: Example, first: int) -> Piece:
    """The piece of an example, made by `RefinementFeatures`, that begins with audio token number `first`.

    Activity is the target of the posteriors of each bin, so a turn begins and ends at the nearest borders of bins, and
    is as long on average as what is spoken. `activity.rasterize` counts all of the first and of the last bin instead,
    which a written turn names however little of them is spoken.

    Raises
    ------
    ValueError
        If the example ends before the piece does.
    """
    step, bins_per_token = TOKEN_DURATION, RefinementFeatures.bins_per_token
    if first + NUM_TOKENS > len(example.audio.content):
        raise ArgumentError(
            f"{example.uri} has {len(example.audio.content)} audio tokens; a piece that begins with number {first} "
            f"needs {first + NUM_TOKENS}. Make longer conversations."
        )
    part = crop(example, Segment(first * step, (first + NUM_TOKENS) * step))
    num_bins = NUM_TOKENS * bins_per_token
    activity = torch.zeros(num_bins, max((turn.speaker for turn in part.turns), default=0) + 1)
    for start, end, speaker in part.turns:
        activity[round(start / step * bins_per_token) : round(end / step * bins_per_token), speaker] = 1
    busiest = activity.sum(0).argsort(descending=True, stable=True)[:MAX_LOCAL_SPEAKERS]
    missing = MAX_LOCAL_SPEAKERS - len(busiest)
    return Piece(
        part.audio.content.float().reshape(num_bins, -1),
        part.audio.voice.float().reshape(num_bins, -1),
        F.pad(activity[:, busiest], (0, missing)),
    )


class RandomPieces(IterableDataset):
    """Random pieces for the remaining steps of an epoch.

    Every step is a function of the seed and its number, as in `SequenceDiarization`: training that is interrupted
    resumes as if it had not been interrupted.
    """

    def __init__(self, examples: ExampleCache, refining: RefinementTraining):
        self.examples, self.refining = examples, refining

    def __len__(self) -> int:
        """Number of pieces in a whole epoch."""
        return self.refining.steps_per_epoch * self.refining.batch_size

    def __iter__(self) -> Iterator[Piece]:
        for step in steps_left(self.refining.global_step, self.refining.steps_per_epoch):
            rng = np.random.default_rng([self.refining.seed, step])
            for _ in range(self.refining.batch_size):
                example = self.examples[int(rng.integers(len(self.examples)))]
                yield piece(example, int(rng.integers(max(len(example.audio.content) - NUM_TOKENS, 0) + 1)))


class FirstPieces(Dataset):
    """The first piece of each example that is long enough."""

    def __init__(self, examples: ExampleCache):
        self.examples = examples
        lengths = [len(examples[index].audio.content) for index in range(len(examples))]
        self.indices = [index for index, length in enumerate(lengths) if length >= NUM_TOKENS]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Piece:
        return piece(self.examples[self.indices[index]], 0)


class RefinementTraining(LightningModule):
    """Trains the refinement of a speaker frontend, from random weights.

    The loss is the cross-entropy of powerset classes, with the best permutation of the target's speakers (Plaquet and
    Bredin, Powerset multi-class cross entropy loss for neural speaker diarization, Interspeech 2023).

    Parameters
    ----------
    num_steps : int
        Number of training steps, after which the learning rate is a fiftieth of its peak.
    steps_per_epoch : int
    batch_size : int
    seed : int, optional
        Of the pieces, and of noise and dropout.
    """

    def __init__(self, num_steps: int, steps_per_epoch: int, batch_size: int, seed: int = 0):
        super().__init__()
        self.refinement = Refinement(NUM_CLASSES, NUM_FRAME_CHANNELS)
        self.num_steps, self.steps_per_epoch, self.batch_size = num_steps, steps_per_epoch, batch_size
        self.seed = seed
        self.powerset = Powerset(MAX_LOCAL_SPEAKERS, MAX_OVERLAP)
        self.error = DiarizationErrorRate(0.5)

    def training_step(self, batch: Piece, batch_idx: int) -> Tensor:
        """Cross-entropy of one batch, averaged over bins."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(combined_seed(self.seed, self.global_step))
            loss = self._loss(self.refinement(batch.posteriors, batch.frames), batch.activity)
        self.log("loss/train", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(batch.activity))
        return loss

    def validation_step(self, batch: Piece, batch_idx: int) -> None:
        """Loss, and diarization error rate of the likeliest classes, with speakers mapped piece by piece.

        Corrections are scaled as after training and frames are not perturbed, so this loss is not comparable to that of
        training.
        """
        log_posteriors = self.refinement(batch.posteriors, batch.frames)
        active = self.powerset(log_posteriors)
        self.error(active.transpose(1, 2), batch.activity.transpose(1, 2))
        loss = self._loss(log_posteriors, batch.activity)
        self.log("loss/validation", loss, prog_bar=True, batch_size=len(batch.activity))
        self.log("error/validation", self.error, prog_bar=True, batch_size=len(batch.activity))

    def _loss(self, log_posteriors: Tensor, activity: Tensor) -> Tensor:
        permuted, _ = permutate(self.powerset(log_posteriors.detach(), soft=True), activity)
        target = self.powerset.to_powerset(permuted.float()).argmax(dim=-1)
        return F.nll_loss(log_posteriors.flatten(0, 1), target.flatten())

    def configure_optimizers(self) -> Any:
        """AdamW, with a linear warm-up and a cosine decay."""
        optimizer = AdamW(self.refinement.parameters(), LEARNING_RATE, weight_decay=0.02)
        return {"optimizer": optimizer, "lr_scheduler": annealed(optimizer, self.num_steps)}
