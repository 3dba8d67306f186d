"""Strategies that read recordings of any length chunk by chunk, and identify the speakers across chunks."""
