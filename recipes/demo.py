"""Who speaks when in one recording: a table, an RTTM file, a picture and, for the sample, the error.

python recipes/demo.py                    the recording that comes with pyannote.audio
python recipes/demo.py my.mp3 --into out  a recording of yours
"""

import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # before pyannote.audio is imported: report no usage

import pyannote.audio
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm

import pyannote_pix2seq
from pyannote_pix2seq.audio.reader import Reader
from pyannote_pix2seq.console.arguments import Parser
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.der import der_components
from pyannote_pix2seq.evaluation.comparison import one_speaker
from pyannote_pix2seq.output import Pix2SeqOutput
from pyannote_pix2seq.report import timeline, turns_table

# Read as files: importing pyannote.audio.sample needs FFmpeg.
SAMPLE = Path(pyannote.audio.__file__).parent / "sample"


def report(output: Pix2SeqOutput, audio: Reader, reference: Annotation | None, folder: Path) -> None:
    """Print the turns and the error, and write an RTTM file and a picture into the folder."""
    hypothesis, scored = output.speaker_diarization, Timeline([Segment(0.0, audio.duration)])
    print(turns_table(hypothesis, output.confidence), end="\n\n")
    if reference is not None:
        print(f"this pipeline: {der_components(reference, hypothesis, scored)}")
        print(f"everyone as one speaker: {der_components(reference, one_speaker(reference), scored)}", end="\n\n")

    folder.mkdir(parents=True, exist_ok=True)
    rttm, picture = folder / f"{audio.uri}.rttm", folder / f"{audio.uri}.png"
    rttm.write_text(hypothesis.to_rttm(), encoding="utf-8")
    timeline(hypothesis, picture, reference=reference, audio=audio, uem=scored)
    print(f"Turns written to {rttm}, picture to {picture}")


def main(arguments: list[str] | None = None) -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("audio", nargs="?", type=Path, help="a wav, flac, ogg or mp3 file (default: pyannote's sample)")
    parser.add_argument("--into", type=Path, default=Path("demo"), help="output folder (default: demo)")
    options = parser.parse_args(arguments)
    pipeline: Any = pyannote.audio.Pipeline.from_pretrained(pyannote_pix2seq.PRETRAINED)
    start, recording = time.perf_counter(), options.audio or SAMPLE / "sample.wav"
    with one_line_messages():
        audio = Reader(recording)
        output = pipeline(recording)
        reference = None if options.audio else load_rttm(SAMPLE / "sample.rttm")["sample"]
        print(f"{audio.uri}: diarized in {time.perf_counter() - start:.1f} s", end="\n\n")
        report(output, audio, reference, options.into)


if __name__ == "__main__":
    main()
