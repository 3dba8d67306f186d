"""Some of the recordings of a batch, as a batch of their own: what tests compare with."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from pyannote_pix2seq.network.context import Context
from pyannote_pix2seq.network.transformer import Cache


def rows_of_cache(cache: Cache, index: Tensor) -> Cache:
    """Keep, repeat or reorder recordings about each of which one sequence is written."""
    heard = tuple((key[index], value[index]) for key, value in cache.heard)
    chosen = replace(cache, heard=heard, heard_voice=cache.heard_voice[index], is_real=cache.is_real[index])
    return chosen.reorder(index)


def rows(context: Context, index: Tensor) -> Context:
    """Keep, repeat or reorder recordings about each of which one sequence is written."""
    names = ("pointers", "activity", "content", "written")
    chosen = {name: getattr(context, name)[index] for name in names}
    return replace(context, cache=rows_of_cache(context.cache, index), **chosen)
