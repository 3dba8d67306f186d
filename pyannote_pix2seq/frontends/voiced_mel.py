"""Mel-spectrogram frontend with voices, all of it learned from scratch."""

import torch.nn.functional as F
from torch import Tensor, nn

from pyannote_pix2seq.frontends.frontend import AudioTokens
from pyannote_pix2seq.frontends.mel import MelFrontend


class VoicedMelFrontend(MelFrontend):
    """`MelFrontend`, and one voice for each token, from what is heard half a second around it.

    Nobody says whose voice it is. The model names a speaker by how similar the voice of the turn is to those of the
    speakers named before (`Claims.similarities`), so that learning to name is learning voices that are similar for one
    speaker and differ between two: as in prototypical networks (Snell et al., arXiv 1703.05175), with the speakers of
    each conversation as classes.

    Parameters
    ----------
    content_dim : int, optional
        As in `MelFrontend`.
    """

    num_voices = 1
    voice_dim = 96
    version = 1

    CONTEXT = 7
    """Tokens from which a voice is computed: 1.12 s."""

    def __init__(self, content_dim: int = 192) -> None:
        super().__init__(content_dim)
        self.context = nn.Conv1d(content_dim, 2 * content_dim, self.CONTEXT, padding="same")
        self.voice = nn.Linear(2 * content_dim, self.voice_dim + 1)

    def forward(self, waveforms: Tensor) -> AudioTokens:
        content = super().forward(waveforms).content
        around = F.gelu(self.context(content.transpose(1, 2))).transpose(1, 2)
        direction, certainty = self.voice(around).split([self.voice_dim, 1], dim=-1)
        sounds = content.any(dim=2, keepdim=True)
        voice = F.normalize(direction, dim=-1) * certainty.sigmoid() * sounds
        return AudioTokens(content, voice.unsqueeze(2))
