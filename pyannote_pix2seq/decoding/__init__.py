"""Decoding of sequences within the grammar: greedy, by sampling, by beam search or by consensus."""
