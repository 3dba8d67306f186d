"""CAM++ speaker embedding network."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
import torchaudio.compliance.kaldi as kaldi
from torch import Tensor, nn

NUM_MELS = 80
NUM_FRAME_CHANNELS = 512
HEAD_CHANNELS = 32
GROWTH = 32
"""Channels that each dense layer adds."""
EMBEDDING_DIM = 192
CAMPPLUS_FRAMES = (200, 320)
"""Centre of the first frame, and step between frames, in samples."""


def fbank(waveforms: Tensor) -> Tensor:
    """Log-mel filter banks, 25 ms windows every 10 ms, with the mean over time subtracted.

    Parameters
    ----------
    waveforms : (batch, 1, num_samples) torch.Tensor
        At 16 kHz, at least 400 samples (25 ms).

    Returns
    -------
    fbank : (batch, num_frames, 80) torch.Tensor
        Frame i is centred at 12.5 ms + 10 ms * i.
    """
    features = torch.stack([kaldi.fbank(waveform, num_mel_bins=NUM_MELS, dither=0.0) for waveform in waveforms])
    return features - features.mean(dim=1, keepdim=True)


def statistics_pooling(frames: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean and unbiased weighted standard deviation over time.

    With n = (sum w)^2 / sum w^2 the effective number of frames (Kish, Survey Sampling, 1965), the variance is
    multiplied by n / (n - 1): equal weights give the usual unbiased estimate.

    Parameters
    ----------
    frames : (batch, num_channels, num_frames) torch.Tensor
    weights : (batch, num_poolings, num_frames) torch.Tensor
        Non-negative, not all zero.

    Returns
    -------
    statistics : (batch, num_poolings, 2 * num_channels) torch.Tensor
        Means, then standard deviations.
    """
    weights = weights / weights.sum(dim=-1, keepdim=True)
    size = 1 / weights.square().sum(dim=-1, keepdim=True)
    moments = weights @ torch.cat([frames, frames.square()], dim=1).transpose(1, 2)
    # (batch, num_poolings, num_frames) x (batch, num_frames, 2 * num_channels)
    mean, power = moments.chunk(2, dim=-1)
    variance = (power - mean.square()) * size / (size - 1).clamp(min=1)
    return torch.cat([mean, variance.clamp(min=1e-8).sqrt()], dim=-1)


def _normalised(num_channels: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(num_channels), relu=nn.ReLU(inplace=True)))


def _convolved(inputs: Tensor, convolution: nn.Module, norm: nn.Module) -> Tensor:
    """Fuse a convolution without bias and the batch normalisation after it (with fixed statistics) into one pass."""
    assert isinstance(convolution, nn.Conv1d | nn.Conv2d) and isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    weight = convolution.weight * scale.view(-1, *[1] * (convolution.weight.dim() - 1))
    return convolution._conv_forward(inputs, weight, norm.bias - norm.running_mean * scale)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; the stride is along frequency only."""

    def __init__(self, num_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_channels, num_channels, 3, (stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(num_channels)
        self.conv2 = nn.Conv2d(num_channels, num_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(num_channels)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.Conv2d(num_channels, num_channels, 1, (stride, 1), bias=False))
            self.shortcut.append(nn.BatchNorm2d(num_channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, channels, frequency, time) -> (batch, channels, frequency / stride, time)"""
        outputs = _convolved(inputs, self.conv1, self.bn1).relu_()
        shortcut = _convolved(inputs, *self.shortcut) if len(self.shortcut) else inputs
        return _convolved(outputs, self.conv2, self.bn2).add_(shortcut).relu_()


class ConvolutionalHead(nn.Module):
    """Front-end convolution module (FCM): keeps every time step, divides frequency by eight (section 2.3)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, HEAD_CHANNELS, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(HEAD_CHANNELS)
        self.layer1 = nn.Sequential(ResidualBlock(HEAD_CHANNELS, 2), ResidualBlock(HEAD_CHANNELS, 1))
        self.layer2 = nn.Sequential(ResidualBlock(HEAD_CHANNELS, 2), ResidualBlock(HEAD_CHANNELS, 1))
        self.conv2 = nn.Conv2d(HEAD_CHANNELS, HEAD_CHANNELS, 3, (2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(HEAD_CHANNELS)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, 80, num_frames) -> (batch, 320, num_frames)"""
        outputs = _convolved(features.unsqueeze(1), self.conv1, self.bn1).relu_()
        outputs = self.layer2(self.layer1(outputs))
        outputs = _convolved(outputs, self.conv2, self.bn2).relu_()
        # (batch, 32, 10, num_frames)
        return outputs.flatten(1, 2)


class ContextAwareMasking(nn.Module):
    """A dilated convolution whose outputs are masked, depending on the utterance and the segment (section 2.2).

    The mask is the same for all frames of a segment, so it is computed once per segment.
    """

    SEGMENT = 100

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(in_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(in_channels, in_channels // 2, 1)
        self.linear2 = nn.Conv1d(in_channels // 2, out_channels, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, in_channels, num_frames) -> (batch, out_channels, num_frames)"""
        segments = F.avg_pool1d(inputs, self.SEGMENT, self.SEGMENT, ceil_mode=True)
        context = inputs.mean(dim=-1, keepdim=True) + segments
        mask = torch.sigmoid(self.linear2(F.relu(self.linear1(context))))
        # (batch, out_channels, num_segments)
        mask = mask.repeat_interleave(self.SEGMENT, dim=-1)[..., : inputs.shape[-1]]
        return self.linear_local(inputs) * mask


class DenseLayer(nn.Module):
    """Bottleneck and context-aware masking, which compute the channels that one dense layer adds."""

    def __init__(self, in_channels: int, dilation: int) -> None:
        super().__init__()
        bottleneck = 4 * GROWTH
        self.nonlinear1 = _normalised(in_channels)
        self.linear1 = nn.Conv1d(in_channels, bottleneck, 1, bias=False)
        self.nonlinear2 = _normalised(bottleneck)
        self.cam_layer = ContextAwareMasking(bottleneck, GROWTH, dilation)

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, in_channels, num_frames) -> (batch, 32, num_frames)"""
        outputs = _convolved(self.nonlinear1(inputs), self.linear1, self.nonlinear2[0])
        return self.cam_layer(outputs.relu_())


class DenseBlock(nn.ModuleDict):
    """Densely connected layers: each reads the outputs of all those before it."""

    def __init__(self, in_channels: int, num_layers: int, dilation: int) -> None:
        super().__init__()
        for index in range(num_layers):
            self[f"tdnnd{index + 1}"] = DenseLayer(in_channels + index * GROWTH, dilation)

    def forward(self, outputs: Tensor) -> Tensor:
        """(batch, in_channels, num_frames) -> (batch, in_channels + num_layers * 32, num_frames)"""
        for layer in self.values():
            outputs = torch.cat([outputs, layer(outputs)], dim=1)
        return outputs


class CAMPPlus(nn.Module):
    """CAM++ speaker embedding network.

    Wang et al., CAM++: A fast and efficient network for speaker verification using context-aware masking,
    Interspeech 2023 (arXiv 2303.00332), implemented from the paper. Modules are named after the published
    weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.head = ConvolutionalHead().to(memory_format=torch.channels_last)  # a fifth faster on CPU
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        modules["tdnn"] = nn.Sequential(
            OrderedDict(
                linear=nn.Conv1d(NUM_MELS * 4, 128, 5, stride=2, padding=2, bias=False),
                nonlinear=_normalised(128),
            )
        )
        channels = 128
        for index, (num_layers, dilation) in enumerate([(12, 1), (24, 2), (16, 2)], start=1):
            modules[f"block{index}"] = block = DenseBlock(channels, num_layers, dilation)
            channels += GROWTH * len(block)
            modules[f"transit{index}"] = nn.Sequential(
                OrderedDict(
                    nonlinear=_normalised(channels),
                    linear=nn.Conv1d(channels, channels // 2, 1, bias=False),
                )
            )
            channels //= 2
        modules["out_nonlinear"] = _normalised(channels)
        modules["dense"] = nn.Sequential(
            OrderedDict(
                linear=nn.Conv1d(2 * channels, EMBEDDING_DIM, 1, bias=False),
                nonlinear=nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(EMBEDDING_DIM, affine=False))),
            )
        )
        self.xvector = nn.Sequential(modules)
        self.eval()

    def train(self, mode: bool = True) -> "CAMPPlus":
        """Stay in evaluation mode, whatever `mode` is: batch normalisation uses the loaded statistics."""
        return super().train(False)

    def frames(self, features: Tensor) -> Tensor:
        """Frame-level features, which are pooled over time to compute an embedding.

        Parameters
        ----------
        features : (batch, num_frames, 80) torch.Tensor
            See `fbank`.

        Returns
        -------
        frames : (batch, 512, ceil(num_frames / 2)) torch.Tensor
            Frame j is centred at 12.5 ms + 20 ms * j.
        """
        return self.xvector[:-1](self.head(features.transpose(1, 2)))

    def embed(self, statistics: Tensor) -> Tensor:
        """Compute speaker embeddings from pooled statistics.

        Parameters
        ----------
        statistics : (..., 1024) torch.Tensor
            See `statistics_pooling`.

        Returns
        -------
        embeddings : (..., 192) torch.Tensor
        """
        embeddings = self.xvector[-1](statistics.reshape(-1, statistics.shape[-1], 1))
        return embeddings.reshape(*statistics.shape[:-1], EMBEDDING_DIM)

    def forward(self, features: Tensor) -> Tensor:
        """Compute speaker embeddings of whole utterances.

        Parameters
        ----------
        features : (batch, num_frames, 80) torch.Tensor
            See `fbank`.

        Returns
        -------
        embeddings : (batch, 192) torch.Tensor
        """
        frames = self.frames(features)
        return self.embed(statistics_pooling(frames, torch.ones_like(frames[:, :1]))).squeeze(1)
