"""What an operating system's error about a file amounts to."""

from __future__ import annotations

import errno
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
