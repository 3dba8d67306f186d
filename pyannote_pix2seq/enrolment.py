"""Enrolment: speakers who are known from recordings of each of them alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from io import TextIOBase
from pathlib import Path
from reprlib import repr as short_repr
from typing import Any, Union

import numpy as np
import torch

from pyannote_pix2seq.annotation import survives_rttm
from pyannote_pix2seq.atomic import atomic_write
from pyannote_pix2seq.audio.reader import Reader
from pyannote_pix2seq.audio.recording import is_source
from pyannote_pix2seq.audio.samples import check_values
from pyannote_pix2seq.errors import Pix2SeqError, missing
from pyannote_pix2seq.faults import OUT_OF_MEMORY
from pyannote_pix2seq.frontends import TOKEN_DURATION, AudioTokens, Frontend
from pyannote_pix2seq.inference import inference
from pyannote_pix2seq.prompts import PROMPT
from pyannote_pix2seq.strategies.chunks import Chunker, Grid
from pyannote_pix2seq.strategies.speakers import Speaker, merged

SPEECH = 0.5
"""Minimum probability of speech of an audio token that contributes to a speaker's voice."""
ENOUGH = 1.0
"""Minimum duration of speech to enrol a speaker, in seconds."""
PIECE = 30.0
"""Duration of the pieces that long recordings are heard in, in seconds."""
FIELDS = ("clip_content", "clip_voice", "voice", "solo_duration", "quality")
"""Arrays of each speaker in a file, see `Speaker`."""

Known = Union["Enrolment", Mapping[str, Any], Path, str, None]
"""Forms in which a caller may give known speakers, see `Enrolment.given`."""


class EnrolmentError(Pix2SeqError, ValueError):
    """Speakers who cannot be enrolled or used; the message says who, and what to do about it."""


class Enrolment(Sequence[Speaker]):
    """Enrolled speakers, each with a prompt and a voice. Audio cannot be reconstructed from it.

    Parameters
    ----------
    speakers : iterable of Speaker
        Each with a unique name.

    Raises
    ------
    EnrolmentError
        If several have the same name, or these are no speakers with names.
    """

    def __init__(self, speakers: Iterable[Speaker]):
        self._speakers = list(speakers)
        if not all(isinstance(speaker, Speaker) and speaker.name for speaker in self._speakers):
            raise EnrolmentError(
                f"Enrolment({short_repr(speakers)}) was asked for; it takes speakers with names, as in other "
                f"enrolments. Load a file of these with `Enrolment.load(path)`, or make one of recordings with "
                f"`pipeline.enrol({{'alice': 'alice.wav'}})`."
            )
        counts = Counter(speaker.name for speaker in self._speakers)
        if repeated := [str(name) for name, count in counts.items() if count > 1]:
            raise EnrolmentError(
                f"{', '.join(repeated)}: several people have that name. Give each person a name of their own."
            )

    def __getitem__(self, index: Any) -> Any:
        found = self._speakers[index]
        return Enrolment(found) if isinstance(index, slice) else found

    def __len__(self) -> int:
        return len(self._speakers)

    def __repr__(self) -> str:
        return f"Enrolment({', '.join(str(speaker.name) for speaker in self)})"

    @classmethod
    @inference
    def of(cls, known: Mapping[str, Any], frontend: Frontend) -> Enrolment:
        """Enrol speakers from recordings.

        Parameters
        ----------
        known : mapping of str to (recording or list of recordings)
            Each is anything that `audio.load` takes, with a single speaker.
        frontend : Frontend
            Computes the audio tokens; it may have been trained since, and is put into evaluation mode.

        Raises
        ------
        EnrolmentError
            If RTTM cannot carry a name, see `survives_rttm`, there is less than 1 s of speech of a speaker, or `known`
            has another form.
        AudioError
            If a recording cannot be read.
        """
        if not isinstance(known, Mapping):
            raise EnrolmentError(
                f"known={short_repr(known)} was given; it has to be a mapping of names to recordings, such as "
                f"{{'alice': 'alice.wav'}}, or, where people are not to be enrolled but known, what `pipeline.enrol` "
                f"returned or the path that it was saved to."
            )
        return cls(_enrol(name, sources, frontend.eval()) for name, sources in known.items())

    @classmethod
    def given(cls, known: Known, frontend: Frontend) -> Enrolment:
        """Known speakers, given in any of several forms, and checked.

        Parameters
        ----------
        known : Enrolment, path of one that was saved, mapping of str to recordings, or None
        frontend : Frontend

        Raises
        ------
        EnrolmentError
            If `known` has another form, cannot be read, or does not fit this frontend: see `of`, `load`, `check`.
        AudioError
            If a recording cannot be read.
        """
        if isinstance(known, (str, Path)):
            people = cls.load(known)
        elif known is None or isinstance(known, Enrolment):
            people = known or cls([])
        else:
            people = cls.of(known, frontend)
        people.check(frontend)
        return people

    def save(self, path: Path | str) -> None:
        """Save to a .npz file, about 40 kB per speaker. Replaces an existing file; creates its folder if needed.

        Raises
        ------
        EnrolmentError
            If there is a folder of that name.
        """
        if Path(path).is_dir():
            raise EnrolmentError(f"{path} is a folder. Name a file to write, such as {Path(path) / 'people.npz'}.")
        fields: dict[str, Any] = {
            "names": np.array([speaker.name for speaker in self], dtype=np.str_),
            "heard_by": np.array([speaker.heard_by for speaker in self], dtype=np.str_),
        }
        for number, speaker in enumerate(self):
            values = (
                *(field.cpu().half() for field in speaker.clip),
                speaker.voice.cpu(),
                speaker.solo_duration,
                speaker.quality,
            )
            fields |= {f"{field}_{number}": np.asarray(value) for field, value in zip(FIELDS, values, strict=True)}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(Path(path)) as part, part.open("wb") as file:
            np.savez_compressed(file, **fields)

    @classmethod
    def load(cls, path: Path | str) -> Enrolment:
        """Load what `save` wrote.

        Raises
        ------
        EnrolmentError
            If the file does not exist, may not be read, or is not an enrolment.
        """
        try:
            if Path(path).is_dir():
                raise EnrolmentError(f"{path} is a folder. Name a file in it that `save` wrote.")
            if not Path(path).is_file():
                raise EnrolmentError(missing(path))
            with open(path, "rb") as content, np.load(content, allow_pickle=False) as file:
                if "names" in file and "heard_by" not in file:
                    raise EnrolmentError(f"{path} was saved by an earlier version. Enrol again.")
                who = zip(file["names"].tolist(), file["heard_by"].tolist(), strict=True)
                return cls(_speaker(*each, [file[f"{field}_{i}"] for field in FIELDS]) for i, each in enumerate(who))
        except (EnrolmentError, *OUT_OF_MEMORY):
            raise
        except PermissionError as error:
            raise EnrolmentError(f"{path} cannot be opened ({error.strerror}). Allow this user to read it.") from error
        except Exception as error:  # NumPy raises anything on files that are damaged, or of something else
            raise EnrolmentError(
                f"{path} holds no enrolment. `pipeline.enrol(...).save(path)` makes one; a recording needs a name, "
                f"such as known={{'alice': 'alice.wav'}}."
            ) from error

    def check(self, frontend: Frontend) -> None:
        """Check that speakers were enrolled with this frontend.

        Raises
        ------
        EnrolmentError
            If one was enrolled with another one, or the same with other weights.
        """
        expected = frontend.digest if self else None
        for speaker in self:
            if speaker.heard_by != expected:
                raise EnrolmentError(
                    f"{speaker.name} was enrolled with another model, whose audio tokens mean something else to this "
                    f"one (frontend {speaker.heard_by}; this model's is {expected}). Enrol again with this pipeline."
                )


def _check_name(name: Any) -> None:
    text = str(name)
    if name != text or not survives_rttm(text):
        usable = "_".join(text.split())
        usable = usable if survives_rttm(usable) else "alice"
        if not isinstance(name, str):
            raise EnrolmentError(
                f"{name!r} was given as the name of a speaker, but is of the type {type(name).__name__}; names are "
                f"strings. Write it as one, such as {usable!r}."
            )
        raise EnrolmentError(
            f"{name!r} cannot be a name in RTTM: white space, unprintable characters, a quote in front and words such "
            f"as NA are lost there. Use another name, such as {usable!r}."
        )


def _enrol(name: str, sources: Any, frontend: Frontend) -> Speaker:
    _check_name(name)
    recordings = _recordings(name, sources)
    readers = (Reader(source, frontend.sample_rate) for source in recordings)
    heard = (audio for reader in readers for audio in _listen(reader, frontend))
    speaker = merged([_enrolled_speaker(name, audio, frontend) for audio in heard])
    if speaker.solo_duration < ENOUGH:
        raise EnrolmentError(
            f"{speaker.solo_duration:.2f} s of speech can be heard of {name}; {ENOUGH:g} s or more are needed, 5 s or "
            f"more are good. Give a clearer or longer recording of {name} alone."
        )
    return replace(speaker, heard_by=frontend.digest)


def _recordings(name: str, sources: Any) -> list[Any]:
    """The recordings of a person: one, or each of several."""
    is_many = isinstance(sources, Iterable) and not (_is_recording(sources) or isinstance(sources, TextIOBase))
    recordings = list(sources) if is_many else [sources]
    if not all(map(_is_recording, recordings)):
        raise EnrolmentError(
            f"{short_repr(sources)} was given for {name}; it has to be a recording, or a list of recordings: paths, "
            f"binary streams, or mappings with 'waveform' and 'sample_rate'."
        )
    if not recordings:
        raise EnrolmentError(f"No recording of {name} was given; one or more are needed.")
    return recordings


def _is_recording(source: Any) -> bool:
    return is_source(source) or isinstance(source, Mapping)


def _listen(reader: Reader, frontend: Frontend) -> Iterable[AudioTokens]:
    """Audio tokens of a recording, in consecutive pieces."""
    num_tokens = round(PIECE / TOKEN_DURATION)
    chunker = Chunker(Grid(num_tokens, num_tokens, frontend.samples_per_token, frontend.sample_rate))
    device = next(frontend.parameters(), torch.zeros(0)).device
    for chunk in chunker.chunks(reader):
        waveform = chunk.waveform[:, -round(chunk.core.duration * frontend.sample_rate) :]
        check_values(waveform, frontend.sample_rate, reader.uri, chunk.core.start)
        yield frontend(waveform[None].to(device)).at(0)


def _enrolled_speaker(name: str, audio: AudioTokens, frontend: Frontend) -> Speaker:
    """A speaker from audio tokens: the 5 s with the most speech as prompt, and the sum of the voices of all speech."""
    sounds = audio.content.any(dim=-1)  # zeros are digital silence to frontends that do not know what speech is
    speech = frontend.speech(audio.content).float() * sounds
    is_speech = speech >= SPEECH
    length = min(int(PROMPT / TOKEN_DURATION), len(speech))
    first = int(speech.unfold(0, length, 1).sum(-1).argmax())
    best = slice(first, first + length)
    return Speaker(
        clip=audio.at(best).to("cpu", copy=True),  # a view would keep all audio tokens in memory
        quality=float(speech[best].sum()) * TOKEN_DURATION,
        voice=(audio.voice[:, :1].sum(1) * is_speech[:, None]).sum(0).cpu(),
        solo_duration=int(is_speech.sum()) * TOKEN_DURATION,
        name=name,
    )


def _speaker(name: str, heard_by: str, values: Sequence[np.ndarray]) -> Speaker:
    _check_name(name)
    content, clip_voice, voice = (torch.from_numpy(value).float() for value in values[:3])
    solo_duration, quality = map(float, values[3:])
    clip = AudioTokens(content, clip_voice)
    speaker = Speaker(clip, quality, voice, solo_duration, name=name, heard_by=heard_by)
    numbers = [*clip, speaker.voice, torch.tensor([speaker.quality, speaker.solo_duration], device="cpu")]
    is_whole = (clip.content.ndim, clip.voice.ndim, speaker.voice.ndim) == (2, 3, 1)
    if not (is_whole and len(clip.content) == len(clip.voice) > 0 and all(field.isfinite().all() for field in numbers)):
        raise ValueError(f"{name} has no prompt, or one that is damaged")
    return speaker
