"""Frontends: waveform -> audio tokens."""

from .frontend import AudioTokens, Frontend
from .mel import MelFrontend
from .speaker import SpeakerFrontend

FRONTENDS: dict[str, type[Frontend]] = {"mel": MelFrontend, "speaker": SpeakerFrontend}

__all__ = ["FRONTENDS", "AudioTokens", "Frontend", "MelFrontend", "SpeakerFrontend"]
