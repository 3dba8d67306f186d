"""Named kinds of simulated conversations, from easy to hard."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.simulation.acoustics import Acoustics
from pyannote_pix2seq.simulation.conversation import Simulator
from pyannote_pix2seq.simulation.fitted_turns import FittedTurns
from pyannote_pix2seq.simulation.noise import Noises
from pyannote_pix2seq.simulation.store import VoicesError
from pyannote_pix2seq.simulation.voices import Voices

SPLITS = {"train": "train", "development": "dev", "test": "test"}
"""Split of the store of voices that each subset of a protocol uses."""

TRAINING_SECONDS = 50.0
"""Default duration of training conversations, in seconds."""


class DifficultyError(Pix2SeqError, ValueError):
    """A difficulty that does not exist, or for which there are not enough voices."""


@dataclass(frozen=True)
class Difficulty:
    """A kind of simulated conversation.

    Attributes
    ----------
    about : str
        What it stands for, in one sentence.
    turns : str
        Ready fit of `FittedTurns` whose turn-taking it has.
    num_speakers : (int, int)
        Fewest and most speakers; in a short conversation, some of them may not speak.
    acoustics : Acoustics
        Its acoustics; noise and bystanders are added by `simulator`.
    duration : float
        Of development and test conversations, in seconds.
    """

    about: str
    turns: str
    num_speakers: tuple[int, int]
    acoustics: Acoustics
    duration: float = 120.0


EASY = Difficulty(
    about="two people in a quiet studio, each close to a microphone, who let each other finish",
    turns="voxconverse",
    num_speakers=(2, 2),
    acoustics=Acoustics(
        loudness=2.0,
        quiet_probability=0.0,
        drift=0.5,
        pitch_probability=0.0,
        room_probability=0.0,
        noise_probability=1.0,
        recorded_probability=0.0,
        signal_to_noise=(30.0, 45.0),
        crowd_probability=0.0,
        clipping_probability=0.0,
        peak=(-6.0, -1.0),
        telephone_probability=0.0,
        codec_probability=0.0,
    ),
)
"""An interview. Errors that are made here are made everywhere: look at it first."""

MEETING = Difficulty(
    about="colleagues around a table, quick and often at once, one microphone near or far",
    turns="ami",
    num_speakers=(3, 5),
    acoustics=Acoustics(
        loudness=4.0,
        room_probability=1.0,
        distant_probability=0.4,
        rt60=(0.2, 0.7),
        noise_probability=1.0,
        recorded_probability=0.3,
        signal_to_noise=(8.0, 30.0),
        crowd_probability=0.0,
        telephone_probability=0.0,
        codec_probability=0.1,
    ),
)
"""Like AMI, AliMeeting, AISHELL-4. Backchannels, interruptions and reverberation make it hard."""

BROADCAST = Difficulty(
    about="debates, talk shows and reports: long turns, many voices, from the studio to the street",
    turns="voxconverse",
    num_speakers=(3, 8),
    acoustics=Acoustics(
        loudness=3.0,
        quiet_probability=0.1,
        room_probability=0.5,
        distant_probability=0.05,
        rt60=(0.15, 0.5),
        noise_probability=0.8,
        recorded_probability=0.8,
        signal_to_noise=(5.0, 30.0),
        crowd_probability=0.25,
        signal_to_crowd=(8.0, 25.0),
        peak=(-12.0, -1.0),
        telephone_probability=0.05,
        codec_probability=0.7,
    ),
)
"""Like VoxConverse. Speakers who return after minutes have to be recognised, whatever the noise is by then."""

TELEPHONE = Difficulty(
    about="a call of two people, now and then three, in one narrow, compressed channel",
    turns="ami",
    num_speakers=(2, 3),
    acoustics=Acoustics(
        loudness=6.0,
        quiet_probability=0.25,
        room_probability=0.3,
        distant_probability=0.0,
        rt60=(0.15, 0.4),
        noise_probability=0.8,
        recorded_probability=0.4,
        signal_to_noise=(10.0, 30.0),
        crowd_probability=0.1,
        clipping_probability=0.05,
        telephone_probability=1.0,
        codec_probability=0.0,
    ),
)
"""Like CALLHOME. Half of what distinguishes voices is filtered out, and one end is louder than the other."""

CROWD = Difficulty(
    about="five to eight people at a party, far from the microphone, among others who are not labelled",
    turns="ami",
    num_speakers=(5, 8),
    acoustics=Acoustics(
        loudness=6.0,
        quiet_probability=0.2,
        room_probability=1.0,
        distant_probability=0.6,
        rt60=(0.3, 0.8),
        noise_probability=1.0,
        recorded_probability=0.7,
        signal_to_noise=(3.0, 20.0),
        crowd_probability=1.0,
        crowd_size=(4, 8),
        signal_to_crowd=(3.0, 15.0),
        clipping_probability=0.1,
        telephone_probability=0.0,
    ),
)
"""Like CHiME, or DIHARD's restaurants. The hardest of all: no system does well here yet."""

DIFFICULTIES = {"Easy": EASY, "Meeting": MEETING, "Broadcast": BROADCAST, "Telephone": TELEPHONE, "Crowd": CROWD}
"""By name, as in `Synthetic.SpeakerDiarization.<Name>`."""


def simulators(
    name: str,
    voices: Path | str,
    noises: Noises | None = None,
    train_duration: float = TRAINING_SECONDS,
    subsets: Iterable[str] = tuple(SPLITS),
) -> dict[str, Simulator]:
    """Simulators of one difficulty, one for each subset of a protocol.

    Parameters
    ----------
    name : str
        One of `DIFFICULTIES`.
    voices : Path or str
        Store made by `recipes/prepare_voices.py`. Training, development and test conversations use its splits "train",
        "dev" and "test"; test conversations use "dev" where there is no split "test".
    noises : Noises, optional
        Recorded noise; without it, all noise is generated.
    train_duration : float
        Of training conversations, in seconds.
    subsets : iterable of str, optional
        Those that are wanted of "train", "development" and "test"; the others need no voices.

    Returns
    -------
    simulators : dict
        By subset, as `SyntheticProtocol` takes them.

    Raises
    ------
    DifficultyError
        If there is no such difficulty or subset, or a split has too few voices for it.
    VoicesError
        If there is no store, or it has no "train" or no "dev" voices.
    """
    find(name)
    wanted = tuple(subsets)
    if unknown := [subset for subset in wanted if subset not in SPLITS]:
        raise DifficultyError(f"There is no subset {unknown[0]!r}. There are {', '.join(SPLITS)}.")
    durations = {"train": train_duration}
    return {subset: simulator(name, _load(voices, SPLITS[subset]), noises, durations.get(subset)) for subset in wanted}


def find(name: str) -> Difficulty:
    """A difficulty by its name.

    Raises
    ------
    DifficultyError
        If there is none of this name.
    """
    if name not in DIFFICULTIES:
        raise DifficultyError(f"There is no difficulty {name!r}. There are {', '.join(DIFFICULTIES)}.")
    return DIFFICULTIES[name]


def _load(folder: Path | str, split: str) -> Voices:
    """Voices of a split; those of "dev" where there is no split "test"."""
    try:
        return Voices(folder, split)
    except VoicesError:
        if split != "test":
            raise
    voices = Voices(folder, "dev")
    warnings.warn(
        f"{folder} has no voices of split 'test': test conversations have those of development. "
        f"Prepare the voices again, with recipes/prepare_voices.py, to keep some for tests.",
        stacklevel=3,
    )
    return voices


def simulator(
    name: str,
    voices: Voices,
    noises: Noises | None = None,
    duration: float | None = None,
    num_speakers: tuple[int, int] | None = None,
) -> Simulator:
    """Make the simulator of one difficulty with these voices.

    `duration`, in seconds, and the fewest and most speakers are those of the difficulty unless they are given.

    Raises
    ------
    DifficultyError
        If there is no such difficulty, or there are too few voices for it.
    TurnsError
        If the fewest and most speakers are no such pair.
    """
    difficulty = find(name)
    acoustics = difficulty.acoustics
    num_speakers = num_speakers or difficulty.num_speakers
    turns = FittedTurns.ready(difficulty.turns, num_speakers=num_speakers)
    needed = num_speakers[1] + (acoustics.crowd_size[0] if acoustics.crowd_probability else 0)
    if (found := len(voices.speakers)) < needed:
        raise DifficultyError(
            f"{name} needs {needed} voices at once, bystanders included; {found} can be had of {voices!r}. "
            f"Prepare more voices, or choose a difficulty with fewer speakers."
        )
    acoustics = replace(acoustics, noises=noises, bystanders=voices)
    return Simulator(voices, turns, acoustics, difficulty.duration if duration is None else duration)
