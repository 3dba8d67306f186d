"""Adaptation of the speaker embedding network of a speaker frontend to conversations: rooms, noise, other speakers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from lightning import LightningModule
from torch import Tensor
from torch.optim import AdamW
from torch.utils.data import Dataset, IterableDataset

from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.frontends import SpeakerFrontend
from pyannote_pix2seq.frontends.campplus import statistics_pooling
from pyannote_pix2seq.training.lessons import Lesson, Teacher
from pyannote_pix2seq.training.loaders import LateLoader
from pyannote_pix2seq.training.schedule import annealed
from pyannote_pix2seq.training.steps import steps_left

LEARNING_RATES = {"campplus": 2e-4, "refinement": 1e-3}
"""Largest learning rate of each network that is trained."""
SHARPNESS = 12.0
"""Factor of cosines, as logits of whose voice it is."""
TOLD = 0.3
"""Weight of whose voice it is."""
TRUST = 0.5
"""Share of the trained weights in the mean that is kept, as real rooms differ from simulated ones: docs/log.md."""


def together(lessons: Sequence[Lesson]) -> list[Lesson]:
    """A batch of lessons, which differ in how many regions and speakers they have."""
    return list(lessons)


class LessonLoader(LateLoader):
    """Raises the errors among lessons here, as PyTorch makes a traceback of what is raised in its processes.

    Raises
    ------
    Pix2SeqError, OSError
        If there is a lesson that cannot be made.
    """

    def __iter__(self) -> Iterator[list[Lesson]]:
        for batch in super().__iter__():
            if problem := next((item for item in batch if isinstance(item, Exception)), None):
                raise problem
            yield batch


def lesson_or_error(teacher: Teacher, uri: str) -> Lesson | Pix2SeqError | OSError:
    """The lesson of a conversation, or why there is none, for `LessonLoader` to raise."""
    try:
        return teacher.lesson(uri)
    except (Pix2SeqError, OSError) as error:
        return error


class RandomLessons(IterableDataset):
    """Lessons of new conversations (or errors, see `LessonLoader`), for the remaining steps of an epoch.

    Every step is a function of the seed and its number, as in `SequenceDiarization`: training that is interrupted
    resumes as if it had not been interrupted.
    """

    def __init__(self, teacher: Teacher, adapting: AdaptationTraining):
        self.teacher, self.adapting = teacher, adapting

    def __len__(self) -> int:
        """Number of lessons in a whole epoch, of one process."""
        return self.adapting.steps_per_epoch * self.adapting.batch_size

    def __iter__(self) -> Iterator[Lesson | Pix2SeqError | OSError]:
        run = self.adapting
        for step in steps_left(run.global_step, run.steps_per_epoch):
            for number in range(run.batch_size):
                yield lesson_or_error(self.teacher, f"lesson-{run.seed}-{step}-{run.global_rank}-{number}")


class FixedLessons(Dataset):
    """The same lessons each time (or errors, see `LessonLoader`), for validation."""

    def __init__(self, teacher: Teacher, number: int):
        self.teacher, self.number = teacher, number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> Lesson | Pix2SeqError | OSError:
        return lesson_or_error(self.teacher, f"validated-{index}")


class AdaptationTraining(LightningModule):
    """Trains CAM++ to tell voices in conversations as it does from clean speech of the same speaker.

    The voice of a region is to be near that which CAM++ told, before training, from clean speech of its speaker, and
    nearer to it than to those of all other speakers of the batch. So no speaker is learned by name, and what the
    network knows of many thousands of speakers is what it is taught by (distillation: Hinton et al., arXiv 1503.02531).
    The means of both kinds of voices are subtracted before they are compared: that all are heard through rooms is no
    mistake.

    The refinement of the posteriors reads frames of CAM++, too. Meanwhile it is trained to say of these frames what it
    said of those before training, be it right or wrong: as they change, it would hear speech where nobody labels any.

    Parameters
    ----------
    frontend : SpeakerFrontend
        As it was before; it is left as it is.
    num_steps : int
        Number of training steps, after which the learning rate is a fiftieth of its peak.
    steps_per_epoch : int
    batch_size : int
        Conversations in a step, of one process.
    seed : int, optional
        Of the conversations.
    """

    heard_mean: Tensor
    clean_mean: Tensor

    def __init__(self, frontend: SpeakerFrontend, num_steps: int, steps_per_epoch: int, batch_size: int, seed: int = 0):
        super().__init__()
        self.frontend = deepcopy(frontend)
        for name in LEARNING_RATES:
            self.frontend.get_submodule(name).requires_grad_(True)
        self.num_steps, self.steps_per_epoch, self.batch_size, self.seed = num_steps, steps_per_epoch, batch_size, seed
        for name in ("heard_mean", "clean_mean"):
            self.register_buffer(name, torch.zeros(frontend.voice_dim))

    @torch.no_grad()
    def measure_means(self, lessons: Iterable[Lesson]) -> None:
        """Measure the means of voices in conversations and of clean ones, before training.

        No lesson is kept: tensors that come from another process are open files, of which there cannot be many.
        """
        told = [(self._voices(self._frames([lesson]), [lesson]), lesson.clean.clone()) for lesson in lessons]
        self.heard_mean.copy_(torch.cat([heard for heard, _ in told]).mean(0))
        self.clean_mean.copy_(torch.cat([clean for _, clean in told]).mean(0))

    def training_step(self, batch: list[Lesson], batch_idx: int) -> Tensor:
        """Loss of one batch; see `validation_step` for its parts."""
        parts = self._parts(batch)
        self._log({f"{name}/train": value for name, value in parts.items()}, len(batch))
        return parts["apart"] + TOLD * parts["confused"] + parts["unlike"]

    def validation_step(self, batch: list[Lesson], batch_idx: int) -> None:
        """Log how far voices are `apart` from clean ones, how they are `confused`, and more.

        `confused` is the cross-entropy of the speakers of the batch, `right` the share of regions whose voice is
        nearest to that of their own speaker, and `unlike` how refined posteriors diverge from those before training.
        """
        self._log({f"{name}/validation": value for name, value in self._parts(batch).items()}, len(batch))

    def adapted(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the frontend as it was, with the mean of those before and after training where it was trained.

        Such means do better on recordings that differ from those of training (Wortsman et al., "Robust fine-tuning of
        zero-shot models", arXiv 2109.01903).

        Parameters
        ----------
        weights : mapping of str to torch.Tensor
            Those of the frontend before training, in the precision in which they are to be stored.
        """
        trained = {name: weight for name, weight in self.frontend.named_parameters() if weight.requires_grad}
        return {
            name: torch.lerp(weight.float(), trained[name].detach(), TRUST).to(weight.dtype)
            if name in trained
            else weight
            for name, weight in weights.items()
        }

    def _parts(self, batch: Sequence[Lesson]) -> dict[str, Tensor]:
        frames = self._frames(batch)
        return {**self._compared(self._voices(frames, batch), batch), "unlike": self._unlike(frames.detach(), batch)}

    def _frames(self, batch: Sequence[Lesson]) -> Tensor:
        return self.frontend.frames(torch.stack([lesson.waveform for lesson in batch]))

    def _voices(self, frames: Tensor, batch: Sequence[Lesson]) -> Tensor:
        """Directions of the voices of all regions of a batch: (num_regions, voice_dim)."""
        each = zip(frames.split(1), batch, strict=True)
        pooled = [statistics_pooling(part, lesson.weights[None])[0] for part, lesson in each]
        return F.normalize(self.frontend.campplus.embed(torch.cat(pooled)), dim=-1)

    def _compared(self, voices: Tensor, batch: Sequence[Lesson]) -> dict[str, Tensor]:
        first = [0, *torch.tensor([len(lesson.clean) for lesson in batch]).cumsum(0)[:-1].tolist()]
        speakers = torch.cat([lesson.speakers + start for lesson, start in zip(batch, first, strict=True)])
        clean = torch.cat([lesson.clean for lesson in batch])
        cosines = _directions(voices, self.heard_mean) @ _directions(clean, self.clean_mean).T
        # (all regions, all speakers)
        own = cosines.gather(1, speakers[:, None]).squeeze(1)
        confused = F.cross_entropy(SHARPNESS * cosines, speakers)
        return {"apart": (1 - own).mean(), "confused": confused, "right": (own >= cosines.amax(1)).float().mean()}

    def _unlike(self, frames: Tensor, batch: Sequence[Lesson]) -> Tensor:
        """Kullback-Leibler divergence of refined posteriors from those before training, averaged over bins."""
        posteriors, before = (torch.stack([getattr(one, name) for one in batch]) for name in ("posteriors", "refined"))
        after = self.frontend.refinement(posteriors, self.frontend.by_bin(frames, posteriors.shape[1]))
        return F.kl_div(after, before, log_target=True, reduction="none").sum(-1).mean()

    def _log(self, values: Mapping[str, Tensor], size: int) -> None:
        self.log_dict(dict(values), prog_bar=True, on_step=False, on_epoch=True, batch_size=size)

    def configure_optimizers(self) -> Any:
        """AdamW, with a linear warm-up and a cosine decay."""
        groups = [
            {"params": list(self.frontend.get_submodule(name).parameters()), "lr": rate}
            for name, rate in LEARNING_RATES.items()
        ]
        optimizer = AdamW(groups, weight_decay=0.0)
        return {"optimizer": optimizer, "lr_scheduler": annealed(optimizer, self.num_steps)}


def _directions(voices: Tensor, mean: Tensor) -> Tensor:
    return F.normalize(voices - mean, dim=-1)
