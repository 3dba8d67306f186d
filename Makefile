# make demo               who speaks when, in a recording that comes with pyannote.audio
# make demo AUDIO=my.mp3  the same, in a recording of yours
# make test               the whole test suite
# make lint               style and types
# Needs Python 3.10 to 3.12 with pip and venv; say which one with PYTHON=python3.12.

PYTHON ?= python3
AUDIO ?=
export AUDIO
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# pyannote.audio reports usage over the network unless it is told not to.
export PYANNOTE_METRICS_ENABLED = 0

.PHONY: demo test lint
.DELETE_ON_ERROR:

demo: .venv/.installed
	$(BIN)/python recipes/demo.py $(if $(AUDIO),"$$AUDIO")

test: .venv/.installed-dev
	$(BIN)/python -m pytest

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/.installed: pyproject.toml | $(BIN)/pip
	@echo "Installing pyannote-pix2seq into .venv (about 6 GB, mostly PyTorch: a few minutes the first time)"
	$(PIP) install --quiet --editable .
	@touch $@

.venv/.installed-dev: pyproject.toml | $(BIN)/pip
	@echo "Installing pyannote-pix2seq and its test tools into .venv (about 6 GB the first time)"
	$(PIP) install --quiet --editable '.[dev,simulation]'
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; found = "%d.%d" % sys.version_info[:2]; \
	sys.exit(0 if found in ("3.10", "3.11", "3.12") else "pyannote-pix2seq needs Python 3.10, 3.11 or 3.12, but \
	$(PYTHON) is Python " + found + ". Say which Python to use, for example: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
