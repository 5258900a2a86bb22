"""A cache file that can no longer be read is set aside, whole, and a new one begun. Nothing is ever deleted."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from streamproc._log import log
from streamproc._sqlite import Connection, Database, transaction
from streamproc.errors import Damaged, StorageFailed

T = TypeVar("T")
Inode = tuple[int, int]

SIDECARS = ("-wal", "-shm", "")
"""What lies beside a SQLite file, and the file itself, in the order in which they are moved: a file without its log is
only damaged, a log without its file would be taken for the new one's."""


class SelfReplacingDatabase(Database):
    """A database that sets its file aside when it finds it damaged, says so, and begins a new one.

    Several processes may find the damage: whoever comes second finds another file in its place, and uses that.

    Args:
        path: the file.
        application_id: marks it as ours. A file without the mark is refused and left alone, damaged or not.
        schema: statements that make the tables where they are missing.
    """

    def __init__(self, path: Path, application_id: int, schema: str) -> None:
        super().__init__(path, application_id)
        self._schema = schema
        self._inode: Inode | None = None

    def connect(self) -> Connection:
        """Open the file, or set it aside and open a new one."""
        self._inode = _inode(self.path)
        try:
            connection = super().connect()
        except Damaged as error:
            self._set_aside(error)
            connection = super().connect()
        self._inode = _inode(self.path)
        return connection

    def prepare(self, connection: Connection) -> None:
        """Make the tables where they are missing."""
        with transaction(connection):
            connection.execute(self._schema)

    def perform(self, work: Callable[[Connection], T]) -> T:
        """Do `work`; where the file is damaged, or another process has replaced it meanwhile, again on the new one."""
        try:
            result = super().perform(work)
            if _inode(self.path) == self._inode:
                return result
            self._leave()
        except Damaged as error:
            self._leave()
            self._set_aside(error)
        self._connection = self.connect()
        return super().perform(work)

    def _leave(self) -> None:
        assert self._connection is not None, "it has just been used"
        self.disconnect(self._connection)

    def disconnect(self, connection: Connection) -> None:
        """Close a connection. SQLite then deletes the log by its name, which must not be that of another's new file."""
        if _inode(self.path) != self._inode:
            self.keep_log(connection)
        super().disconnect(connection)

    def _set_aside(self, error: Damaged) -> None:
        try:
            kept = None if self._inode is None else _set_aside(self.path, self._inode)
        except OSError as failure:
            raise StorageFailed(f"{self.path} is damaged and cannot be moved: {failure.strerror}") from failure
        if kept is not None:
            log.warning("cache.damaged", path=str(self.path), kept_as=str(kept), reason=str(error.__cause__ or error))


def _set_aside(path: Path, damaged: Inode) -> Path | None:
    """Rename a file and its sidecars, unless another process has put a new one in its place; give the new name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # another process has just renamed it, and has not begun a new one yet
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # one process at a time sets one file aside
        held = os.fstat(descriptor)
        if not (_inode(path) == damaged == (held.st_dev, held.st_ino)):
            return None
        kept = _free_name(path)
        for suffix in SIDECARS:
            with suppress(FileNotFoundError):  # there may be no sidecars, and whoever closes last removes them
                path.with_name(path.name + suffix).rename(kept.with_name(kept.name + suffix))
        return kept
    finally:
        os.close(descriptor)


def _inode(path: Path) -> Inode | None:
    """Tell which file lies there; `None` for none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _free_name(path: Path) -> Path:
    number = 1
    while (name := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return name
