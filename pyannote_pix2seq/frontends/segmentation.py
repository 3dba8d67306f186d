"""Local speaker segmentation networks."""

from collections.abc import Callable
from math import comb

import torch
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.audio.models.blocks.sincnet import SincNet
from pyannote.audio.models.segmentation import PyanNet
from torch import Tensor, nn

from pyannote_pix2seq.frontends.bfloat16 import autocast
from pyannote_pix2seq.frontends.bins import by_bin
from pyannote_pix2seq.frontends.pieces import cut

MAX_LOCAL_SPEAKERS = 3
MAX_OVERLAP = 2
NUM_CLASSES = sum(comb(MAX_LOCAL_SPEAKERS, num_active) for num_active in range(MAX_OVERLAP + 1))
"""Powerset classes: no speaker, one of three local speakers, two of them: 7."""
SEGMENTATION_FRAMES = (495.5, 270)
"""Centre of the first frame, and step between frames, in samples."""


class FrugalSincNet(SincNet):
    """SincNet that filters a few waveforms at a time, in memory that is used again.

    Outputs of the first filters are thirty times as large as what is left in the end. For all pieces of a chunk at
    once, the memory would be given back to the kernel each time, and cleared by it page by page (docs/log.md,
    2026-11-29).
    """

    AT_ONCE = 3

    def forward(self, waveforms: Tensor) -> Tensor:
        """(batch, 1, num_samples) -> (batch, 60, num_frames)"""
        filtered = super().forward
        return torch.cat([filtered(few) for few in waveforms.split(self.AT_ONCE)])


class Bfloat16LSTM(nn.LSTM):
    """LSTM that computes in bfloat16 where that is faster, see `has_bfloat16`, and in float32 elsewhere.

    Input and output are float32, and so is the rest of the network: SincNet does not tolerate bfloat16, because its
    filters are sines of large numbers.
    """

    def forward(self, sequence: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:  # type: ignore[override]
        with autocast(sequence):
            output, state = super().forward(sequence)
        return output.float(), state


def build_segmentation() -> PyanNet:
    """Build a local speaker segmentation network with random weights.

    Plaquet and Bredin, Powerset multi-class cross entropy loss for neural speaker diarization,
    Interspeech 2023.

    Returns
    -------
    segmentation : PyanNet
        Architecture of pyannote/segmentation-3.0: (batch, 1, num_samples) -> (batch, num_frames, 7)
        log-probabilities of no speaker, one of three local speakers, and two of them.
    """
    return _build(Problem.MONO_LABEL_CLASSIFICATION, 10.0, MAX_OVERLAP)


def build_overlap_segmentation() -> PyanNet:
    """Build an overlap-aware speaker segmentation network with random weights.

    Bredin and Laurent, End-to-end speaker segmentation for overlap-aware resegmentation, Interspeech 2021.

    Returns
    -------
    segmentation : PyanNet
        Architecture of pyannote/segmentation: (batch, 1, num_samples) -> (batch, num_frames, 3) probabilities that each
        of three local speakers is active; frames are those of `build_segmentation`.
    """
    return _build(Problem.MULTI_LABEL_CLASSIFICATION, 5.0, None)


def piece_by_piece(
    network: Callable[[Tensor], Tensor], waveforms: Tensor, length: int, hop: int, samples_per_bin: float
) -> Tensor:
    """Apply a segmentation network to overlapping pieces of waveforms, each on its own.

    Parameters
    ----------
    network : callable
        (batch, 1, num_samples) -> (batch, num_frames, num_classes)
    waveforms : (batch, 1, num_samples) torch.Tensor
    length, hop : int
        Bins of a piece, and from the start of one piece to that of the next.
    samples_per_bin : float

    Returns
    -------
    outputs : (batch, num_pieces, length, num_classes) torch.Tensor
        Mean of the frames of each bin.
    """
    pieces = cut(waveforms, round(length * samples_per_bin), round(hop * samples_per_bin))
    frames = network(pieces.flatten(0, 1).unsqueeze(1))
    return by_bin(frames, *SEGMENTATION_FRAMES, length, samples_per_bin).unflatten(0, pieces.shape[:2])


def _build(problem: Problem, duration: float, max_overlap: int | None) -> PyanNet:
    """A network with a `FrugalSincNet` and a `Bfloat16LSTM`."""
    segmentation = PyanNet(lstm={"num_layers": 4})
    segmentation.sincnet = FrugalSincNet(**segmentation.hparams["sincnet"])
    lstm = segmentation.lstm
    segmentation.lstm = Bfloat16LSTM(
        lstm.input_size, lstm.hidden_size, lstm.num_layers, batch_first=True, bidirectional=True
    )
    segmentation.specifications = Specifications(
        problem=problem,
        resolution=Resolution.FRAME,
        duration=duration,
        classes=[f"speaker#{index + 1}" for index in range(MAX_LOCAL_SPEAKERS)],
        powerset_max_classes=max_overlap,
        permutation_invariant=True,
    )
    segmentation.build()
    return segmentation
