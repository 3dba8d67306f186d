"""Mel-spectrogram frontend, learned from scratch."""

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from pyannote_pix2seq.frontends.distortion import distort
from pyannote_pix2seq.frontends.frontend import AudioTokens, Frontend
from pyannote_pix2seq.frontends.level import COUNTED

FLOOR = 1e-10
"""Least power of a mel band."""
RANGE = 80.0
"""Decibels below loud speech at which a mel band counts as silent."""
UNIT = 20.0
"""Decibels that differ by 1 in what the convolutions read."""


class MelFrontend(Frontend):
    """Log-mel spectrogram, relative to the loud parts of each waveform, then strided convolutions.

    Four convolutions of stride 2 bring 10 ms frames down to 160 ms tokens, in the manner of the convolutional
    subsampling of speech transformers (Dong et al., Speech-Transformer, ICASSP 2018, section 3.2). There are
    no voices: the transformer has to tell speakers apart by the content. Tokens of digital silence are zeros, as is the
    silence between prompts (`prompts.py`).

    In training, spectrograms are distorted at random (`distortion.py`), and a waveform is a whole window: prompts,
    silence and chunk. In diarization, it is a chunk by itself, and prompts are tokens of other chunks, so that tokens
    are not quite as in training.

    Parameters
    ----------
    content_dim : int, optional
        Dimension of the tokens, and number of channels of the convolutions. Defaults to 192.
    """

    num_voices = 0
    voice_dim = 0
    frozen = False
    version = 2

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
        """Log-mel spectrogram relative to the loud parts of each waveform, from 0: `RANGE` below them, or silence.

        Noise in a waveform with little speech stays as faint as it is, which it would not if mean and variance were
        normalised. Relative to the loudest, and cut off 80 dB below it, as in Whisper (Radford et al., arXiv
        2212.04356); but clicks may be louder (see `level.COUNTED`).

        Parameters
        ----------
        waveforms : (batch, 1, num_samples) torch.Tensor

        Returns
        -------
        log_mel : (batch, 80, num_samples // 160 + 1) torch.Tensor
            In units of 20 dB.
        """
        with torch.autocast(waveforms.device.type, enabled=False):  # powers are beyond the range of float16
            mel = self.mel(waveforms[:, 0].float())
        mel = distort(mel).to(mel.dtype) if self.training else mel
        decibels = 10 * mel.clamp(min=FLOOR).log10()
        loudest = decibels.amax(dim=1).sort(dim=1, descending=True).values
        # (batch, num_frames), digital silence at the end
        num_sounds = (mel.amax(dim=1) > 0).sum(dim=1, keepdim=True)
        loud = loudest.gather(1, ((1 - COUNTED) * num_sounds).long()).unsqueeze(2)
        return (decibels - loud + RANGE).clamp(min=0) / UNIT * (mel > 0)

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
