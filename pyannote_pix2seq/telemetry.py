"""pyannote.audio's telemetry, which is on unless it is turned off, without what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from pyannote.audio.core.pipeline import Pipeline
from pyannote.audio.telemetry import track_pipeline_apply
from pyannote.audio.telemetry.metrics import is_metrics_enabled

from pyannote_pix2seq.audio.reader import Reader
from pyannote_pix2seq.errors import OptionError


class MeasuredPipeline(Pipeline):
    """Pipeline whose telemetry knows the duration of a recording from its head.

    pyannote.audio itself asks for the duration once a file has been processed, and for that has all of it decoded into
    memory: 4 GB for an hour of stereo at 48 kHz.
    """

    def __call__(self, file: Any, preload: bool = False, **options: Any) -> Any:
        """Apply the pipeline to a file, or to each of a list of files, see `apply` and `apply_batch`.

        Options of a file may also be under its "pipeline_kwargs".

        Raises
        ------
        TypeError
            If it has one there that is given as well; only in a list do those of a file take precedence.
        RuntimeError
            If the pipeline is of a class of one's own that has hyper-parameters, and these are not set.
        """
        if isinstance(file, list):
            return super().__call__(file, preload, **options)
        super().__call__([])  # whose hyper-parameters are set, or missed, here
        prepared = self.prepare_one(file, preload)
        output = self.apply(prepared, **_all_options(prepared, options))
        self._track(prepared, options)
        return output

    def _apply_batch(self, files: list, **options: Any) -> Iterator[tuple[Any, Any]]:
        for file, output in self.apply_batch(files, **options):
            self._track(file, options)
            yield file, output

    def _track(self, file: Any, options: dict[str, Any]) -> None:
        """Report what pyannote.audio would, of a waveform that is as long as the file but has one sample in memory."""
        if not is_metrics_enabled():
            return
        with suppress(Exception):  # the file or the network is gone by now, but there is a result
            reader = Reader(file)
            waveform = torch.zeros(1, 1).expand(1, round(reader.duration * reader.sample_rate))
            as_long = {"waveform": waveform, "sample_rate": reader.sample_rate, "uri": reader.uri}
            track_pipeline_apply(self, as_long, **options)


def _all_options(file: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options that a file has itself, and those that are given; none may be both."""
    own = file.get("pipeline_kwargs", {})
    for name in own:
        if name in given:
            raise OptionError(
                f"{file['uri']}: {name}={own[name]!r} is in the pipeline_kwargs of this file, and "
                f"{name}={given[name]!r} was given as well. Leave one of them out."
            )
    return {**own, **given}
