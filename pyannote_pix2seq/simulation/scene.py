"""Acoustic scene of one conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyannote_pix2seq.numeric import check_ranges, is_number
from pyannote_pix2seq.simulation.acoustics_limits import LIMITS

MOST_COMPRESSED = LIMITS["compression"][1]
"""Highest level of compression that encoders take."""


@dataclass(frozen=True)
class Scene:
    """Acoustics that `Acoustics` drew for one conversation; they can be changed by hand before it is rendered.

    Attributes
    ----------
    levels : (num_speakers,) tuple of float
        Level of each speaker, in dB over the usual one.
    speeds : (num_speakers,) tuple of float
        Factor by which each voice is played faster, which raises its pitch too.
    pitches : (num_speakers,) tuple of float
        Pitch shift of each voice at constant speed, in semitones.
    rt60 : float or None
        Reverberation time of the room, in seconds; None without a room.
    is_distant : bool
        Whether the microphone is far from everyone.
    noise : str or None
        Kind of recorded noise, "generated", or None where there is none.
    signal_to_noise : float
        In dB.
    crowd : tuple of str
        Voices of the unlabelled crowd.
    signal_to_crowd : float
        In dB.
    clipping : float or None
        How far the highest peak was above the clipping level, in dB.
    peak : float
        Highest peak of the recording, in dBFS.
    telephone : str or None
        Codec of the telephone line, see `codec.TELEPHONES`.
    codec : str or None
        Codec of the file, see `codec.FILES`.
    compression : float
        Level of compression of the file, see `codec.transmit`.

    Raises
    ------
    ArgumentError
        If one of its numbers is no number, or out of its range.
    """

    levels: tuple[float, ...]
    speeds: tuple[float, ...]
    pitches: tuple[float, ...]
    rt60: float | None = None
    is_distant: bool = False
    noise: str | None = None
    signal_to_noise: float = 0.0
    crowd: tuple[str, ...] = ()
    signal_to_crowd: float = 0.0
    clipping: float | None = None
    peak: float = -1.0
    telephone: str | None = None
    codec: str | None = None
    compression: float = 0.0

    def __post_init__(self) -> None:
        decibels = ("signal_to_noise", "signal_to_crowd", "peak")
        ranges = {
            "levels": (all(map(is_number, self.levels)), "numbers of dB, one of each speaker"),
            "speeds": (all(map(_is_above_0, self.speeds)), "numbers above 0, one of each speaker"),
            "pitches": (all(map(is_number, self.pitches)), "numbers of semitones, one of each speaker"),
            "rt60": (
                self.rt60 is None or _is_above_0(self.rt60),
                "a number of seconds above 0, or None without a room",
            ),
            "clipping": (
                self.clipping is None or is_number(self.clipping, 0),
                "a number of dB, 0 or more, or None without clipping",
            ),
            "compression": (
                is_number(self.compression, 0) and self.compression <= MOST_COMPRESSED,
                f"a number from 0 to {MOST_COMPRESSED}",
            ),
            **{name: (is_number(getattr(self, name)), "a number of dB") for name in decibels},
        }
        check_ranges("Scene", vars(self), ranges)

    def __str__(self) -> str:
        """In words, such as "a distant microphone in a room of 0.41 s, rain 12 dB below speech, mp3 file"."""
        distance = "a distant microphone" if self.is_distant else "a near microphone"
        parts = [
            self.rt60 is not None and f"{distance} in a room of {self.rt60:.2f} s",
            self.noise and f"{self.noise} {self.signal_to_noise:.0f} dB below speech".replace("generated", "noise"),
            self.crowd and f"a crowd of {len(self.crowd)} {self.signal_to_crowd:.0f} dB below speech",
            self.clipping is not None and f"clipped by {self.clipping:.0f} dB",
            self.telephone and f"{self.telephone} telephone",
            self.codec and f"{self.codec} file",
        ]
        return ", ".join(part for part in parts if part) or "voices alone"


def _is_above_0(number: Any) -> bool:
    return is_number(number) and number > 0
