"""Speaker diarization of recordings of any length, as a pyannote.audio Pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from pyannote.audio.pipelines.utils import SpeakerDiarizationMixin
from pyannote.audio.utils.reproducibility import fix_reproducibility
from pyannote.core import Annotation
from pyannote.metrics.diarization import DiarizationErrorRate

from pyannote_pix2seq.audio.reader import Reader
from pyannote_pix2seq.audio.recording import LazyFile, load
from pyannote_pix2seq.batch import check_batch, one_by_one
from pyannote_pix2seq.checkpoints import load_model
from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.der import der_metric
from pyannote_pix2seq.enrolment import Enrolment, Known
from pyannote_pix2seq.inference import inference
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.output import Pix2SeqOutput, speaker_label, to_output
from pyannote_pix2seq.strategies.choice import Strategy, strategy_named, usual_prompts, usual_strategy
from pyannote_pix2seq.strategies.chunks import Grid, chunks_of
from pyannote_pix2seq.strategies.speakers import directions, names_of, voices_of
from pyannote_pix2seq.strategies.streaming import Stream
from pyannote_pix2seq.strategies.writer import Writer
from pyannote_pix2seq.telemetry import MeasuredPipeline


class Pix2SeqDiarization(SpeakerDiarizationMixin, MeasuredPipeline):
    """Speaker diarization with a Pix2Seq model.

    A recording is cut into overlapping chunks, and each is prompted with audio of speakers who may occur in it: those
    found in earlier chunks (`strategies/chain.py`), or those of the whole recording (`strategies/two_pass.py`).

    Parameters
    ----------
    model : Pix2Seq, str, Path or dict
        Pretrained model, or anything that `pyannote.audio.pipelines.utils.get_model` turns into one.
    chunk : float, optional
        Length of chunks, in seconds, at most half of the model's window. The rest of the window is for prompts.
        Defaults to 30 s, or to half of the window if that is shorter: `grid` has what is used.
    hop : float, optional
        Seconds from the start of one chunk to that of the next. Defaults to 0.8 times the length of a chunk.
    strategy : {"chain", "two_pass"}, optional
        Two passes need a frontend with voices; they are the default where these are pretrained, and a chain elsewhere.
    prompts : {"compact", "clip"}, optional
        Prompt with one audio token that summarises up to 5 s of a speaker, with the voice of all that the speaker said,
        or with all audio tokens of these seconds. Defaults to compact prompts, and to clips if the frontend is trained
        with the model.
    decoding : dict, optional
        Options of `DecodingOptions`, e.g. `{"method": "beam"}`. Defaults to greedy decoding, which is worse than the
        consensus that config.yaml of `PRETRAINED` asks for, and that recipes/export.py writes.
    legacy : bool, optional
        Return the `Annotation` alone instead of a `Pix2SeqOutput`.
    token, cache_dir : optional
        For models on a hub.

    Raises
    ------
    ModelError
        If the checkpoint holds no Pix2Seq model.
    ValueError
        If the chunk does not fit the model's window, the model does not support such prompts or such a strategy or is
        not in single precision, or the hop or a decoding option is out of its range.
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
        chunk: float | None = None,
        hop: float | None = None,
        strategy: str | None = None,
        prompts: str | None = None,
        decoding: Mapping[str, Any] | None = None,
        legacy: bool = False,
        token: str | bool | None = None,
        cache_dir: Path | str | None = None,
    ):
        super().__init__()
        self.model = load_model(model, token, cache_dir)
        self.decoding = {} if decoding is None else decoding  # type: ignore[assignment]
        self.legacy = legacy
        self.chunk, self.hop = chunk, hop
        self.strategy = usual_strategy(self.model.frontend) if strategy is None else strategy
        self.prompts = usual_prompts(self.model.frontend) if prompts is None else prompts
        self.check()

    @property
    def decoding(self) -> DecodingOptions:
        """Options of decoding; they may be set to a mapping as well.

        Setting them replaces all of them: options that a mapping leaves out have their defaults. To change some only,
        `pipeline.decoding = dataclasses.replace(pipeline.decoding, temperature=1.0)`.
        """
        return self._decoding

    @decoding.setter
    def decoding(self, options: DecodingOptions | Mapping[str, Any]) -> None:
        if not isinstance(options, DecodingOptions):
            options = DecodingOptions.of(options)
        self._decoding = options

    def check(self) -> None:
        """Check chunks, prompts and strategy now rather than at the first recording.

        Raises
        ------
        ValueError
            If they are not valid for this model.
        """
        _ = self.grid, self.writer, self._strategy

    @property
    def grid(self) -> Grid:
        """Positions of the chunks."""
        return Grid.of(self.chunk, self.hop, self.model.frontend, longest=self.model.vocabulary.window / 2)

    @property
    def _strategy(self) -> Strategy:
        return strategy_named(self.strategy, self.model.frontend)

    @property
    def writer(self) -> Writer:
        """What decodes chunks; the model, which may have been trained since, is put into evaluation mode."""
        fix_reproducibility(self.model.device)  # a GPU is made exact, as pyannote.audio does where it calls `apply`
        return Writer(self.model.eval(), self.decoding, self.prompts)

    def default_parameters(self) -> dict[str, Any]:
        """No hyper-parameters for pyannote.pipeline: what to tune is in `decoding`, see pretrained/README.md."""
        return {}

    def classes(self) -> Iterator[str]:
        """Labels of speakers: SPEAKER_00, SPEAKER_01..."""
        return (speaker_label(number) for number in count())

    def get_metric(self) -> DiarizationErrorRate:
        """Diarization error rate, without collar and with overlap scored."""
        return der_metric()

    def get_direction(self) -> str:
        """The metric is to be minimised."""
        return "minimize"

    def prepare_one(self, file: Any, preload: bool = False) -> LazyFile:
        """Prepare a file for `apply`; unlike pyannote.audio's own method, this needs no FFmpeg.

        Parameters
        ----------
        file : path, binary stream or mapping
        preload : bool, optional
            Load the waveform now.

        Raises
        ------
        AudioError
            If `preload` is set and the file cannot be loaded.
        """
        lazy = LazyFile(file, getattr(self, "preprocessors", None))
        if preload:
            lazy.data.update(load(lazy), channel=None)
        return lazy

    @inference
    def apply(
        self,
        file: Mapping[str, Any],
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        known: Known = None,
        hook: Callable[..., None] | None = None,
    ) -> Pix2SeqOutput | Annotation:
        """Diarize a recording, with only a few chunks in memory at a time.

        Parameters
        ----------
        file : mapping
            See `pyannote_pix2seq.audio.recording.load`. Any sample rate; channels are averaged unless one is chosen.
        num_speakers, min_speakers, max_speakers : int, optional
            Exact, smallest and largest number of speakers; always respected.
        known : Enrolment, path of one that was saved, or mapping of str to recordings, optional
            Speakers who may occur, see `enrol`. Their turns carry their names.
        hook : callable, optional
            Called as `hook(step, artifact, file=..., total=..., completed=...)` during each step.

        Returns
        -------
        output : Pix2SeqOutput, or Annotation if `legacy`

        Raises
        ------
        AudioError
            If the file cannot be read or lasts less than 100 ms.
        SpeakerCountError
            If the number of speakers is invalid or cannot be reached.
        EnrolmentError
            If speakers cannot be enrolled, or were enrolled with another frontend.
        """
        hook = self.setup_hook(file, hook=hook)
        reader = Reader(file, self.model.frontend.sample_rate)
        grid, writer = self.grid, self.writer

        def limits(num_chunks: int) -> SpeakerLimits:
            return SpeakerLimits.check(num_speakers, min_speakers, max_speakers, writer.capacity * num_chunks)

        def report(step: str, completed: int, total: int) -> None:
            hook(step, None, completed=completed, total=total)

        num_chunks = grid.num_chunks(reader.duration)
        strategy = self._strategy(writer, limits(num_chunks), Enrolment.given(known, self.model.frontend))
        with closing(chunks_of(reader, grid, check=limits)) as chunks:  # or a stream would stay where an error left it
            turns, speakers = strategy.diarize(chunks, num_chunks, report)
        voices = dict(zip(speakers, directions(voices_of(speakers.values())).numpy(), strict=True))
        output = to_output(turns, reader.uri, voices, self.model.frontend.voice_dim, names_of(speakers))
        hook("speaker_diarization", output.speaker_diarization)
        return output.speaker_diarization if self.legacy else output

    def apply_batch(self, files: Iterable[Any], progress: bool = False, **options: Any) -> Iterator[tuple[Any, Any]]:
        """Diarize files one after the other; one that fails is reported in a warning and skipped, see `one_by_one`.

        Parameters
        ----------
        files : iterable of path, binary stream or mapping
        progress : bool, optional
            Show a progress bar, as `pyannote-audio benchmark` asks for.
        **options
            See `apply`; those that a file has under "pipeline_kwargs" take precedence.

        Returns
        -------
        outputs : iterator of (file, output)
            See `apply`.

        Raises
        ------
        ValueError
            As `check` does.
        TypeError
            If there is no such option, or a single file is given instead of several.
        SpeakerCountError
            If the number of speakers is invalid.
        EnrolmentError
            As `apply` does; speakers are enrolled once for all files.
        """
        self.check()
        check_batch(files, options, self.apply)
        SpeakerLimits.check(options.get("num_speakers"), options.get("min_speakers"), options.get("max_speakers"))
        options["known"] = Enrolment.given(options.get("known"), self.model.frontend)
        return one_by_one(files, self, options, progress)

    def enrol(self, known: Mapping[str, Any]) -> Enrolment:
        """Enrol speakers from recordings of each of them alone; `Enrolment.save` keeps the result for later use.

        Parameters
        ----------
        known : mapping of str to (recording or list of recordings)
            E.g. `{"alice": "alice.wav", "bob": ["bob1.wav", "bob2.wav"]}`; 5 s of speech of each are enough.

        Returns
        -------
        enrolment : Enrolment
            For `known` of `apply` and `stream`.

        Raises
        ------
        EnrolmentError
            As `Enrolment.of` does: if RTTM cannot carry a name, or there is less than 1 s of speech of a speaker.
        AudioError
            If a recording cannot be read.
        """
        return Enrolment.of(known, self.writer.model.frontend)

    def stream(
        self,
        sample_rate: int,
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        known: Known = None,
    ) -> Stream:
        """Diarize audio as it arrives, see `Stream`; further options are those of `apply`.

        Parameters
        ----------
        sample_rate : int
            Of the audio that is pushed, in Hz.

        Raises
        ------
        SpeakerCountError
            If the number of speakers is invalid, or more are needed than the model can name in one chunk.
        AudioError
            If the sample rate is not a whole number of Hz, 1 or more.
        EnrolmentError
            As `apply` does.
        """
        limits = SpeakerLimits.check(num_speakers, min_speakers, max_speakers, self.writer.capacity)
        return Stream(self.writer, self.grid, sample_rate, limits, Enrolment.given(known, self.model.frontend))
