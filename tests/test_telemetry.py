"""What pyannote.audio's telemetry is told, and what that costs."""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pipelines import with_params
from pyannote.audio.telemetry import metrics

from pyannote_pix2seq.audio import recording


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Telemetry that is on and reports to this list; nothing can decode a whole recording."""
    reports: list[dict[str, Any]] = []

    @contextmanager
    def start(name: str) -> Any:
        yield type("Span", (), {"set_attributes": staticmethod(reports.append)})

    def load(*_: Any) -> None:
        raise AssertionError("all of the recording is decoded")

    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "1")
    monkeypatch.setattr(metrics, "tracer", type("Tracer", (), {"start_as_current_span": staticmethod(start)}))
    monkeypatch.setattr(recording, "load", load)
    return reports


def stereo(path: Path, seconds: float) -> Path:
    rate = 48000
    soundfile.write(path, 0.1 * np.random.default_rng(0).normal(size=(round(seconds * rate), 2)), rate)
    return path


def test_the_duration_of_a_recording_is_told_without_decoding_it_again(
    tiny_pipeline: Path, tmp_path: Path, told: list[dict[str, Any]]
) -> None:
    pipeline = with_params(tiny_pipeline)
    told.clear()
    pipeline(stereo(tmp_path / "one.wav", 3.5), max_speakers=2)
    pipeline({"audio": tmp_path / "one.wav", "channel": 1})
    assert [(report["duration"], report["max_speakers"]) for report in told] == [(3.5, 2), (3.5, "inf")]


def test_so_is_that_of_each_of_a_list(tiny_pipeline: Path, tmp_path: Path, told: list[dict[str, Any]]) -> None:
    pipeline = with_params(tiny_pipeline)
    told.clear()
    files = [stereo(tmp_path / f"{seconds}.wav", seconds) for seconds in (2, 4)]
    assert len(list(pipeline(files, num_speakers=1))) == 2
    assert [(report["duration"], report["num_speakers"]) for report in told] == [(2.0, 1), (4.0, 1)]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_result_is_not_lost_because_the_recording_is_gone(
    tiny_pipeline: Path, tmp_path: Path, told: list[dict[str, Any]], is_stream: bool
) -> None:
    pipeline, path = with_params(tiny_pipeline), stereo(tmp_path / "gone.wav", 2)
    told.clear()
    stream = io.BytesIO(path.read_bytes())
    apply = pipeline.apply

    def lose(*_: Any) -> int:
        raise ConnectionResetError

    def applied(*file: Any, **options: Any) -> Any:
        output = apply(*file, **options)
        path.unlink()
        stream.seek = lose  # type: ignore[method-assign]
        return output

    pipeline.apply = applied
    assert pipeline({"audio": stream if is_stream else path, "uri": "gone"}).speaker_diarization.uri == "gone"
    assert told == []
