"""Mel-spectrogram frontend, learned from scratch."""

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from pyannote_pix2seq.frontends.frontend import AudioTokens, Frontend


class MelFrontend(Frontend):
    """Log-mel spectrogram, normalised over each waveform, then strided convolutions.

    Four convolutions of stride 2 bring 10 ms frames down to 160 ms tokens, in the manner of the convolutional
    subsampling of speech transformers (Dong et al., Speech-Transformer, ICASSP 2018, section 3.2). There are
    no voices: the transformer has to tell speakers apart by the content. Digital silence is excluded from the
    normalisation, and its tokens are zeros, as is the silence between prompts (`prompts.py`).

    In training, a waveform is a whole window: prompts, silence and chunk. In diarization, it is a chunk by itself, and
    prompts are tokens of other chunks, so that tokens are not quite as in training.

    Parameters
    ----------
    content_dim : int, optional
        Dimension of the tokens, and number of channels of the convolutions. Defaults to 192.
    """

    num_voices = 0
    voice_dim = 0
    frozen = False

    NUM_MELS = 80
    HOP = 160
    NUM_CONVOLUTIONS = 4

    def __init__(self, content_dim: int = 192) -> None:
        super().__init__()
        self.content_dim = content_dim
        self.mel = torchaudio.transforms.MelSpectrogram(
            sample_rate=self.sample_rate,
            n_fft=512,
            win_length=400,
            hop_length=self.HOP,
            n_mels=self.NUM_MELS,
            pad_mode="constant",
        )
        widths = [self.NUM_MELS] + [content_dim] * self.NUM_CONVOLUTIONS
        layers: list[nn.Module] = []
        for in_channels, out_channels in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Conv1d(in_channels, out_channels, 3, stride=2, padding=1), nn.GELU()]
        self.convolutions = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(content_dim)

    def log_mel(self, waveforms: Tensor) -> Tensor:
        """Log-mel spectrogram of zero mean and unit variance over each waveform, with zeros for digital silence.

        Parameters
        ----------
        waveforms : (batch, 1, num_samples) torch.Tensor

        Returns
        -------
        log_mel : (batch, 80, num_samples // 160 + 1) torch.Tensor
        """
        mel = self.mel(waveforms[:, 0])
        log_mel = torch.log(mel + 1e-6)
        sounds = mel.amax(dim=1, keepdim=True) > 0
        # (batch, 1, num_frames)
        count = (sounds.sum(dim=2, keepdim=True) * self.NUM_MELS).clamp(min=1)
        mean = (log_mel * sounds).sum(dim=(1, 2), keepdim=True) / count
        deviation = (log_mel - mean) * sounds
        std = (deviation.square().sum(dim=(1, 2), keepdim=True) / count).sqrt()
        return deviation / (std + 1e-5)

    def forward(self, waveforms: Tensor) -> AudioTokens:
        self.check(waveforms)
        num_tokens = self.num_tokens(waveforms.shape[-1])
        log_mel = self.log_mel(waveforms)
        num_frames = num_tokens * self.samples_per_token // self.HOP
        log_mel = F.pad(log_mel, (0, num_frames - log_mel.shape[-1]))
        # (batch, num_mels, 16 * num_tokens)
        padded = F.pad(waveforms[:, 0], (0, num_tokens * self.samples_per_token - waveforms.shape[-1]))
        sounds = padded.unflatten(1, (num_tokens, -1)).any(dim=2, keepdim=True)
        content = self.norm(self.convolutions(log_mel).transpose(1, 2)) * sounds
        # (batch, num_tokens, content_dim)
        return AudioTokens(content, content.new_zeros(*content.shape[:2], self.num_voices, self.voice_dim))
