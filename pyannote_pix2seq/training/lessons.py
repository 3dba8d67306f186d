"""Conversations from which the speaker embedding network of a frontend learns to hear voices in rooms and in noise."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.frontends import SpeakerFrontend
from pyannote_pix2seq.frontends.bins import centres
from pyannote_pix2seq.frontends.campplus import CAMPPLUS_FRAMES, EMBEDDING_DIM, num_frames_of, statistics_pooling
from pyannote_pix2seq.frontends.level import amplified
from pyannote_pix2seq.inference import inference
from pyannote_pix2seq.simulation import Conversation, Simulator
from pyannote_pix2seq.simulation.seed import seed_of
from pyannote_pix2seq.vocabulary import Triplet

CLEAN = 12.0
"""Seconds of clean speech that the voice of a speaker is told from."""
FRAME = CAMPPLUS_FRAMES[1] / SAMPLE_RATE
"""Step between CAM++ frames, in seconds."""
NUM_REGIONS = 24
"""Regions of a conversation of which the voice is to be told."""
TRIES = 3
"""Regions that are drawn for each that is kept, at most."""
SHARE_NEAR = 0.35
"""Share of the regions that are those of first voices, see `SpeakerFrontend`."""
REACHES = (1.0, 1.5, 1.5, 3.0)
"""Reach of the other regions, in seconds, around their centre: that of the other voices, mostly."""
SHIFT, JITTER = 0.3, 0.1
"""Largest distance of a centre from the speech it is drawn in, and error of a start or end of a turn, in seconds."""
LEAST = 0.4
"""Seconds of a region in which its speaker speaks alone, at least; half of them for first voices."""
OWN = 0.7
"""Share of the speech of a first voice that is its speaker's, alone, at least."""
HEARD = 0.3
"""Seconds that a speaker speaks alone, at least, to have a region."""
ATTEMPTS = 100
"""Conversations that are simulated until there is one in which somebody is heard alone, at most."""


class LessonError(Pix2SeqError, ValueError):
    """Conversations from which no voice can be learned."""


class Lesson(NamedTuple):
    """A conversation, whose voice is to be told from which regions of it, and when is to be heard that somebody speaks.

    Attributes
    ----------
    waveform : (1, num_samples) torch.Tensor
        As it is heard, see `amplified`.
    posteriors : (num_bins, num_classes) torch.Tensor
        Those of the segmentation network.
    refined : (num_bins, num_classes) torch.Tensor
        Logarithms of the same, as refined before training.
    weights : (num_regions, num_frames) torch.Tensor
        Weights of CAM++ frames, for `statistics_pooling`.
    speakers : (num_regions,) int64 torch.Tensor
        Whose voice is to be told.
    clean : (num_speakers, 192) torch.Tensor
        Directions of all speakers' voices, as told from clean speech.
    """

    waveform: Tensor
    posteriors: Tensor
    refined: Tensor
    weights: Tensor
    speakers: Tensor
    clean: Tensor


class Teacher:
    """Makes lessons of simulated conversations.

    Parameters
    ----------
    simulator : Simulator
    frontend : SpeakerFrontend
        As it is before training: its CAM++ tells voices from clean speech, and its refinement hears who speaks when.
    """

    def __init__(self, simulator: Simulator, frontend: SpeakerFrontend):
        self.simulator, self.frontend = simulator, frontend

    def lesson(self, uri: str) -> Lesson:
        """The lesson of a conversation in which somebody is heard alone, the same for the same `uri` in any process.

        Raises
        ------
        LessonError
            If nobody is, in any of several conversations.
        """
        for attempt in range(ATTEMPTS):
            conversation = self.simulator.describe(f"{uri}-{attempt}")
            weights, speakers = self._regions(conversation)
            if len(speakers):
                waveform = amplified(torch.from_numpy(np.ascontiguousarray(self.simulator.render(conversation)))[None])
                return Lesson(waveform[0], *self._heard(waveform), weights, speakers, self._clean(conversation))
        raise LessonError(
            f"In {ATTEMPTS} simulated conversations, nobody speaks alone for {LEAST:g} s. Make them longer, or choose "
            f"others: --duration, --turns, --difficulty."
        )

    def _regions(self, conversation: Conversation) -> tuple[Tensor, Tensor]:
        num_samples = max(conversation.num_samples, self.frontend.samples_per_token)  # as `SpeakerFrontend.frames` pads
        rng = np.random.default_rng(seed_of(f"regions of {conversation.uri}"))
        return regions(conversation, num_frames_of(num_samples), rng)

    @inference
    def _heard(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Posteriors before and after their refinement."""
        posteriors, frames = self.frontend.features(waveform)
        refined = self.frontend.refinement(posteriors, self.frontend.by_bin(frames, posteriors.shape[1]))
        return posteriors[0], refined[0]

    @inference
    def _clean(self, conversation: Conversation) -> Tensor:
        """Voices of all speakers, at the speed and pitch that they have in a conversation: (num_speakers, 192)."""
        voices = [torch.empty(0, EMBEDDING_DIM)]
        for speaker in range(len(conversation.voices)):
            solo = replace(conversation, duration=CLEAN, turns=(Triplet(0, CLEAN, speaker),))
            frames = self.frontend.frames(torch.from_numpy(self.simulator.tracks(solo)[speaker])[None, None])
            statistics = statistics_pooling(frames, torch.ones_like(frames[:, :1]))
            voices.append(F.normalize(self.frontend.campplus.embed(statistics)[0], dim=-1))
        return torch.cat(voices)


def regions(conversation: Conversation, num_frames: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw regions of a conversation, as voices are pooled from by `SpeakerFrontend`, and whose voice they have.

    Returns
    -------
    weights : (num_regions, num_frames) torch.Tensor
    speakers : (num_regions,) int64 torch.Tensor
    """
    times = centres(num_frames, *CAMPPLUS_FRAMES, torch.device("cpu")).numpy() / SAMPLE_RATE
    active = _active(conversation, times, rng)
    alone = active * (active.sum(0) == 1)
    heard = np.flatnonzero(alone.sum(1) >= HEARD / FRAME)
    drawn: list[tuple[np.ndarray, int]] = []
    for _ in range(TRIES * NUM_REGIONS if len(heard) else 0):
        speaker = int(rng.choice(heard))
        weights = _region(active, alone, speaker, times, rng)
        if len(drawn) < NUM_REGIONS and weights is not None:
            drawn.append((weights, speaker))
    stacked = np.array([weights for weights, _ in drawn], np.float32).reshape(-1, num_frames)
    return torch.from_numpy(stacked), torch.tensor([speaker for _, speaker in drawn], dtype=torch.int64)


def _active(conversation: Conversation, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """1 where a speaker is active, by turns that are told a little wrong: (num_speakers, num_frames)."""
    active = np.zeros((len(conversation.voices), len(times)), np.float32)
    for turn in conversation.turns:
        start, end = np.array([turn.start, turn.end]) + rng.uniform(-JITTER, JITTER, 2)
        active[turn.speaker, (times >= start) & (times < end)] = 1
    return active


def _region(
    active: np.ndarray, alone: np.ndarray, speaker: int, times: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """Weights of a region around a moment in which a speaker speaks alone; None if it has too little of him."""
    centre = times[rng.choice(np.flatnonzero(alone[speaker]))] + rng.uniform(-SHIFT, SHIFT)
    distance, own = np.abs(times - centre), alone[speaker]
    if rng.random() < SHARE_NEAR:
        speech = active.any(0) * (distance <= SpeakerFrontend.NEAR)
        is_enough = (own * speech).sum() >= max(OWN * speech.sum(), LEAST / 2 / FRAME)
        return speech + SpeakerFrontend.SPEECH_FLOOR * (distance <= SpeakerFrontend.NEAR) if is_enough else None
    is_inside = distance <= rng.choice(REACHES)
    weights = own + SpeakerFrontend.OVERLAP_WEIGHT * (active[speaker] - own) + SpeakerFrontend.SPEAKER_FLOOR
    return weights * is_inside if (own * is_inside).sum() >= LEAST / FRAME else None
