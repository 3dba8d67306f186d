"""Make a store of voices from recordings of single speakers.

    python recipes/prepare_voices.py SOURCE [SOURCE ...] OUT

A SOURCE is a folder of LibriSpeech, LibriTTS, Libri-light, VCTK or Common Voice, a folder with one folder of audio
files per speaker, or a tab-separated file with columns speaker, path, corpus, split (the last two are optional). An
interrupted run resumes. One speaker in ten is kept for development and one for tests, by name; reader 19 of LibriVox is
one speaker in LibriSpeech, LibriTTS and Libri-light.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pyannote_pix2seq.console.arguments import Parser, at_least_one, positive
from pyannote_pix2seq.console.exit import one_line_messages
from pyannote_pix2seq.simulation.layout import AUTO, CHOICES, SPLITS
from pyannote_pix2seq.simulation.preparation import MOST_SPEECH, Preparation, prepare_voices
from pyannote_pix2seq.simulation.store import VoicesError
from pyannote_pix2seq.simulation.voices import CHOOSE, Voices

SHOWN = 10
"""Refusals that are printed; all of them are in refused.tsv."""


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help="folder or manifest of recordings")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the store")
    parser.add_argument(
        "--layout", choices=CHOICES, default=AUTO, help="layout of the folders (default: recognised by file names)"
    )
    parser.add_argument("--denoise", action="store_true", help="reduce steady noise; needs the extra [denoising]")
    parser.add_argument(
        "--most-speech",
        type=positive,
        default=MOST_SPEECH,
        help=f"skip further recordings of a speaker with so many seconds of speech (default: {MOST_SPEECH:g})",
    )
    parser.add_argument("--jobs", type=at_least_one, default=2, help="parallel processes (default: 2)")
    return parser.parse_args()


def main() -> None:
    options = parse()
    with one_line_messages():
        preparation = Preparation(options.denoise, options.most_speech)
        refusals = prepare_voices(options.sources, options.out, options.jobs, options.layout, preparation)
    for refusal in refusals[:SHOWN]:
        print(f"refused: {refusal.speaker} {refusal.path}: {refusal.reason}")
    print(f"{len(refusals)} refused, see {options.out / 'refused.tsv'}")
    for split in SPLITS:
        try:
            print(Voices(options.out, split))
        except VoicesError:
            print(f"nobody in split {split!r}. {CHOOSE}")


if __name__ == "__main__":
    main()
