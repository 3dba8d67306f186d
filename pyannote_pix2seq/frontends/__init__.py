"""Frontends: waveform -> audio tokens."""

from pyannote_pix2seq.frontends.frontend import TOKEN_DURATION, AudioTokens, Frontend
from pyannote_pix2seq.frontends.mel import MelFrontend
from pyannote_pix2seq.frontends.speaker import SpeakerFrontend
from pyannote_pix2seq.frontends.voiced_mel import VoicedMelFrontend

FRONTENDS: dict[str, type[Frontend]] = {
    "mel": MelFrontend,
    "speaker": SpeakerFrontend,
    "voiced_mel": VoicedMelFrontend,
}

__all__ = [
    "FRONTENDS",
    "TOKEN_DURATION",
    "AudioTokens",
    "Frontend",
    "MelFrontend",
    "SpeakerFrontend",
    "VoicedMelFrontend",
]
