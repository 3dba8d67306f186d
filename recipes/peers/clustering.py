"""The pipeline of pyannote.audio itself, built from two of our pretrained networks: a system for evaluate.py.

    python recipes/evaluate.py PROTOCOL --peer clustering=recipes/peers/clustering.py \\
        --peer "oracle=recipes/peers/clustering.py --oracle"

`pyannote.audio.pipelines.SpeakerDiarization`: local segmentation (segmentation-3.0), an embedding (CAM++) of each local
speaker of each chunk, agglomerative clustering. Our second segmentation network, which counts speakers, is not used.
Its hyper-parameters are in clustering.yaml, beside this file; tune_clustering.py chose them. With --oracle, clusters
are those that agree best with the reference, which leaves only errors of the segmentation. pyannote.audio runs the
embedding network on each chunk once for each of its local speakers; with --once it runs once for all of them, for the
same output in less than half of the time.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import torch
import torch.nn.functional as F
import yaml
from pyannote.audio import Model
from pyannote.audio.core.plda import PLDA
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.audio.pipelines.clustering import Clustering
from torch import Tensor

from pyannote_pix2seq import PRETRAINED, checkpoints
from pyannote_pix2seq.annotation import annotation_of
from pyannote_pix2seq.audio.recording import load
from pyannote_pix2seq.console.arguments import Parser
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.evaluation.answer import REFERENCES, Turns, respond
from pyannote_pix2seq.evaluation.worker import answer
from pyannote_pix2seq.frontends import SpeakerFrontend
from pyannote_pix2seq.frontends.campplus import EMBEDDING_DIM, statistics_pooling
from pyannote_pix2seq.loading import load_diarization

TUNED = Path(__file__).with_suffix(".yaml")
BATCH_SIZE = 32
NOWHERE = 1e-6
"""Weight of frames outside of the mask of a speaker, so that a speaker who is never active has an embedding too."""


class CampPlusEmbedding(Model):
    """CAM++ as a speaker embedding of pyannote.audio.

    Parameters
    ----------
    frontend : SpeakerFrontend
        Its CAM++ is used as it is there, in bfloat16 on devices on which that is faster.
    once : bool, optional
        Embed a waveform that is the same as the one before only once. Defaults to False.
    """

    dimension = EMBEDDING_DIM

    def __init__(self, frontend: SpeakerFrontend, once: bool = False) -> None:
        super().__init__(sample_rate=frontend.sample_rate, num_channels=1)
        self.frontend = frontend
        self.once = once

    def forward(self, waveforms: Tensor, weights: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Embed the speech of a speaker.

        Parameters
        ----------
        waveforms : (batch, 1, num_samples) torch.Tensor
        weights : (batch, num_frames) torch.Tensor, optional
            Weight of each frame; frames may have any duration. Defaults to 1 for all.

        Returns
        -------
        embeddings : (batch, 192) torch.Tensor
        """
        if self.once:
            different, source = torch.unique_consecutive(waveforms, return_inverse=True, dim=0)
            frames = self.frontend.frames(different)[source]
        else:
            frames = self.frontend.frames(waveforms)
        # (batch, num_channels, num_frames)
        if weights is None:
            weights = frames.new_ones(len(frames), 1)
        weights = F.interpolate(weights[:, None].float(), size=frames.shape[-1]) + NOWHERE
        # (batch, 1, num_frames)
        return self.frontend.campplus.embed(statistics_pooling(frames, weights))[:, 0]


class NoPLDA(PLDA):
    """Placeholder for a PLDA, which only VBx clustering needs, but which the pipeline otherwise fetches from a hub."""

    def __init__(self) -> None:
        pass


class OracleDiarization(SpeakerDiarization):
    """Pipeline with oracle clustering, which needs no embeddings; `file["annotation"]` is the reference."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.clustering = Clustering["OracleClustering"].value(metric="cosine")

    def get_embeddings(self, *arguments: Any, **options: Any) -> None:
        """Do nothing: oracle clustering needs no embeddings."""


def load_frontend(path: Path | None) -> SpeakerFrontend:
    """The speaker frontend of a state dict (recipes/fetch_frontends.py), or of the pipeline that we ship."""
    if path is None:
        return cast(SpeakerFrontend, load_diarization(PRETRAINED).model.frontend)
    frontend = SpeakerFrontend()
    checkpoints.load_frontend(frontend, path)
    return frontend


def make(
    frontend: SpeakerFrontend, segmentation_step: float, oracle: bool = False, once: bool = False
) -> SpeakerDiarization:
    """Make the pipeline, without its hyper-parameters.

    Parameters
    ----------
    frontend : SpeakerFrontend
    segmentation_step : float
        Hop of the chunks, as a share of a chunk of 10 s.
    oracle, once : bool, optional
        See `OracleDiarization` and `CampPlusEmbedding`.
    """
    return (OracleDiarization if oracle else SpeakerDiarization)(
        segmentation=frontend.segmentation,
        segmentation_step=segmentation_step,
        segmentation_batch_size=BATCH_SIZE,
        embedding=CampPlusEmbedding(frontend, once),
        embedding_batch_size=BATCH_SIZE,
        embedding_exclude_overlap=True,
        clustering="AgglomerativeClustering",
        plda=NoPLDA(),
    )


@contextmanager
def no_empty_means() -> Iterator[None]:
    """Silence what numpy says of the centroid of no embeddings, between lines of progress.

    Where nobody speaks alone for long enough, clustering of pyannote.audio has no embeddings to cluster, and averages
    them all the same. The centroid, NaN, is used for nothing.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        warnings.filterwarnings("ignore", "invalid value encountered in divide", RuntimeWarning)  # by the same mean
        yield


def diarizer(options: argparse.Namespace) -> Callable[[str], tuple[Turns, Sequence[float] | None]]:
    """Function that diarizes one of the recordings that the options name."""
    tuned = yaml.safe_load(options.tuned.read_text())
    pipeline = make(load_frontend(options.frontend), tuned["segmentation_step"], options.oracle, options.once)
    parameters = tuned["parameters"]
    pipeline.instantiate({"segmentation": parameters["segmentation"]} if options.oracle else parameters)
    uris = {each["audio"]: each["uri"] for each in json.loads(Path(options.recordings).read_text())}
    references = json.loads(Path(options.recordings).with_name(REFERENCES).read_text()) if options.oracle else {}

    def diarize(audio: str) -> tuple[Turns, Sequence[float] | None]:
        uri = uris[audio]
        truth = {"annotation": annotation_of(references[uri], uri)} if options.oracle else {}
        with no_empty_means():
            return answer(pipeline, {**load(audio), **truth})

    return diarize


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("recordings", help="see pyannote_pix2seq/evaluation/answer.py")
    parser.add_argument("answers")
    parser.add_argument("--frontend", type=Path, help="made by recipes/fetch_frontends.py (default: ours)")
    parser.add_argument("--tuned", type=Path, default=TUNED, help="hyper-parameters (default: clustering.yaml)")
    parser.add_argument("--oracle", action="store_true", help="cluster using the reference")
    parser.add_argument("--once", action="store_true", help="embed each chunk once for all of its speakers")
    options = parser.parse_args()
    with one_line_messages():
        respond(diarizer(options), options.recordings, options.answers)


if __name__ == "__main__":
    main()
