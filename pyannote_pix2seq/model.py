"""Pix2Seq: from audio tokens to written tokens, as a pyannote.audio Model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
import torch.nn as nn
import torch.nn.functional as F
from pyannote.audio.core.model import Model
from pyannote.audio.core.task import Specifications, Task
from torch import Tensor

from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.frontends import FRONTENDS, TOKEN_DURATION, AudioTokens, Frontend
from pyannote_pix2seq.network.attention import by_recording
from pyannote_pix2seq.network.claims import Claims
from pyannote_pix2seq.network.compensation import ChannelCompensation
from pyannote_pix2seq.network.context import Context
from pyannote_pix2seq.network.pointing import Pointing
from pyannote_pix2seq.network.regions import region_mean, running_sum
from pyannote_pix2seq.network.transformer import Positions, Transformer, check_sizes
from pyannote_pix2seq.network.written import DIARIZE_ROLE, END_ROLE, SPEAKER_ROLE, Written
from pyannote_pix2seq.specifications import vocabulary_of
from pyannote_pix2seq.training.schedule import annealed
from pyannote_pix2seq.vocabulary import DIARIZE, EOS, FIRST_TIME, PAD, TOKENS_PER_TRIPLET, Vocabulary

COMPARISON = (10.0, -5.0)
"""Initially, a speaker whose voice has a cosine of c with the turn's gets a logit 10 c - 5 above that of a new one."""


class Pix2Seq(Model):
    """Decoder-only transformer that reads audio tokens, then writes who speaks when.

    It treats speaker diarization as Pix2Seq treats object detection (Chen et al., ICLR 2022, arXiv 2109.10852). The
    vocabulary comes from the specifications, which a task (or `specifications_of`) provides. The model is
    autoregressive: it is meant for `Pix2SeqDiarization`, not for pyannote.audio's `Inference`.

    Parameters
    ----------
    frontend : {"voiced_mel", "mel", "speaker"}, optional
        What turns waveforms into audio tokens. The speaker frontend is never trained with the model: its weights have
        to be loaded, see `checkpoints.load_frontend`, or come with a pretrained model. The others are learned with the
        model, with voices or without.
    width, num_layers, num_heads, dropout : optional
        Size of the transformer; `width` is a multiple of twice `num_heads`.
    sample_rate, num_channels : int, optional
        As in other pyannote.audio models: 16000 and 1.
    task : Task, optional

    Raises
    ------
    ValueError
        If there is no such frontend, it does not support this sample rate, or a size is out of its range.
    """

    def __init__(
        self,
        frontend: str = "voiced_mel",
        width: int = 192,
        num_layers: int = 6,
        num_heads: int = 6,
        dropout: float = 0.1,
        sample_rate: int = 16000,
        num_channels: int = 1,
        task: Task | None = None,
    ):
        super().__init__(sample_rate=sample_rate, num_channels=num_channels, task=task)
        self.save_hyperparameters("frontend", "width", "num_layers", "num_heads", "dropout")
        if frontend not in FRONTENDS:
            raise ArgumentError(f"There is no frontend {frontend!r}. Use one of {', '.join(sorted(FRONTENDS))}.")
        check_sizes(width=width, num_layers=num_layers, num_heads=num_heads, dropout=dropout)
        self.width = width
        self.frontend: Frontend = FRONTENDS[frontend]()
        if sample_rate != self.frontend.sample_rate:
            raise ArgumentError(
                f"The {frontend} frontend works at {self.frontend.sample_rate} Hz, not at {sample_rate} Hz. Give "
                f"sample_rate={self.frontend.sample_rate}: audio of any rate is resampled to it by the pipeline."
            )
        self.compensation = ChannelCompensation(self.frontend.voice_dim)
        self.embed_content = nn.Linear(self.frontend.content_dim, width)
        self.embed_role = nn.Embedding(2 + TOKENS_PER_TRIPLET, width)
        self.transformer = Transformer(width, num_layers, num_heads, self.frontend.num_voices, dropout)
        self.pointing = Pointing(width, self.frontend.bins_per_token, self.frontend.num_voices)
        self.stop = nn.Linear(width, 1)
        self.compare = nn.Linear(width, self.frontend.num_voices + 1)
        nn.init.zeros_(self.compare.weight)
        with torch.no_grad():
            self.compare.bias.zero_()[[0, -1]] = torch.tensor(COMPARISON) * bool(self.frontend.num_voices)
        nn.init.normal_(self.embed_content.weight, std=2.5 / self.frontend.content_dim**0.5)
        nn.init.normal_(self.embed_role.weight, std=0.3)

    def setup(self, stage: str | None = None) -> None:
        """Tell the task about the trainer in validation as well, not only in training."""
        if stage == "validate":
            cast(Any, self.task).trainer = self.trainer
        super().setup(stage)

    def build(self) -> None:
        """Add the layers whose size depends on the number of speakers in the vocabulary."""
        num_speakers, width = self.vocabulary.num_speakers, self.width
        self.embed_speaker = nn.Embedding(num_speakers, width)
        nn.init.normal_(self.embed_speaker.weight, std=0.5)
        self.name = nn.Linear(width, num_speakers)
        self.frames = nn.Linear(width, self.frontend.bins_per_token * num_speakers)
        self.float()  # as recordings are, whatever torch's default is

    @property
    def bin_duration(self) -> float:
        """Duration of a time bin, in seconds."""
        return self.frontend.bin_duration

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary that the specifications describe.

        Raises
        ------
        VocabularyError
            If the classes are not those of a vocabulary for the specifications' duration.
        """
        specifications = cast(Specifications, self.specifications)
        cached = self.__dict__.get("_vocabulary")
        if cached is None or cached[0] is not specifications:
            cached = (specifications, vocabulary_of(specifications, self.bin_duration))
            self.__dict__["_vocabulary"] = cached
        return cached[1]

    @property  # type: ignore[misc]
    def example_input_array(self) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Two seconds of noise, (1, 1, num_samples), and one triplet, (1, 3)."""
        waveforms = torch.randn(1, 1, 2 * self.frontend.sample_rate, device=self.device, dtype=torch.float)
        triplet = [FIRST_TIME, FIRST_TIME + 1, self.vocabulary.first_speaker]
        return waveforms, torch.tensor([triplet], device=self.device)

    def to(self, *args: Any, **kwargs: Any) -> Pix2Seq:
        """Move to a device; if that fails, move back before the error is raised."""
        before = self.device
        try:
            return super().to(*args, **kwargs)
        except Exception:
            super().to(before)
            raise

    def forward(self, waveforms: Tensor, tokens: Tensor) -> Tensor:  # type: ignore[override]
        """Logits of the next token at every position.

        Parameters
        ----------
        waveforms : (batch, 1, num_samples)
        tokens : (batch, num_tokens) int64
            Tokens written so far, without `<diarize>`.

        Returns
        -------
        logits : (batch, num_tokens + 1, size)
            Position i predicts token i, see `write`.
        """
        logits, _ = self.write(self.listen(self.frontend(waveforms)), F.pad(tokens, (1, 0), value=DIARIZE))
        return logits

    def listen(self, audio: AudioTokens, lengths: Tensor | None = None) -> Context:
        """Read the audio prefix.

        Parameters
        ----------
        audio : AudioTokens
            Content (batch, num_tokens, content_dim) and voices (batch, num_tokens, num_voices, voice_dim).
        lengths : (batch,) int64, optional
            Number of real audio tokens of each example; the rest is padding. Defaults to all.

        Returns
        -------
        context : Context
            With nothing written yet.
        """
        batch, num_tokens = audio.content.shape[:2]
        if lengths is None:
            lengths = torch.full((batch,), num_tokens, device=audio.content.device)
        index = torch.arange(num_tokens, device=audio.content.device)
        is_real = index < lengths[:, None]
        audio = AudioTokens(audio.content * is_real[..., None], audio.voice * is_real[..., None, None])
        role = self.embed_role.weight[0]
        time = (index + 0.5).expand(batch, -1)
        positions = Positions(self.embed_content(audio.content) + role, time, audio.voice)
        state, cache = self.transformer.read(positions, is_real)
        return Context(
            cache=cache,
            pointers=self.pointing.keys(state),
            activity=self.frames(state).view(batch, -1, self.vocabulary.num_speakers),
            content=running_sum(audio.content),
            written=torch.empty(batch, 0, dtype=torch.int64, device=audio.content.device),
        )

    def write(self, context: Context, tokens: Tensor) -> tuple[Tensor, Context]:
        """Write more tokens; the first token of a sequence is `<diarize>`.

        Parameters
        ----------
        context : Context
        tokens : (batch, num_tokens) int64

        Returns
        -------
        logits : (batch, num_tokens, size)
            Prediction of the token after each of `tokens`: minus infinity for times beyond the audio, for speakers
            except after an end, and for times and `<eos>` after an end. The other rules are left to the grammar, as is
            `<pad>`, whose logit is 0.
        context : Context
        """
        context = replace(context, written=torch.cat([context.written, tokens], dim=1))
        written = Written.read(context.written, self.vocabulary, self.frontend.bins_per_token)
        claims = Claims.of(written, context.voice, self.vocabulary.num_speakers)
        written = written.at(slice(-tokens.shape[1], None))
        positions = self._embed_written(written, claims.voices(written, context.voice), context.content)
        state, cache = self.transformer.write(positions, context.cache)
        context = replace(context, cache=cache)
        precise = torch.promote_types(state.dtype, torch.float)
        logits = state.new_full((*tokens.shape, self.vocabulary.size), -torch.inf, dtype=precise)
        logits[..., PAD] = 0
        is_end = written.role == END_ROLE  # after which comes a speaker
        if not is_end.all():
            where = ~is_end
            times = self._point(state[:, where], positions.at(where), written.at(where), context)
            logits[:, where, EOS : EOS + times.shape[-1]] = times.to(precise)
        if is_end.any() or state.requires_grad:  # all weights need a gradient, even if no speaker comes next
            names = self._name(state[:, is_end], positions.at(is_end), written.at(is_end), context.voice, claims)
            logits[:, is_end, self.vocabulary.first_speaker :] = names.to(precise)
        return logits, context

    def _point(self, state: Tensor, positions: Positions, written: Written, context: Context) -> Tensor:
        """Logits of `<eos>` and of the time bins in the vocabulary: (batch, num_positions, 1 + bins)."""
        voices = positions.voice, context.voice
        times, never = self.pointing(state, positions.time, written, context.pointers, voices, context.cache.is_real)
        return torch.cat([self.stop(state) + never, times[..., : self.vocabulary.num_bins]], dim=-1)

    def _name(self, state: Tensor, positions: Positions, written: Written, voice: Tensor, claims: Claims) -> Tensor:
        """Logits of the speakers: (batch, num_positions, num_speakers)."""
        named = claims.similarities(written, positions.voice, voice).to(state.dtype) @ self.compare(state)[..., None]
        # (B, T, S, V + 1) x (B, T, V + 1, 1) -> (B, T, S, 1)
        return self.name(state) + named.squeeze(-1)

    def _embed_written(self, written: Written, voice: Tensor, content: Tensor) -> Positions:
        """Embed written tokens, with the mean content and the voices of the regions that they refer to."""
        is_turn = (written.role != DIARIZE_ROLE)[:, None]
        mean = region_mean(content, by_recording(written.regions, content))
        mean = torch.where(is_turn, mean.view(*written.regions.shape[:2], -1), 0)
        state = self.embed_content(mean.to(self.stop.weight.dtype)) + self.embed_role(written.role + 1)
        is_speaker = (written.role == SPEAKER_ROLE)[:, None]
        state = state + torch.where(is_speaker, self.embed_speaker(written.speakers), 0)
        time = torch.where(written.role == END_ROLE, written.regions[..., 1], written.regions[..., 0])
        return Positions(state, time, torch.where(is_turn[..., None], voice, 0))

    def configure_optimizers(self) -> Any:
        """AdamW, with the task's learning rate after a linear warm-up, and a cosine decay over the trainer's steps."""
        trainable = [parameter for parameter in self.parameters() if parameter.requires_grad]
        rate = cast(Any, self.task).learning_rate
        optimizer = torch.optim.AdamW(trainable, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
        schedule = annealed(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def num_frames(self, num_samples: int) -> int:
        """Number of audio tokens."""
        return self.frontend.num_tokens(num_samples)

    def receptive_field_size(self, num_frames: int = 1) -> int:
        """Number of samples that `num_frames` audio tokens span."""
        return round(num_frames * TOKEN_DURATION * self.frontend.sample_rate)

    def receptive_field_center(self, frame: int = 0) -> int:
        """Sample in the middle of an audio token."""
        return (self.receptive_field_size(frame) + self.receptive_field_size(frame + 1)) // 2
