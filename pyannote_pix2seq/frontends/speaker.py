"""Pretrained frontend: local speaker segmentation and voices."""

from itertools import permutations

import torch
import torch.nn.functional as F
from pyannote.audio.utils.powerset import Powerset
from torch import Tensor

from pyannote_pix2seq.frontends.augmentation import blur, confused, contaminate, rename, soften, tilt
from pyannote_pix2seq.frontends.bfloat16 import autocast
from pyannote_pix2seq.frontends.bins import by_bin, centres, nearest
from pyannote_pix2seq.frontends.campplus import (
    CAMPPLUS_FRAMES,
    EMBEDDING_DIM,
    NUM_FRAME_CHANNELS,
    CAMPPlus,
    fbank,
    statistics_pooling,
)
from pyannote_pix2seq.frontends.counting import SpeakerCounter, pool_counts
from pyannote_pix2seq.frontends.frontend import AudioTokens, Frontend
from pyannote_pix2seq.frontends.heap import keep_freed_memory
from pyannote_pix2seq.frontends.level import amplified
from pyannote_pix2seq.frontends.pieces import cross_fade, padded
from pyannote_pix2seq.frontends.refinement import Refinement
from pyannote_pix2seq.frontends.segmentation import (
    MAX_LOCAL_SPEAKERS,
    MAX_OVERLAP,
    NUM_CLASSES,
    build_segmentation,
    piece_by_piece,
)


class SpeakerFrontend(Frontend):
    """Posteriors of a local segmentation network, and voices of the speakers active around each token.

    Its networks are frozen: the frontend is always in evaluation mode and its tokens carry no gradient.
    Weights are random until a state dict is loaded (see `recipes/fetch_frontends.py`). Meant for windows of
    up to a minute: memory grows with the square of the duration. The posteriors are refined by CAM++ frames,
    once `recipes/refine.py` has trained the refinement (see `Refinement`), and the number of active speakers is
    pooled with the estimate of a second network (see `SpeakerCounter`). Quiet waveforms are amplified first (see
    `amplified`).

    Content is the posterior of the 7 powerset classes in each of the 4 bins of a token, bin by bin. There are
    three voices: voice 0 is pooled over all speech within 0.4 s; voices 1 and 2 are those of the two local
    speakers who are the most active during the token, pooled within 1.5 s, mostly where they speak alone. The
    norm of voice 0 is the probability that exactly one speaker is active during the token, that of voices 1 and 2
    the activity of their speaker during the token.

    CAM++ frames and LSTMs are computed in bfloat16 on devices on which it is faster.
    """

    content_dim = Frontend.bins_per_token * NUM_CLASSES
    num_voices = 3
    voice_dim = EMBEDDING_DIM
    frozen = True
    version = 2

    # in tokens: 10.24 s, and half of it. Shorter waveforms are padded with zeros
    CHUNK = 64
    HOP = 32
    NEAR = 0.4
    AROUND = 1.5
    SPEECH_FLOOR = 1e-3
    SPEAKER_FLOOR = 1e-4
    OVERLAP_WEIGHT = 0.05

    def __init__(self) -> None:
        super().__init__()
        keep_freed_memory()
        self.segmentation = build_segmentation()
        self.counter = SpeakerCounter(self.samples_per_bin)
        self.campplus = CAMPPlus()
        self.refinement = Refinement(NUM_CLASSES, NUM_FRAME_CHANNELS)
        powerset = Powerset(MAX_LOCAL_SPEAKERS, MAX_OVERLAP)
        self.register_buffer("mapping", powerset.build_mapping(), persistent=False)
        self.register_buffer("relabellings", self._relabellings(powerset), persistent=False)
        self.requires_grad_(False)
        self.eval()

    mapping: Tensor
    relabellings: Tensor

    @property
    def num_active(self) -> Tensor:
        """Number of active speakers of each class: (num_classes,) int64."""
        return self.mapping.sum(dim=1).long()

    @staticmethod
    def _relabellings(powerset: Powerset) -> Tensor:
        """Source of each class, for each permutation of the local speakers: (6, 7) int64."""
        classes = powerset.powerset_classes
        return torch.tensor(
            [
                [classes.index({permutation[speaker] for speaker in members}) for members in classes]
                for permutation in permutations(range(MAX_LOCAL_SPEAKERS))
            ]
        )

    def train(self, mode: bool = True) -> "SpeakerFrontend":
        """Stay in evaluation mode, whatever `mode` is."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> AudioTokens:
        self.check(waveforms)
        waveforms = amplified(waveforms)
        # first, so that its memory is free again before frames, which take the most, are computed
        numbers = self.counter(waveforms, self.num_tokens(waveforms.shape[-1]) * self.bins_per_token)
        posteriors, frames = self.features(waveforms)
        refined = self.refinement(posteriors, self.by_bin(frames, posteriors.shape[1]))
        posteriors = pool_counts(refined, numbers, self.num_active).exp()
        content = posteriors.unflatten(1, (-1, self.bins_per_token))
        # (batch, num_tokens, bins_per_token, num_classes)
        return AudioTokens(content.flatten(2), self._voices(frames, posteriors, content.mean(dim=2)))

    @torch.no_grad()
    def features(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of the segmentation network and of CAM++, before posteriors are refined.

        Parameters
        ----------
        waveforms : (batch, 1, num_samples) torch.Tensor

        Returns
        -------
        posteriors : (batch, num_bins, num_classes) torch.Tensor
        frames : (batch, num_channels, num_frames) torch.Tensor
            See `frames`.

        Raises
        ------
        ValueError
            If waveforms have another shape.
        """
        self.check(waveforms)
        return self._posteriors(waveforms, self.num_tokens(waveforms.shape[-1])), self.frames(waveforms)

    def frames(self, waveforms: Tensor) -> Tensor:
        """CAM++ frames of waveforms.

        Parameters
        ----------
        waveforms : (batch, 1, num_samples) torch.Tensor

        Returns
        -------
        frames : (batch, 512, num_frames) torch.Tensor
            In float32, one every 20 ms. Waveforms shorter than a token are padded to one.
        """
        features = fbank(padded(waveforms, self.samples_per_token))
        with autocast(waveforms):
            return self.campplus.frames(features).float()

    def _posteriors(self, waveforms: Tensor, num_tokens: int) -> Tensor:
        """Posteriors of the local segmentation network: (batch, num_bins, num_classes).

        The network is applied to chunks of about the duration that it was trained on: in longer ones it misses quiet
        speakers beside loud ones. Each chunk numbers its speakers independently; they are permuted to agree with the
        previous chunk, and where two chunks overlap their posteriors are cross-faded.
        """
        length, hop = (self.bins_per_token * tokens for tokens in (self.CHUNK, self.HOP))
        posteriors = piece_by_piece(self._segment, waveforms, length, hop, self.samples_per_bin)
        return self._join(posteriors)[:, : num_tokens * self.bins_per_token]

    def _segment(self, waveforms: Tensor) -> Tensor:
        return self.segmentation(waveforms).exp()

    def _join(self, chunks: Tensor) -> Tensor:
        """Join the posteriors of overlapping chunks: (batch, num_chunks, num_bins, ...) -> (batch, num_bins, ...)."""
        hop = self.HOP * self.bins_per_token
        renamed = [chunks[:, 0]]
        for chunk in chunks.unbind(1)[1:]:
            renamed.append(self._agreeing(chunk, renamed[-1], hop))
        return cross_fade(torch.stack(renamed, dim=1), hop)

    def _agreeing(self, chunk: Tensor, previous: Tensor, hop: int) -> Tensor:
        """Permute the local speakers of a chunk to agree with the previous one, which starts `hop` bins earlier."""
        renamed = chunk[..., self.relabellings]
        # (batch, num_bins, 6, num_classes)
        agreement = (renamed[:, : chunk.shape[1] - hop] * previous[:, hop:, None]).sum(dim=(1, 3))
        return renamed[torch.arange(len(chunk)), :, agreement.argmax(dim=-1)]

    def by_bin(self, frames: Tensor, num_bins: int) -> Tensor:
        """Mean CAM++ frame of each bin: (batch, num_channels, num_frames) -> (batch, num_bins, num_channels)."""
        return by_bin(frames.transpose(1, 2), *CAMPPLUS_FRAMES, num_bins, self.samples_per_bin)

    @property
    def samples_per_bin(self) -> float:
        """Number of samples that a time bin spans."""
        return self.samples_per_token / self.bins_per_token

    def _bin_centres(self, bins: Tensor) -> Tensor:
        return centres(bins.shape[1], self.samples_per_bin / 2, self.samples_per_bin, bins.device)

    def _voices(self, frames: Tensor, posteriors: Tensor, classes: Tensor) -> Tensor:
        """Voices of each token.

        Parameters
        ----------
        frames : (batch, num_channels, num_frames) torch.Tensor
        posteriors : (batch, num_bins, num_classes) torch.Tensor
        classes : (batch, num_tokens, num_classes) torch.Tensor
            Mean posteriors during each token.

        Returns
        -------
        voice : (batch, num_tokens, 3, voice_dim) torch.Tensor
        """
        activity, order = (classes @ self.mapping).topk(2, dim=-1)
        # (batch, num_tokens, 2)
        alone = classes[..., 1 : 1 + MAX_LOCAL_SPEAKERS].sum(dim=-1, keepdim=True)
        lengths = torch.cat([alone, activity], dim=-1)
        # (batch, num_tokens, 3)
        weights = self._weights(posteriors, order, frames.shape[-1])
        # (batch, num_tokens, 3, num_frames)
        statistics = statistics_pooling(frames, weights.flatten(1, 2)).unflatten(1, lengths.shape[1:])
        return F.normalize(self.campplus.embed(statistics), dim=-1) * lengths.unsqueeze(-1)

    def _weights(self, posteriors: Tensor, order: Tensor, num_frames: int) -> Tensor:
        """Pooling weights of CAM++ frames for each voice of each token.

        Parameters
        ----------
        posteriors : (batch, num_bins, num_classes) torch.Tensor
        order : (batch, num_tokens, 2) torch.Tensor
            The two most active local speakers during each token.
        num_frames : int
            Number of CAM++ frames.

        Returns
        -------
        weights : (batch, num_tokens, 3, num_frames) torch.Tensor
        """
        frame_centres = centres(num_frames, *CAMPPLUS_FRAMES, posteriors.device)
        posteriors = posteriors[:, nearest(frame_centres, self._bin_centres(posteriors))].transpose(1, 2)
        # (batch, num_classes, num_frames)
        speech = 1 - posteriors[:, :1] + self.SPEECH_FLOOR
        alone = posteriors[:, 1 : 1 + MAX_LOCAL_SPEAKERS]
        overlap = self.mapping.T @ posteriors - alone
        speakers = alone + self.OVERLAP_WEIGHT * overlap + self.SPEAKER_FLOOR
        # (batch, 3, num_frames)
        step = self.samples_per_token
        token_centres = centres(order.shape[1], step / 2, step, posteriors.device)
        distances = (token_centres[:, None] - frame_centres).abs() / self.sample_rate
        # (num_tokens, num_frames)
        near = speech.unsqueeze(1) * (distances <= self.NEAR)[:, None]
        around = torch.stack([s[o] for s, o in zip(speakers, order, strict=True)])
        return torch.cat([near, around * (distances <= self.AROUND)[:, None]], dim=2)

    def speech(self, content: Tensor) -> Tensor:
        """Posterior of speech, averaged over the bins of each token, see `Frontend.speech`."""
        return 1 - content.unflatten(-1, (self.bins_per_token, -1))[..., 0].mean(dim=-1)

    def augment(self, tokens: AudioTokens, starts: Tensor, generator: torch.Generator) -> AudioTokens:
        """Soften and tilt posteriors, permute and confuse local speakers, and blur voices, at random for each example.

        Prompts are chosen for their clear voices, so speakers are confused and voices vary over time in chunks only.

        Parameters
        ----------
        tokens : AudioTokens
            A batch of tokens; rows of zeros (padding) stay zeros.
        starts : (batch,) torch.Tensor
            Number of tokens of prompts at the start of each example.
        generator : torch.Generator
            Source of all randomness.

        Returns
        -------
        tokens : AudioTokens
            Norms of voices are preserved.
        """
        posteriors = tokens.content.float().unflatten(-1, (self.bins_per_token, -1))
        # (batch, num_tokens, bins_per_token, num_classes)
        posteriors = tilt(soften(posteriors, generator), self.num_active, generator)
        is_chunk = torch.arange(posteriors.shape[1], device=posteriors.device) >= starts.to(posteriors.device)[:, None]
        is_confused = confused(is_chunk, generator)
        posteriors = rename(posteriors, self.relabellings, is_confused, generator)
        voice = blur(contaminate(tokens.voice, is_confused, generator), is_chunk, generator)
        return AudioTokens(posteriors.flatten(2).to(tokens.content.dtype), voice)
