"""Simulated conversations made from single-speaker speech: one name -> one recording and its turns."""

from pyannote_pix2seq.simulation.acoustics import Acoustics
from pyannote_pix2seq.simulation.conversation import Conversation, Simulator
from pyannote_pix2seq.simulation.fitted_turns import FittedTurns
from pyannote_pix2seq.simulation.noise import Noises
from pyannote_pix2seq.simulation.scene import Scene
from pyannote_pix2seq.simulation.taken_turns import TakenTurns
from pyannote_pix2seq.simulation.turns import PlainTurns, TurnTaking
from pyannote_pix2seq.simulation.voices import Voices

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
