"""How good diarization systems are, on the same recordings, and how sure that is."""
