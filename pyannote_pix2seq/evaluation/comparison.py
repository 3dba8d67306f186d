"""Comparison of diarization systems on the same recordings."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from pyannote.core import Annotation, Segment, Timeline

from pyannote_pix2seq.annotation import annotation_of
from pyannote_pix2seq.audio.recording import prepare
from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.audio.writing import write
from pyannote_pix2seq.der import EVERYTHING, Scoring
from pyannote_pix2seq.digest import file_digest
from pyannote_pix2seq.errors import Pix2SeqError, one_line
from pyannote_pix2seq.evaluation.answer import REFERENCES, Answer
from pyannote_pix2seq.evaluation.reference import warn_if_late, warn_if_twice, warn_of_silent
from pyannote_pix2seq.evaluation.scores import Score, score
from pyannote_pix2seq.evaluation.system import System, check_names
from pyannote_pix2seq.locking import alone
from pyannote_pix2seq.output import Turn, exclusive, to_annotation

LISTED = "recordings.json"
ONE_SPEAKER, NEVER_TWO = "perfect, one speaker", "perfect, never two at once"
MOST_OVERSHOOT = 2.0
"""Peaks up to this are cut off at full scale, 1.0, which decoders exceed a little; recordings with higher ones, such as
integers that were not scaled, are scaled down, as 16 bit would leave nothing of them."""


class EvaluationError(Pix2SeqError, ValueError):
    """An evaluation that cannot be made, or a recording that cannot be part of one."""


@dataclass(frozen=True)
class SystemScores:
    """Scores of a system.

    Attributes
    ----------
    name : str
    scores : sequence of Score
        The same recordings in the same order for every system.
    memory : sequence of int
        Peak memory of the system on each of them, in bytes; 0: not measured. Empty: a baseline.
    """

    name: str
    scores: Sequence[Score]
    memory: Sequence[int] = ()

    @property
    def peak_memory(self) -> int:
        """Peak memory of the system on any recording, in bytes; 0: not measured."""
        return max(self.memory, default=0)


@dataclass(frozen=True)
class Evaluation:
    """Scores of systems on the recordings that all of them could diarize.

    Attributes
    ----------
    name : str
        Of the protocol, for instance.
    results : sequence of SystemScores
        Systems, then baselines.
    failures : sequence of str
        What is missing, and why, in whole sentences, each in one line.
    scoring : Scoring
    subset : str
        Of the protocol; empty where there is none.
    """

    name: str
    results: Sequence[SystemScores]
    failures: Sequence[str]
    scoring: Scoring = EVERYTHING
    subset: str = ""

    @property
    def title(self) -> str:
        """The name and, in brackets, the subset."""
        return title(self.name, self.subset)


@dataclass(frozen=True)
class Recording:
    """A recording of an evaluation, with its reference and the part of it that is scored."""

    uri: str
    reference: Annotation
    scored: Timeline
    duration: float


def evaluate(
    name: str,
    files: Iterable[Mapping[str, Any]],
    systems: Sequence[System],
    threads: int = 2,
    place: Path | None = None,
    scoring: Scoring = EVERYTHING,
    subset: str = "",
) -> Evaluation:
    """Let systems diarize the same recordings, one system after the other, and score them.

    Every system gets the same samples: mono, 16 kHz, 16 bit. A recording that cannot be read, or that one of the
    systems fails on, is left out for all; a system that fails on all of them is left out itself.

    Parameters
    ----------
    name : str
    files : iterable of mapping
        "uri", "annotation", what `audio.load` needs and, unless all is to be scored, "annotated".
    systems : sequence of System
    threads : int, optional
        That each system may use. Defaults to 2.
    place : Path, optional
        Folder in which recordings and answers are kept, so that an interrupted evaluation can go on; see
        `System.answer`. Defaults to a temporary one.
    scoring : Scoring, optional
        See `scores.score`. Answers do not depend on it.
    subset : str, optional
        Of the protocol that the files are from; part of the title.

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    UnknownSystemError
        If two systems have the same name.
    InUseError
        If another process is using that folder.
    WriteError
        If a recording cannot be written.
    """
    check_names(systems)
    with tempfile.TemporaryDirectory() if place is None else alone(place) as folder:
        return _evaluated(name, files, systems, threads, Path(folder), scoring, subset)


def title(name: str, subset: str) -> str:
    """What is evaluated: the name and, in brackets, the subset, if there is one."""
    return f"{name} ({subset})" if subset else name


def _evaluated(
    name: str,
    files: Iterable[Mapping[str, Any]],
    systems: Sequence[System],
    threads: int,
    folder: Path,
    scoring: Scoring,
    subset: str,
) -> Evaluation:
    recordings, failures = _write(files, folder)
    if recordings and not any(recording.reference for recording in recordings):
        raise EvaluationError(
            f"No reference of {title(name, subset)} has a turn. Do its uris differ from those of its RTTM files?"
        )
    warn_of_silent({recording.uri: recording.reference for recording in recordings})
    answers = {system.name: system.answer(folder / LISTED, threads) for system in systems}
    given = {name: each for name, each in answers.items() if any(answer.error is None for answer in each.values())}
    for system in (name for name in answers if name not in given):
        failures.append(f"{system} is left out: {next((a.error for a in answers[system].values()), 'no recordings')}.")
    errors = [(uri, name, a.error) for name, each in given.items() for uri, a in each.items() if a.error is not None]
    failures += [f"{uri} is left out: {name} failed ({error})." for uri, name, error in errors]
    common = [recording for recording in recordings if recording.uri not in {uri for uri, _, _ in errors}]
    results = [_scores_of(name, common, each, scoring) for name, each in given.items()]
    results = [*results, *_baselines(common, scoring)] if results and common else []
    return Evaluation(name, results, [*map(one_line, failures)], scoring, subset)


def _write(files: Iterable[Mapping[str, Any]], folder: Path) -> tuple[list[Recording], list[str]]:
    """Write the files that systems are called with; return the recordings, and what is wrong with others."""
    recordings: dict[str, Recording] = {}
    listed, failures = [], []
    for number, file in enumerate(files):
        uri, audio = file["uri"], folder / f"{number:06d}.wav"
        try:
            if uri in recordings:
                raise EvaluationError("a second recording has that uri. Give each a uri of its own.")
            recordings[uri] = _write_one(file, audio)
        except (KeyError, OSError, ValueError) as error:
            failures.append(f"{uri} is left out: {error}")
            continue
        listed.append({"uri": uri, "audio": str(audio), "sha256": file_digest(audio)})
    found = list(recordings.values())
    (folder / LISTED).write_text(json.dumps(listed))
    (folder / REFERENCES).write_text(json.dumps({each.uri: _plain(each.reference) for each in found}))
    return found, failures


def _plain(reference: Annotation) -> list[tuple[float, float, str]]:
    """Turns of a reference as JSON can hold them: where it was made of a table, they may consist of NumPy's numbers."""
    return [(float(turn.start), float(turn.end), str(label)) for turn, _, label in _tracks(reference)]


def _write_one(file: Mapping[str, Any], audio: Path) -> Recording:
    """Write a recording as systems get it.

    Raises
    ------
    EvaluationError
        If there is nothing to score.
    """
    if file.get("annotation") is None:
        raise EvaluationError("it has no annotation. Give a protocol that has.")
    samples = prepare(file, SAMPLE_RATE)[0].numpy()
    peak = np.abs(samples).max(initial=0.0)
    write(audio, samples / peak if peak > MOST_OVERSHOOT else samples)
    duration = len(samples) / SAMPLE_RATE
    scored, uri, reference = file.get("annotated"), file["uri"], file["annotation"]
    if scored is None:
        warn_if_late(uri, reference, duration, is_scored=False)
        scored = Timeline([Segment(0, duration)])
    elif not scored:
        raise EvaluationError("its UEM is empty, so that nothing is to be scored. Mend it, or leave it out.")
    else:
        warn_if_late(uri, reference.crop(scored), duration, is_scored=True)
    warn_if_twice(uri, reference.crop(scored))
    return Recording(uri, reference, scored, duration)


def _scores_of(
    name: str, recordings: Sequence[Recording], answers: Mapping[str, Answer], scoring: Scoring
) -> SystemScores:
    given = [answers[recording.uri] for recording in recordings]
    scores = [_score(recording, answer, scoring) for recording, answer in zip(recordings, given, strict=True)]
    return SystemScores(name, scores, [answer.memory for answer in given])


def _score(recording: Recording, answer: Answer, scoring: Scoring) -> Score:
    hypothesis = annotation_of(answer.turns, recording.uri)
    sure = answer.confidence
    confidence = None if sure is None else [sure[int(track)] for _, track in hypothesis.itertracks()]
    truth = recording.uri, recording.reference
    return score(*truth, hypothesis, recording.scored, confidence, recording.duration, answer.seconds, scoring)


def _baselines(recordings: Sequence[Recording], scoring: Scoring) -> list[SystemScores]:
    """Scores of systems that lack one ability and are perfect otherwise."""
    ways = {ONE_SPEAKER: one_speaker, NEVER_TWO: never_two}
    return [SystemScores(name, [_perfect(each, way, scoring) for each in recordings]) for name, way in ways.items()]


def _perfect(recording: Recording, way: Callable[[Annotation], Annotation], scoring: Scoring) -> Score:
    truth = recording.reference
    return score(recording.uri, truth, way(truth), recording.scored, scoring=scoring)


def one_speaker(reference: Annotation) -> Annotation:
    """Output of a perfect speech detector that cannot tell speakers apart."""
    return reference.get_timeline().support().to_annotation(generator=repeat("everyone"))


def never_two(reference: Annotation) -> Annotation:
    """Output of a perfect system that cannot write overlap: the speaker who began first goes on."""
    numbers = {label: number for number, label in enumerate(reference.labels())}
    turns = [Turn(turn.start, turn.end, numbers[label], -turn.start) for turn, _, label in _tracks(reference)]
    return to_annotation(exclusive(turns), str(reference.uri), {number: label for label, number in numbers.items()})


def _tracks(annotation: Annotation) -> Iterable[tuple[Segment, Any, Any]]:
    return annotation.itertracks(yield_label=True)
