"""Simulated conversations made from single-speaker speech: one name -> one recording and its turns."""

from .acoustics import Acoustics
from .conversation import Conversation, Simulator
from .fitted import FittedTurns
from .noise import Noises
from .scene import Scene
from .taken import TakenTurns
from .turns import PlainTurns, TurnTaking
from .voices import Voices

__all__ = [
    "Acoustics",
    "Conversation",
    "FittedTurns",
    "Noises",
    "PlainTurns",
    "Scene",
    "Simulator",
    "TakenTurns",
    "TurnTaking",
    "Voices",
]
