"""Progress bars, which are drawn on terminals only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm


@contextmanager
def bar_of_steps(name: str, quiet: bool = False) -> Iterator[Callable[..., None]]:
    """Make a hook for pipelines of pyannote.audio that draws the progress of each of their steps.

    Parameters
    ----------
    name : str
        Of the recording.
    quiet : bool, optional
        Draw nothing.
    """
    with tqdm(desc=name, leave=False, disable=is_hidden(quiet)) as bar:

        def hook(step: str, artifact: Any, file: Any, total: int | None = None, completed: int = 0) -> None:
            if total is not None:
                bar.set_postfix_str(step, refresh=False)
                bar.total, bar.n = total, completed
                bar.refresh()

        yield hook


def is_hidden(quiet: bool) -> bool | None:
    """Whether a progress bar is hidden; None leaves it to tqdm, which asks whether stderr is a terminal."""
    return True if quiet else None
