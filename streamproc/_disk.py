"""What an operating system's error about a file amounts to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from streamproc.errors import StorageBlocked, StorageFailed

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""No room, no free inode, or no quota left."""


def failure(path: Path, error: OSError) -> StorageFailed:
    """Give what a failed call amounts to: something to wait for where there is no room, else the end.

    Not for a failed flush. What it was to flush may be gone from memory and not be on the disk, so that a second one
    would succeed and mean nothing: whatever its error says, it is final.
    """
    kind = StorageBlocked if error.errno in FULL else StorageFailed
    return kind(f"{path}: {error.strerror or error}")


def sync_folder(path: Path) -> None:
    """Make the names of new files in a folder durable.

    Raises:
        StorageFailed: they may not be, whatever the reason; this must not be tried again.
    """
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Make what was written to a file durable.

    Raises:
        StorageFailed: it may not be, whatever the reason; this must not be tried again.
    """
    _sync(path, os.O_RDWR)


def _sync(path: Path, flags: int) -> None:
    try:
        opened = os.open(path, flags | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        raise StorageFailed(f"{path}: {error.strerror or error}") from error
