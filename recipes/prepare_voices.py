"""Make a store of voices from recordings of single speakers.

    python recipes/prepare_voices.py MANIFEST_OR_FOLDER OUT

MANIFEST_OR_FOLDER is a tab-separated file with columns speaker, path, corpus, split (the last two may be
missing), or a folder with one folder of audio files a speaker. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pyannote_pix2seq.simulation.preparation import prepare_voices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="MANIFEST_OR_FOLDER")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the store")
    parser.add_argument("--jobs", type=int, default=2, help="processes that work side by side (default: 2)")
    arguments = parser.parse_args()
    refusals = prepare_voices(arguments.source, arguments.out, num_jobs=arguments.jobs)
    print(f"{len(refusals)} refused, see {arguments.out / 'refused.tsv'}")


if __name__ == "__main__":
    main()
