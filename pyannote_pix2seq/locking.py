"""Locks between processes."""

from __future__ import annotations

import fcntl
from typing import IO


def lock(file: IO) -> bool:
    """Lock an open file until it is closed; return whether no other process has it locked.

    On a file system without locks, no file ever is.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the latter on SMB
        return False
    except OSError:  # a file system without locks
        return True
    return True
