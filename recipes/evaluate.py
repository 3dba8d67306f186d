"""Score a pipeline on the test set of a registered protocol.

    python recipes/evaluate.py --registry database.yml Excerpts.SpeakerDiarization.All

Diarization error rate with collar 0, overlap scored, over the annotated part of each file: by file and in total, split
into false alarm, missed detection and confusion, beside one speaker for all speech of the reference.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import torch  # noqa: E402
from pyannote.audio import Pipeline  # noqa: E402
from pyannote.core import Annotation  # noqa: E402
from pyannote.database import FileFinder, ProtocolFile, registry  # noqa: E402
from pyannote.metrics.diarization import DiarizationErrorRate  # noqa: E402

import pyannote_pix2seq  # noqa: E402
from pyannote_pix2seq.report import DerComponents  # noqa: E402


def one_speaker(reference: Annotation) -> Annotation:
    """What a perfect detector of speech that cannot tell speakers apart would write."""
    return reference.get_timeline().support().to_annotation(generator=repeat("everyone"))


def rows(pipeline: Pipeline, files: list[ProtocolFile]) -> Iterator[str]:
    """One line a file, then the totals."""
    metric, baseline = (DiarizationErrorRate(collar=0.0, skip_overlap=False) for _ in range(2))
    num_right, seconds, duration = 0, 0.0, 0.0
    for file in files:
        start = time.perf_counter()
        hypothesis = pipeline(file).speaker_diarization
        seconds += time.perf_counter() - start
        reference, scored = file["annotation"], file["annotated"]
        duration += scored.duration()
        parts = metric(reference, hypothesis, uem=scored, detailed=True)
        baseline(reference, one_speaker(reference), uem=scored)
        num_speakers = len(hypothesis.labels()), len(reference.labels())
        num_right += num_speakers[0] == num_speakers[1]
        yield f"{file['uri']:<16} {DerComponents.from_seconds(parts)}  speakers {num_speakers[0]} / {num_speakers[1]}"
    yield f"{'total':<16} {DerComponents.from_seconds(metric[:])}  right in {num_right} of {len(files)}"
    yield f"{'one speaker':<16} {DerComponents.from_seconds(baseline[:])}"
    yield f"{duration / seconds:.0f} times real time on {torch.get_num_threads()} threads"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", help="e.g. AMI.SpeakerDiarization.mini")
    parser.add_argument("--registry", type=Path, help="database.yml (default: as pyannote.database finds it)")
    parser.add_argument(
        "--pipeline", default=pyannote_pix2seq.PRETRAINED, help="folder (default: the one that we ship)"
    )
    parser.add_argument("--subset", choices=("train", "development", "test"), default="test")
    options = parser.parse_args()
    if options.registry:
        registry.load_database(options.registry)
    protocol = registry.get_protocol(options.protocol, preprocessors={"audio": FileFinder()})
    files = list(getattr(protocol, options.subset)())
    for row in rows(Pipeline.from_pretrained(options.pipeline), files):
        print(row, flush=True)


if __name__ == "__main__":
    main()
