"""Waiting for what another thread is to say."""

from threading import Thread

import pytest


def start_until_it_warns(thread: Thread, warned: pytest.WarningsRecorder) -> None:
    """Start a thread and wait until it warns, and a moment more, in which one that waits for a lock does nothing."""
    thread.start()
    while thread.is_alive() and not len(warned):
        thread.join(0.01)
    thread.join(0.2)
