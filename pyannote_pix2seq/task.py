"""Training Pix2Seq on a pyannote.database protocol, synthetic or real."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning import Trainer
from pyannote.audio.core.task import Task
from pyannote.audio.torchmetrics import DiarizationErrorRate
from pyannote.database.protocol import SpeakerDiarizationProtocol
from torch import Tensor
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from pyannote_pix2seq.activity import rasterize
from pyannote_pix2seq.decoding.search import decode
from pyannote_pix2seq.errors import ArgumentError, check_known
from pyannote_pix2seq.frontends import Frontend
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.network.context import Context
from pyannote_pix2seq.numeric import plain
from pyannote_pix2seq.protocol import origin
from pyannote_pix2seq.specifications import specifications_of
from pyannote_pix2seq.training.checks import check_frontend, check_options, check_places, check_subsets, check_trainer
from pyannote_pix2seq.training.examples import CacheError, ExampleCache
from pyannote_pix2seq.training.loaders import LateLoader, outlive_sigterm
from pyannote_pix2seq.training.losses import activity_loss, sequence_loss
from pyannote_pix2seq.training.risk import draw, risk_loss
from pyannote_pix2seq.training.steps import combined_seed, steps_left
from pyannote_pix2seq.training.window_options import WINDOW_OPTIONS, windows_that_fit
from pyannote_pix2seq.training.windows import Batch, Window, WindowSampler, collate
from pyannote_pix2seq.vocabulary import DIARIZE, Vocabulary


class SequenceDiarization(Task):
    """Training task of speaker diarization as sequence generation.

    A frozen frontend processes each recording once: its audio tokens are kept in `cache`. Every training step is a
    function of `seed` and the number of the step, so training that is interrupted resumes from any checkpoint as if it
    had not been interrupted.

    Parameters
    ----------
    protocol : SpeakerDiarizationProtocol
        With a training set and, to validate, a development set; `recipes/train.py` makes a synthetic one.
    cache : Path
        Folder for audio tokens. Filling it takes long; it can be interrupted and resumed.
    model_window : float
        Longest audio that the model can process, prompts included, in seconds.
    num_speakers : int
        Number of speakers that the model can name. Development examples that begin with more are not validated, which
        a warning says; if all do, training does not begin.
    stretch : float
        Recordings are cut into stretches of this many seconds before audio tokens are computed.
    batch_size : int
    steps_per_epoch : int
        Validation happens once an epoch.
    num_workers : int
        Processes that compute audio tokens (or, if a CUDA GPU does that, read or render audio for it) and draw windows.
    activity_weight : float
        Weight of the auxiliary frame-level loss.
    num_samples : int
        If 2 or more, so many sequences are drawn for each window, and their expected errors are minimised instead of
        cross-entropy, see `training/risk.py`: for a model that has been trained with cross-entropy.
    learning_rate : float
        Largest one, after a warm-up, see `schedule.annealed`. A model that is adapted to other data should have a
        smaller one than a model that begins with random weights.
    seed : int
    **windows
        Further fields of `WindowOptions`, e.g. `chunk`, `prompted_probability`. `prompt_duration` defaults to what
        chunks leave of `model_window`.

    Raises
    ------
    TypeError
        If there is no such option.
    ValueError
        If an option is out of its range, chunks and prompts together do not fit the window, the protocol does not end
        or is none, or the cache is no folder.
    """

    def __init__(
        self,
        protocol: SpeakerDiarizationProtocol,
        cache: Path,
        model_window: float = 60.0,
        num_speakers: int = 8,
        stretch: float = 50.0,
        batch_size: int = 16,
        steps_per_epoch: int = 250,
        num_workers: int = 0,
        activity_weight: float = 0.5,
        num_samples: int = 0,
        learning_rate: float = 1e-3,
        seed: int = 0,
        **windows: Any,
    ):
        check_options(
            model_window=model_window,
            num_speakers=num_speakers,
            stretch=stretch,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            num_workers=num_workers,
            activity_weight=activity_weight,
            num_samples=num_samples,
            learning_rate=learning_rate,
            seed=seed,
        )
        check_places(protocol, cache)
        own = [name for name in signature(SequenceDiarization).parameters if name != "windows"]
        check_known("SequenceDiarization", windows, [*own, *sorted(WINDOW_OPTIONS)])
        self.windows = windows_that_fit(model_window, num_speakers, windows)
        check_subsets(protocol)
        super().__init__(protocol, duration=model_window, batch_size=plain(batch_size), num_workers=num_workers)
        self.folder = Path(cache)
        self.vocabulary = Vocabulary(model_window, Frontend.bin_duration, num_speakers)
        self.specifications = specifications_of(self.vocabulary)
        self.stretch = stretch
        self.steps_per_epoch = steps_per_epoch
        self.activity_weight = activity_weight
        self.num_samples = num_samples
        self.learning_rate = learning_rate
        self.seed = seed
        self._caches: dict[tuple[str, str], ExampleCache] = {}
        self.development: ExampleCache | None = None

    model: Pix2Seq
    protocol: Any

    def prepare_data(self) -> None:
        """Do nothing: audio tokens need the model's frontend, see `setup`."""

    def setup(self, stage: str | None = None) -> None:
        """Fill the cache, once the model (whose frontend computes the tokens) is known.

        Validation alone needs only the development set, and leaves the model as it is.
        """
        if stage not in ("fit", "validate"):
            return
        trainer = cast(Trainer, self.trainer)
        if not isinstance(trainer.lightning_module, Pix2Seq):
            raise ArgumentError(
                f"SequenceDiarization trains a Pix2Seq, not a {type(trainer.lightning_module).__name__}: "
                f"Pix2Seq(task=...)."
            )
        self.model = trainer.lightning_module
        self.sampler = WindowSampler(self.model.frontend, self.windows)
        if stage == "fit":
            self._begin(trainer)
        if self.has_validation:
            self._prepare_validation()
        self.metric.reset()  # else nothing could be added to what `Trainer.validate` left, in inference mode

    def _begin(self, trainer: Trainer) -> None:
        """Prepare for training."""
        check_trainer(trainer, self.steps_per_epoch)
        check_frontend(self.model.frontend)
        self.model.train(not self.num_samples)  # a model that was loaded has no dropout; what is drawn must not have
        self.examples = self._filled("train")

    def _prepare_validation(self) -> None:
        """Prepare for validation, unless it has been prepared for this frontend before."""
        development = self._filled("development")
        if development is not self.development:
            self.validated = self._that_can_be_named(development)
            self.development = development

    def _filled(self, subset: str) -> ExampleCache:
        """The cache of a subset, filled once for each frontend: a task may train several models."""
        made_by = subset, self.model.frontend.fingerprint
        if made_by not in self._caches:
            self._caches[made_by] = self._fill(subset)
        return self._caches[made_by]

    def _fill(self, subset: str) -> ExampleCache:
        """Fill a cache in the first process, which signals every stretch to the others so that they do not time out."""
        trainer = cast(Trainer, self.trainer)
        tell, root = trainer.strategy.broadcast, trainer.strategy.root_device
        is_first = trainer.is_global_zero
        while not (is_first or tell(False)):
            pass
        files, source = getattr(self.protocol, subset)(), origin(self.protocol, subset)
        cache = ExampleCache(self.folder / subset, self.model.frontend, source, self.stretch)
        device = root if root.type == "cuda" else None
        cache.fill(files, self.num_workers, device, each=lambda: tell(False) if is_first else None)
        if is_first:
            tell(True)
        return cache

    def _that_can_be_named(self, examples: ExampleCache) -> list[int]:
        """Indices of the examples whose first chunk has no more speakers than the model can name.

        Raises
        ------
        CacheError
            If there are none.
        """
        most, total = self.vocabulary.num_speakers, len(examples)
        beginnings = (self.sampler.beginning(examples[index]) for index in range(total))
        found = [index for index, window in enumerate(beginnings) if window.num_speakers <= most]
        problem = f"{total} development examples begin with more than {most} speakers"
        way_out = "Use a larger num_speakers or a shorter chunk."
        if not found:
            raise CacheError(f"All {problem}. {way_out}")
        if len(found) < total and cast(Trainer, self.trainer).is_global_zero:
            warnings.warn(f"{total - len(found)} of {problem} and are not validated. {way_out}", stacklevel=2)
        return found

    def train_dataloader(self) -> LateLoader:  # type: ignore[override]
        """Loader of random windows, whose workers start when the first batch is requested."""
        loader = super().train_dataloader()
        loader.worker_init_fn = outlive_sigterm
        return LateLoader(loader)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:  # type: ignore[override]
        """Loader of the first chunks of the development set; none, for Lightning, is a list of none."""
        loader = super().val_dataloader()
        if loader is None:
            return []
        loader.worker_init_fn = outlive_sigterm
        return loader

    def train__len__(self) -> int:
        return self.steps_per_epoch * self.batch_size

    def train__iter__(self) -> Iterator[Window]:
        """Windows for the remaining steps of this epoch."""
        for step in steps_left(self.model.global_step, self.steps_per_epoch):
            rng = np.random.default_rng([self.seed, step, self.model.global_rank])
            yield from (self.sampler.draw(self.examples, rng) for _ in range(self.batch_size))

    def val__len__(self) -> int:
        return len(self.validated)

    def val__getitem__(self, index: int) -> Window:
        """The first chunk of an example."""
        return self.sampler.beginning(cast(ExampleCache, self.development)[self.validated[index]])

    def collate_fn(self, batch: Sequence[Window], stage: str = "train") -> Batch:
        return collate(batch, self.vocabulary, self.model.frontend.bins_per_token)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch: that of the sequence, plus the weighted one of frame-level activity."""
        seed = combined_seed(self.seed, self.model.global_step, self.model.global_rank)
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            audio = self.model.frontend.finish(batch.audio, batch.lengths)
            audio = self.model.frontend.augment(audio, batch.starts, generator)
            context = self.model.listen(audio, batch.lengths)
            sequence = self._risk(context, batch, seed) if self.num_samples else self._surprise(context, batch)
        activity = activity_loss(context.activity, batch.activity, batch.num_bins)
        losses = {"loss/train/sequence": sequence, "loss/train/activity": activity}
        self._log(losses, batch)
        return sequence + self.activity_weight * activity

    def _surprise(self, context: Context, batch: Batch) -> Tensor:
        """Cross-entropy of the reference."""
        written = torch.nn.functional.pad(batch.tokens[:, :-1], (1, 0), value=DIARIZE)
        logits, _ = self.model.write(context, written)
        return sequence_loss(self.vocabulary, logits, batch.tokens, batch.num_given, batch.num_bins)

    def _risk(self, context: Context, batch: Batch, seed: int) -> Tensor:
        """Loss that makes sequences likelier that have fewer errors."""
        context = context.repeat(self.num_samples)
        samples = draw(self.model, context, batch, combined_seed(seed))  # not the numbers that augment what is heard
        time_bin = torch.arange(batch.activity.shape[1], device=self.model.device)
        is_chunk = time_bin >= (batch.starts * self.model.frontend.bins_per_token)[:, None]  # the rest is given
        rate = samples.errors.sum() / (self.num_samples * batch.activity[is_chunk].sum()).clamp(min=1)
        self._log({"loss/train/error_rate": rate}, batch)
        return risk_loss(self.model, context, samples)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Diarization error rate of greedily decoded sequences."""
        audio = self.model.frontend.finish(batch.audio, batch.lengths)
        context = self.model.listen(audio, batch.lengths)
        written = decode(self.model, context, batch.num_bins)
        activity = torch.zeros_like(batch.activity)
        for hypothesis, example in zip(written, activity, strict=True):
            rasterize(self.vocabulary, hypothesis.tokens, example)
        metric = cast(MetricCollection, self.model.validation_metric)
        metric(activity.transpose(1, 2), batch.activity.transpose(1, 2))
        self._log(metric, batch)

    def _log(self, values: Any, batch: Batch) -> None:
        self.model.log_dict(values, on_epoch=True, on_step=False, prog_bar=True, batch_size=len(batch))

    def default_metric(self) -> DiarizationErrorRate:
        """Diarization error rate, without collar and with overlap scored, at the resolution of time bins."""
        return DiarizationErrorRate(0.5)
