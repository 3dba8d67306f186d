"""Speaker diarization of recordings of any length, as a pyannote.audio Pipeline."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pyannote.audio.core.pipeline import Pipeline
from pyannote.audio.pipelines.utils import SpeakerDiarizationMixin, get_model
from pyannote.core import Annotation
from pyannote.metrics.diarization import DiarizationErrorRate
from torch import Tensor
from tqdm import tqdm

from pyannote_pix2seq.audio import AudioError, LazyFile, as_protocol_file, load, prepare
from pyannote_pix2seq.decoding import DecodingOptions, Hypothesis, decode
from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.memory import SpeakerMemory, prompt
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.output import SHORTEST_TURN, Pix2SeqOutput, Turn, clip, join, speaker_label, to_output
from pyannote_pix2seq.vocabulary import Triplet

SHORTEST = 0.1
"""Shortest recording, in seconds."""
BORDER = 0.1
"""Turns of one speaker with at most so many seconds between them are one: a chunk's border lies between them."""
UNREADABLE = (
    AttributeError,
    EOFError,
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    UnpicklingError,
    ValueError,
)
"""What loading a file that is no checkpoint of ours may raise."""


class ModelError(ValueError):
    """A checkpoint that is no Pix2Seq model."""


class Pix2SeqDiarization(SpeakerDiarizationMixin, Pipeline):
    """Speaker diarization written by a Pix2Seq model.

    A recording is cut into chunks. Each is prompted with audio of the speakers known so far, so that a speaker keeps
    his name; whom the model names anew is a new speaker of the recording.

    Parameters
    ----------
    model : Pix2Seq, str, Path or dict
        Pretrained model, or anything that `pyannote.audio.pipelines.utils.get_model` turns into one.
    chunk : float, optional
        Longest chunk, in seconds. What it leaves of the model's window is for prompts.
    decoding : dict, optional
        Options of `DecodingOptions`, e.g. `{"strategy": "beam"}`.
    legacy : bool, optional
        Return the `Annotation` alone instead of a `Pix2SeqOutput`.
    token, cache_dir : optional
        For models on a hub.

    Raises
    ------
    ModelError
        If the checkpoint holds no Pix2Seq model.
    ValueError
        If the chunk does not fit the model, or a decoding option is out of its range.
    TypeError
        If there is no such decoding option.

    Examples
    --------
    >>> pipeline = Pipeline.from_pretrained(pyannote_pix2seq.PRETRAINED)  # doctest: +SKIP
    >>> output = pipeline("meeting.wav", max_speakers=4)  # doctest: +SKIP
    >>> print(output.speaker_diarization)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Pix2Seq | str | Path | dict[str, Any],
        chunk: float = 30.0,
        decoding: Mapping[str, Any] | None = None,
        legacy: bool = False,
        token: str | bool | None = None,
        cache_dir: Path | str | None = None,
    ):
        super().__init__()
        self.model = load_model(model, token, cache_dir)
        self.model.eval()
        self.decoding = DecodingOptions.of(decoding or {}, refused=("min_speakers", "max_speakers"))
        self.legacy = legacy
        self.chunk = chunk
        longest = self.model.vocabulary.window / 2
        if not 1.0 <= chunk <= longest:
            raise ValueError(
                f"Pix2SeqDiarization: chunk={chunk} s was given; it has to be 1 s to {longest} s, half of the model's "
                f"window, whose other half is for prompts."
            )

    def default_parameters(self) -> dict[str, Any]:
        """There is nothing to tune."""
        return {}

    def classes(self) -> Iterator[str]:
        """SPEAKER_00, SPEAKER_01..."""
        return (speaker_label(number) for number in count())

    def get_metric(self) -> DiarizationErrorRate:
        """Diarization error rate without collar, overlap scored."""
        return DiarizationErrorRate(collar=0.0, skip_overlap=False)

    def get_direction(self) -> str:
        """The metric is to be minimised."""
        return "minimize"

    def prepare_one(self, file: Any, preload: bool = False) -> Mapping[str, Any]:
        """Prepare a file to be diarized; unlike pyannote.audio's own, this needs no FFmpeg.

        Parameters
        ----------
        file : path, binary stream or mapping
        preload : bool, optional
            Load the waveform now.

        Raises
        ------
        AudioError
            If the file is to be loaded and cannot be.
        """
        mapping = as_protocol_file(file, getattr(self, "preprocessors", None))
        lazy = LazyFile(mapping)
        return {**mapping, **load(lazy), "channel": None} if preload else lazy

    @torch.inference_mode()
    def apply(
        self,
        file: Mapping[str, Any],
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        hook: Callable[..., None] | None = None,
    ) -> Pix2SeqOutput | Annotation:
        """Diarize a recording.

        Parameters
        ----------
        file : mapping
            See `pyannote_pix2seq.audio.load`.
        num_speakers, min_speakers, max_speakers : int, optional
            How many speakers there are; obeyed exactly.
        hook : callable, optional
            Called as `hook(step, artifact, file=..., total=..., completed=...)` after each chunk.

        Returns
        -------
        output : Pix2SeqOutput, or Annotation if `legacy`

        Raises
        ------
        AudioError
            If the file cannot be read or lasts less than 100 ms.
        SpeakerCountError
            If the number of speakers cannot be obeyed.
        """
        hook = self.setup_hook(file, hook=hook)
        limits = SpeakerLimits.check(num_speakers, min_speakers, max_speakers, self.model.vocabulary.num_speakers)
        audio = load(file)
        waveform = prepare(audio, self.model.frontend.sample_rate)
        chunks = self._chunks(waveform, audio["uri"])
        memory = SpeakerMemory(self.model.frontend.token_duration)
        turns: list[Turn] = []
        hook("chunks", None, total=len(chunks), completed=0)
        for completed, (start, chunk) in enumerate(chunks, 1):
            turns += self._diarize(chunk, start, memory, limits, is_last=completed == len(chunks))
            hook("chunks", turns, total=len(chunks), completed=completed)
        end = waveform.shape[1] / self.model.frontend.sample_rate
        output = to_output(join(clip(turns, end), BORDER), audio["uri"], memory.embeddings())
        hook("speaker_diarization", output.speaker_diarization)
        return output.speaker_diarization if self.legacy else output

    def apply_batch(
        self, files: Iterable[Mapping[str, Any]], progress: bool = False, **options: Any
    ) -> Iterator[tuple[Any, Any]]:
        """Diarize files one after the other; one that cannot be read is reported in a warning and passed over.

        Parameters
        ----------
        files : iterable of mapping
        progress : bool, optional
            Show a progress bar, as `pyannote-audio benchmark` asks for.
        **options
            See `apply`; those that a file has under "pipeline_kwargs" come first.

        Yields
        ------
        file, output
            See `apply`.
        """
        for file in tqdm(files, desc="recordings", disable=not progress):
            try:
                yield file, self.apply(file, **{**options, **file.get("pipeline_kwargs", {})})
            except AudioError as error:
                warnings.warn(f"{file['uri']} is left out: {error}", stacklevel=2)

    def _chunks(self, waveform: Tensor, uri: str) -> list[tuple[float, Tensor]]:
        """Chunks of equal length and their start times, in seconds.

        Raises
        ------
        AudioError
            If the recording is too short.
        """
        frontend = self.model.frontend
        duration = waveform.shape[1] / frontend.sample_rate
        if duration < SHORTEST:
            raise AudioError(
                f"{uri} lasts {1e3 * duration:.0f} ms; {1e3 * SHORTEST:.0f} ms or more are needed to hear who speaks. "
                f"Is the file complete?"
            )
        num_tokens = math.ceil(frontend.num_tokens(waveform.shape[1]) / math.ceil(duration / self.chunk))
        pieces = waveform.split(num_tokens * frontend.samples_per_token, dim=1)
        return [(number * num_tokens * frontend.token_duration, piece) for number, piece in enumerate(pieces)]

    def _diarize(
        self, chunk: Tensor, start: float, memory: SpeakerMemory, limits: SpeakerLimits, is_last: bool
    ) -> list[Turn]:
        """Turns of one chunk (1, num_samples) that starts at `start`; the memory learns from them."""
        content, voice = self.model.frontend(chunk[None].to(self.model.device))
        audio = AudioTokens(content[0], voice[0])
        capacity = self.model.vocabulary.num_speakers
        prompted = memory.most_recent(capacity - 1 if limits.may_grow(len(memory)) else capacity)
        least, most = limits.of_chunk(len(memory), len(prompted), is_last, capacity)
        options = replace(self.decoding, min_speakers=least, max_speakers=most)
        offset, hypothesis = self._write(audio, memory.clips(prompted, self.model.vocabulary.window / 2), options)
        numbers = dict(enumerate(prompted))
        turns = []
        for triplet in hypothesis.turns[len(prompted) :]:
            number = numbers.setdefault(triplet.speaker, len(memory) + len(numbers) - len(prompted))
            turns.append(move(triplet, -offset)._replace(speaker=number))
        confidence = hypothesis.confidence[len(prompted) :]
        memory.hear(audio, turns, confidence, start)
        return [Turn(*move(turn, start), sure) for turn, sure in zip(turns, confidence, strict=True)]

    def _write(
        self, audio: AudioTokens, clips: list[AudioTokens], options: DecodingOptions
    ) -> tuple[float, Hypothesis]:
        """Write about a chunk behind its prompts; where it starts behind them, and what was written."""
        model = self.model
        prompted = prompt(clips, audio, model.frontend.token_duration)
        context = model.listen(AudioTokens(*(field[None] for field in prompted.audio)))
        num_bins = len(prompted.audio.content) * model.frontend.bins_per_token
        given = model.vocabulary.encode(prompted.turns)[:-1]
        hypotheses = decode(model, context, torch.tensor([num_bins], device=model.device), [given], options)
        return prompted.offset, hypotheses[0]


def load_model(model: Pix2Seq | str | Path | dict[str, Any], token: Any, cache_dir: Any) -> Pix2Seq:
    """Load a Pix2Seq model.

    Raises
    ------
    ModelError
        If the checkpoint holds something else.
    """
    source = model["checkpoint"] if isinstance(model, dict) else model
    try:
        loaded = get_model({"checkpoint": str(model)} if isinstance(model, (str, Path)) else model, token, cache_dir)
    except UNREADABLE as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
        raise ModelError(
            f"{source} is not a checkpoint of a Pix2Seq model ({reason}). recipes/train.py makes checkpoints."
        ) from error
    if not isinstance(loaded, Pix2Seq):
        raise ModelError(f"{source} holds a {type(loaded).__name__}; this pipeline needs a Pix2Seq model.")
    return loaded


def move(turn: Triplet, seconds: float) -> Triplet:
    """The turn so many seconds later, but not before the beginning."""
    start = max(turn.start + seconds, 0.0)
    return Triplet(start, max(turn.end + seconds, start + SHORTEST_TURN), turn.speaker)
