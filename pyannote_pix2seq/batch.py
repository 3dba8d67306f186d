"""Diarization of several recordings, one after the other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import signature
from typing import Any, Protocol

from tqdm import tqdm

from pyannote_pix2seq.audio.recording import LazyFile, is_source
from pyannote_pix2seq.errors import OptionError, check_known, reason


class Diarizer(Protocol):
    """What diarizes one recording: a pipeline."""

    def prepare_one(self, file: Any) -> LazyFile:
        """Prepare a file for `apply`."""

    def apply(self, file: LazyFile, **options: Any) -> Any:
        """Diarize a file."""


def check_batch(files: Any, options: Mapping[str, Any], apply: Callable[..., Any]) -> None:
    """Check that `files` is a collection and that `options` are parameters of `apply`.

    Raises
    ------
    TypeError
        If not.
    """
    if isinstance(files, (bytes, Mapping)) or is_source(files):
        raise OptionError(f"apply_batch takes files, not one {type(files).__name__}: put it in a list.")
    if not (isinstance(files, Iterable) or hasattr(files, "__getitem__")):  # datasets have only the latter
        raise OptionError(f"apply_batch takes a list of files, or anything else that can be iterated, not {files!r}.")
    check_known("apply_batch", options, [name for name in signature(apply).parameters if name != "file"])


def one_by_one(
    files: Iterable[Any], pipeline: Diarizer, options: Mapping[str, Any], progress: bool = False
) -> Iterator[tuple[Any, Any]]:
    """Diarize files; one that fails is reported in a warning and skipped.

    A final warning lists the files without a result, because scores on the others are not scores on the whole set.

    Parameters
    ----------
    files : iterable
    pipeline : Diarizer
    options : mapping
        Of `pipeline.apply`; those that a file has under "pipeline_kwargs" take precedence.
    progress : bool, optional
        Show a progress bar.

    Yields
    ------
    file, output
        The file as it was given, and what the pipeline returned.
    """
    failed, num_files = [], 0
    for file in tqdm(files, desc="recordings", disable=not progress):
        num_files += 1
        lazy = file if isinstance(file, LazyFile) else pipeline.prepare_one(file)
        try:
            output = pipeline.apply(lazy, **{**options, **lazy.get("pipeline_kwargs", {})})
        except Exception as error:  # whatever is wrong with one file must not stop the others
            warnings.warn(f"{lazy.name} is left out: {reason(error)}", stacklevel=2)
            failed.append(lazy.name)
        else:
            yield file, output
    if failed:
        warnings.warn(
            f"{len(failed)} of {num_files} recordings have no result: {', '.join(map(str, failed))}", stacklevel=2
        )
