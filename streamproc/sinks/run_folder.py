"""The folder beside an output that holds a run's state, its paid answers and its lock."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from streamproc.errors import Refused, StorageFailed


class RunFolder:
    """`<output>.streamproc/`, readable by its owner only, held by one process at a time.

    The lock belongs to the open file, so it ends with the process, however that ends.

    Args:
        output: the path of the output.
    """

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(output.name + ".streamproc")
        self._lock: int | None = None

    def acquire(self) -> None:
        """Make the folder where it is missing, and lock it.

        Raises:
            Refused: another process holds it, or it is a link.
            StorageFailed: it cannot be made.
        """
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            if self.path.is_symlink() or (self.path / "lock").is_symlink():
                raise Refused(f"{self.path}, or the lock in it, is a link; a run's own folder is none. Remove the link")
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StorageFailed(f"cannot use {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 200, 0).decode(errors="replace").strip()
            os.close(lock)
            raise Refused(f"the output is in use by another run ({holder or 'its process is starting'})") from None
        except OSError as error:
            os.close(lock)
            raise StorageFailed(f"cannot lock {self.path}: {error.strerror}") from error
        self._lock = lock
        with suppress(OSError):  # who holds it is for people; a full disk must not keep it from being held
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        """Unlock. Harmless when called twice."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)
