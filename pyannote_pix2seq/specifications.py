"""Conversion of vocabularies to pyannote.audio specifications and back, so that a checkpoint carries its vocabulary."""

from __future__ import annotations

from pyannote.audio.core.task import Problem, Resolution, Specifications

from pyannote_pix2seq.vocabulary import FIRST_TIME, Vocabulary, VocabularyError


def specifications_of(vocabulary: Vocabulary) -> Specifications:
    """Convert a vocabulary to pyannote.audio specifications, which checkpoints carry."""
    return Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.CHUNK,
        duration=vocabulary.window,
        classes=vocabulary.classes,
        permutation_invariant=False,
    )


def vocabulary_of(specifications: Specifications, resolution: float) -> Vocabulary:
    """Invert `specifications_of`, for a frontend with time bins of `resolution` seconds.

    Raises
    ------
    VocabularyError
        If the classes are not those of such a vocabulary.
    """
    classes = specifications.classes or []
    num_times = sum(name[0].isdigit() for name in classes)
    num_speakers = len(classes) - FIRST_TIME - num_times
    vocabulary = Vocabulary(specifications.duration, resolution, max(num_speakers, 1))
    if vocabulary.classes != classes:
        raise VocabularyError(
            f"A vocabulary of {len(classes)} tokens ({num_times} time bins, {max(num_speakers, 0)} speakers) does not "
            f"fit a window of {specifications.duration} s and the frontend's bins of {1e3 * resolution:.0f} ms: "
            f"{vocabulary.num_bins} time bins are needed. Make the specifications with specifications_of(Vocabulary("
            f"window={specifications.duration}, resolution={resolution}, num_speakers=...))."
        )
    return vocabulary
