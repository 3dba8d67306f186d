"""The auxiliary frame head of one of our models, thresholded: a system for evaluate.py.

    python recipes/evaluate.py PROTOCOL --peer "frames=recipes/peers/frame_head.py --threshold 0.4"

Besides writing sequences, a model is trained to predict who is active in each time bin (`losses.activity_loss`). Is the
sequence any better than that? The head names speakers within one chunk only, so longer recordings are refused.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import torch
from pyannote.audio.utils.signal import Binarize
from pyannote.core import SlidingWindow, SlidingWindowFeature

from pyannote_pix2seq import PRETRAINED
from pyannote_pix2seq.audio.recording import prepare
from pyannote_pix2seq.console.arguments import Parser
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.evaluation.answer import Turns, respond
from pyannote_pix2seq.evaluation.worker import turns_and_confidence
from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.loading import load_diarization
from pyannote_pix2seq.pipeline import Pix2SeqDiarization


@torch.inference_mode()
def activity(pipeline: Pix2SeqDiarization, audio: str) -> SlidingWindowFeature:
    """Probability that each speaker is active in each time bin, (num_bins, num_speakers).

    Raises
    ------
    Pix2SeqError
        If the recording is longer than a chunk.
    """
    model = pipeline.model
    waveform = prepare(audio, model.frontend.sample_rate)
    seconds = waveform.shape[1] / model.frontend.sample_rate
    longest = pipeline.grid.seconds(pipeline.grid.chunk)
    if seconds > longest:
        raise Pix2SeqError(f"{audio} lasts {seconds:.1f} s; the frame head knows people for {longest:g} s only.")
    tokens = pipeline.writer.listen(waveform)
    context = model.listen(AudioTokens.padded([tokens]))
    step = model.bin_duration
    bins = SlidingWindow(start=-step / 2, duration=step, step=step)  # Binarize puts edges in the middle of frames
    silence = torch.zeros(1, model.vocabulary.num_speakers)  # so that turns that last until the end are closed
    return SlidingWindowFeature(torch.cat([context.activity[0].sigmoid(), silence]).numpy(), bins)


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("recordings", help="see pyannote_pix2seq/evaluation/answer.py")
    parser.add_argument("answers")
    parser.add_argument("--pipeline", default=str(PRETRAINED), help="folder (default: ours)")
    parser.add_argument("--threshold", type=float, default=0.4, help="on probabilities of activity (default: 0.4)")
    options = parser.parse_args()
    if not 0 < options.threshold < 1:
        parser.error(f"--threshold {options.threshold}: it has to be between 0 and 1.")
    with one_line_messages():
        pipeline = load_diarization(options.pipeline)
        binarize = Binarize(onset=options.threshold)

        def diarize(audio: str) -> tuple[Turns, Sequence[float] | None]:
            return turns_and_confidence(binarize(activity(pipeline, audio)))

        respond(diarize, options.recordings, options.answers)


if __name__ == "__main__":
    main()
