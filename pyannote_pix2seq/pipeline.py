"""Speaker diarization of recordings of any length, as a pyannote.audio Pipeline."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pyannote.audio.core.pipeline import Pipeline
from pyannote.audio.pipelines.utils import SpeakerDiarizationMixin, get_model
from pyannote.core import Annotation
from pyannote.metrics.diarization import DiarizationErrorRate
from tqdm import tqdm

from pyannote_pix2seq.audio import AudioError, LazyFile, as_protocol_file, load
from pyannote_pix2seq.chain import Chain
from pyannote_pix2seq.chunks import Chunk, Chunker, Grid
from pyannote_pix2seq.decoding import DecodingOptions
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.output import Pix2SeqOutput, speaker_label, to_output
from pyannote_pix2seq.reader import Reader
from pyannote_pix2seq.speakers import directions
from pyannote_pix2seq.writer import Writer

SHORTEST = 0.1
"""Shortest recording, in seconds."""
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
        Length of chunks, in seconds. What it leaves of the model's window is for prompts.
    hop : float, optional
        How much later than one chunk the next begins, as a share of its length.
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
        If the chunk does not fit the model, or the hop or a decoding option is out of its range.
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
        hop: float = 0.8,
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
        self.chunk, self.hop = chunk, hop
        longest = self.model.vocabulary.window / 2
        if not 1.0 <= chunk <= longest:
            raise ValueError(
                f"Pix2SeqDiarization: chunk={chunk} s was given; it has to be 1 s to {longest} s, half of the model's "
                f"window, whose other half is for prompts."
            )
        if not 0.2 <= hop <= 1.0:
            raise ValueError(f"Pix2SeqDiarization: hop={hop} was given; it has to be 0.2 to 1 times the chunk.")

    @property
    def grid(self) -> Grid:
        """Where chunks begin."""
        frontend = self.model.frontend
        chunk = math.ceil(self.chunk / frontend.token_duration - 1e-6)
        hop = max(round(self.hop * chunk), 1)
        return Grid(chunk, hop, frontend.samples_per_token, frontend.sample_rate)

    @property
    def writer(self) -> Writer:
        """What writes about chunks."""
        return Writer(self.model, self.decoding)

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
        """Diarize a recording, of which only a few chunks are in memory at a time.

        Parameters
        ----------
        file : mapping
            See `pyannote_pix2seq.audio.load`.
        num_speakers, min_speakers, max_speakers : int, optional
            How many speakers there are; obeyed exactly.
        hook : callable, optional
            Called as `hook(step, artifact, file=..., total=..., completed=...)` while each step goes on.

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
        reader = Reader(file, self.model.frontend.sample_rate)
        num_chunks = self.grid.num_chunks(reader.duration)
        limits = SpeakerLimits.check(num_speakers, min_speakers, max_speakers, self.writer.capacity * num_chunks)
        strategy = Chain(self.writer, limits)

        def report(step: str, completed: int, total: int) -> None:
            hook(step, None, completed=completed, total=total)

        turns, speakers = strategy.diarize(self._chunks(reader), num_chunks, report)
        voices = dict(enumerate(directions(speakers).numpy()))
        output = to_output(turns, reader.uri, voices, {})
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

    def _chunks(self, reader: Reader) -> Iterator[Chunk]:
        """Chunks of a recording.

        Raises
        ------
        AudioError
            If the recording is too short.
        """
        chunker = Chunker(self.grid)
        for block in reader:
            yield from chunker.push(block)
        if chunker.duration < SHORTEST:
            raise AudioError(
                f"{reader.uri} lasts {1e3 * chunker.duration:.0f} ms; {1e3 * SHORTEST:.0f} ms or more are needed to hear "
                f"who speaks. Is the file complete?"
            )
        yield chunker.close()


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

