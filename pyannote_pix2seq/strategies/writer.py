"""The model as strategies use it: it reads chunks behind prompts, and writes their turns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyannote_pix2seq.decoding.options import DecodingOptions
from pyannote_pix2seq.decoding.search import Hypothesis, decode
from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.frontends import TOKEN_DURATION, AudioTokens
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.model import Pix2Seq
from pyannote_pix2seq.network.compensation import ChannelCompensation
from pyannote_pix2seq.numeric import check_ranges
from pyannote_pix2seq.output import SHORTEST_TURN, Turn
from pyannote_pix2seq.prompts import NUM_SILENT_TOKENS, Prompted, compact, prompt
from pyannote_pix2seq.strategies.attribution import attribute
from pyannote_pix2seq.strategies.speakers import Speaker, clips

PROMPTS = ("compact", "clip")


class Writer:
    """Writes the turns of chunks, behind prompts of known speakers.

    Parameters
    ----------
    model : Pix2Seq
        In evaluation mode.
    decoding : DecodingOptions
    prompts : {"compact", "clip"}, optional
        Whether a prompt is one audio token that stands for up to 5 s of a speaker, with the voice of all that the
        speaker said, or all of these audio tokens. Defaults to "compact".

    Raises
    ------
    ValueError
        If `prompts` is neither, or is "compact" and the frontend is learned (see `WindowSampler`), or the model is not
        in single precision.
    """

    def __init__(self, model: Pix2Seq, decoding: DecodingOptions, prompts: str = "compact"):
        ranges = {"prompts": (prompts in PROMPTS, f"one of {', '.join(PROMPTS)}")}
        check_ranges("Pix2SeqDiarization", {"prompts": prompts}, ranges)
        if prompts == "compact" and not model.frontend.frozen:
            raise ArgumentError(
                f"Pix2SeqDiarization: prompts='compact' was given, but {type(model.frontend).__name__} is learned, and "
                f"models with such a frontend are never trained with compact prompts. Use prompts='clip'."
            )
        _check_precision(model)
        self.model = model
        self.decoding = decoding
        self.prompts = prompts

    @property
    def first_pass(self) -> Writer:
        """The same writer for the first of two passes, see `DecodingOptions.first_pass`."""
        return Writer(self.model, self.decoding.first_pass, self.prompts)

    @property
    def second_pass(self) -> Writer:
        """The same writer for the second of two passes, see `DecodingOptions.second_pass`."""
        return Writer(self.model, self.decoding.second_pass, self.prompts)

    @property
    def capacity(self) -> int:
        """Most speakers that a chunk can have."""
        return self.model.vocabulary.num_speakers

    @property
    def compensation(self) -> ChannelCompensation:
        """What makes voices of the recording comparable with those of enrolled speakers."""
        return self.model.compensation

    def listen(self, waveform: Tensor) -> AudioTokens:
        """Audio tokens of a chunk (1, num_samples)."""
        return self.model.frontend(waveform[None].to(self.model.device)).at(0)

    def most_prompts(self, audio: AudioTokens) -> int:
        """Most speakers that a chunk can be prompted with: in the window, each takes a token or more, and silence."""
        room = self.model.frontend.whole_tokens(self.model.vocabulary.window) - len(audio.content)
        return min(room // (1 + NUM_SILENT_TOKENS), self.capacity)

    def write(
        self,
        audio: Sequence[AudioTokens],
        prompted: Sequence[Sequence[Speaker]],
        min_speakers: int = 0,
        max_speakers: int | None = None,
    ) -> list[list[Turn]]:
        """Write the turns of chunks.

        Parameters
        ----------
        audio : sequence of AudioTokens
            Of each chunk, (num_tokens, ...).
        prompted : sequence of sequences of Speaker
            Speakers that each chunk is prompted with, at most `most_prompts`.
        min_speakers, max_speakers : int, optional
            Fewest and most speakers of each chunk, including those of the prompts.

        Returns
        -------
        turns : list of lists of Turn
            In seconds from the beginning of each chunk. Speakers are numbered: first those of the prompts, then others.
            Parts of turns of prompted speakers that clearly have the voice of another prompted speaker are reassigned,
            see `attribute`.
        """
        behind = [self._prompt(chunk, speakers) for chunk, speakers in zip(audio, prompted, strict=True)]
        written = map(_turns_of, self._decode(behind, SpeakerLimits(min_speakers, max_speakers)), behind)
        given = zip(written, audio, prompted, strict=True)
        return [attribute(turns, chunk, speakers) for turns, chunk, speakers in given]

    def _prompt(self, audio: AudioTokens, speakers: Sequence[Speaker]) -> Prompted:
        if self.prompts == "compact":
            return prompt([compact(who.clip, who.voice) for who in speakers], audio)
        window = self.model.vocabulary.window
        seconds = min(window / 2, window - len(audio.content) * TOKEN_DURATION)
        return prompt(clips(speakers, seconds), audio)

    def _decode(self, behind: Sequence[Prompted], limits: SpeakerLimits) -> list[Hypothesis]:
        model = self.model
        lengths = torch.tensor([len(chunk.audio.content) for chunk in behind], device=model.device)
        context = model.listen(AudioTokens.padded([chunk.audio for chunk in behind]), lengths)
        given = [model.vocabulary.encode(chunk.turns)[:-1] for chunk in behind]
        return decode(model, context, lengths * model.frontend.bins_per_token, given, self.decoding, limits)


def _check_precision(model: Pix2Seq) -> None:
    """Refuse a model that is not in single precision, as recordings are."""
    kinds = {str(weight.dtype).removeprefix("torch.") for weight in model.parameters()}
    if kinds != {"float32"}:
        raise ArgumentError(
            f"Pix2SeqDiarization: a model in {', '.join(sorted(kinds))} was given; it has to be in float32. Load it "
            f"again, and leave it so: what is faster in bfloat16 is computed in it anyway."
        )


def _turns_of(found: Hypothesis, behind: Prompted) -> list[Turn]:
    """Turns of a chunk, in seconds from its beginning, without those of its prompts."""
    turns = []
    for (start, end, speaker), sure in list(zip(found.turns, found.confidence, strict=True))[len(behind.turns) :]:
        start = max(start - behind.offset, 0.0)
        turns.append(Turn(start, max(end - behind.offset, start + SHORTEST_TURN), speaker, sure))
    return turns
