"""Run the command line: `python -m pyannote_pix2seq` is the same as `pyannote-pix2seq`."""

import sys

from pyannote_pix2seq.cli import main

if __name__ == "__main__":
    sys.exit(main())
