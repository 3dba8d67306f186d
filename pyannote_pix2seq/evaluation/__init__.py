"""Evaluation of diarization systems on the same recordings, with bootstrap intervals."""
