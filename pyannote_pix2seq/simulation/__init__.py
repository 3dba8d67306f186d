"""Conversations made from single-speaker speech: one name -> one recording and who speaks when in it."""

from .acoustics import Acoustics
from .conversation import Conversation, Simulator
from .noise import Noises
from .turns import PlainTurns, TakenTurns, TurnTaking
from .voices import Voices

__all__ = [
    "Acoustics",
    "Conversation",
    "Noises",
    "PlainTurns",
    "Simulator",
    "TakenTurns",
    "TurnTaking",
    "Voices",
]
