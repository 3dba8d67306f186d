"""`python -m pyannote_pix2seq` is `pyannote-pix2seq`."""

import sys

from pyannote_pix2seq.cli import main

if __name__ == "__main__":
    sys.exit(main())
