"""Exceptions that reading a file may raise, by whose fault it is: the file's, or not."""

import zipfile
import zlib

import torch

UNREADABLE = (NotImplementedError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a file that is damaged, or no archive, may raise."""
OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)
"""What is no fault of the file that is loaded."""
