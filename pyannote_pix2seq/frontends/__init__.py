"""Frontends: waveform -> audio tokens."""

from pyannote_pix2seq.frontends.frontend import TOKEN_DURATION, AudioTokens, Frontend
from pyannote_pix2seq.frontends.mel import MelFrontend
from pyannote_pix2seq.frontends.speaker import SpeakerFrontend

FRONTENDS: dict[str, type[Frontend]] = {"mel": MelFrontend, "speaker": SpeakerFrontend}

__all__ = ["FRONTENDS", "TOKEN_DURATION", "AudioTokens", "Frontend", "MelFrontend", "SpeakerFrontend"]
