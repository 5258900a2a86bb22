"""One SQLite connection on one thread, for the cache and for the sinks. The only importer of apsw.

apsw ships a current SQLite. The one that Python links to is whatever the system has; before 3.51.3 it can corrupt a
write-ahead log that two processes share (https://sqlite.org/wal.html, "The WAL-reset bug"); caches are shared.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self, TypeVar

import apsw

from streamproc._disk import FULL, failure, sync_file, sync_folder
from streamproc._sqlite_header import header_of, is_marked, logged_header_of
from streamproc._thread import WorkThread
from streamproc.errors import Damaged, Refused, StorageBlocked, StorageFailed

Connection = apsw.Connection
T = TypeVar("T")

BUSY_SECONDS = 30.0
LOCK_PROBE_SECONDS = 0.05
ROWS_A_STATEMENT = 100
LARGEST_VALUE_BYTES = 900_000_000
"""SQLite's bound is a little higher; whoever inserts checks this, as an error about it is taken for damage."""
UNREADABLE = (apsw.NotADBError, apsw.CorruptError, apsw.TooBigError, UnicodeDecodeError)
"""What reading a damaged file raises. SQLite looks neither into texts nor at the lengths that it finds."""
WRITES = frozenset({apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_SHMSIZE})
"""The errors of a file that could not grow; those of a flush are others."""
Value = str | bytes | int | float | None


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Make all statements inside durable together, or none of them. Takes the write lock at once."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if not connection.get_autocommit():  # a full disk has rolled back already
            connection.execute("ROLLBACK")
        raise


def insert(connection: Connection, into: str, rows: Sequence[tuple[Value, ...]]) -> None:
    """Insert rows of equal width, a hundred a statement. Call it inside a transaction.

    Each statement lets go of the interpreter's lock, and has to win it back from a busy event loop. Row by row
    (`executemany`) that costs both threads more than the inserting itself.

    Args:
        connection: where to.
        into: the table, and its columns in parentheses if not all.
        rows: what to insert.
    """
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        chunk = rows[start : start + ROWS_A_STATEMENT]
        places = ", ".join(["(" + ", ".join("?" * len(chunk[0])) + ")"] * len(chunk))
        connection.execute(f"INSERT INTO {into} VALUES {places}", [value for row in chunk for value in row])  # noqa: S608


def insert_new(connection: Connection, into: str, rows: Sequence[tuple[Value, ...]]) -> bool:
    """Insert rows as `insert` does if none of them is there already; else insert none, and tell so."""
    connection.execute("SAVEPOINT new_rows")
    try:
        insert(connection, into, rows)
    except apsw.ConstraintError:  # after any other error the transaction may be gone, and this with it
        connection.execute("ROLLBACK TO new_rows")
        connection.execute("RELEASE new_rows")
        return False
    connection.execute("RELEASE new_rows")
    return True


@contextmanager
def _mapped(path: Path, connection: Connection | None = None) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise Damaged(f"{path} is damaged: {error}. Restore it, or move it away") from error
    except OSError as error:
        raise failure(path, error) from error
    except apsw.Error as error:
        kind = StorageBlocked if _may_pass(error, connection) else StorageFailed
        raise kind(f"{path}: {error}") from error


def _may_pass(error: apsw.Error, connection: Connection | None) -> bool:
    """Tell whether SQLite has rolled back for want of room or of the lock. It calls a used-up quota a failed write."""
    if isinstance(error, apsw.FullError | apsw.BusyError):
        return True
    return (
        connection is not None
        and isinstance(error, apsw.IOError)
        and error.extendedresult in WRITES  # type: ignore[attr-defined]  # apsw's stub lacks it
        and connection.system_errno in FULL
    )


def refuse_foreign(path: Path, application_id: int) -> None:
    """Look at a file's header; an empty file may become ours.

    Raises:
        Refused: it is another program's.
        StorageFailed: it cannot be read.
    """
    with _mapped(path):
        header = header_of(path)
        ours = not header or any(is_marked(each, application_id) for each in (header, logged_header_of(path)))
    if not ours:
        raise Refused(f"{path} is no SQLite database, or one of another program; choose another path")


def _make(path: Path, application_id: int) -> None:
    """Make a file, whole and marked before it has its name, so that no power loss leaves one that nobody knows."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(path.parent, folder)  # one process at a time makes one
        if path.exists():
            return
        new = path.with_name(f"{path.name}.streamproc-new")  # no name of anybody else's: what is left there is removed
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite's sidecars inherit the mode
        with closing(apsw.Connection(str(new))) as connection:
            connection.execute("PRAGMA synchronous = OFF")  # one flush will do: nobody reads it before it is whole
            _mark(connection, application_id)
        sync_file(new)
        new.rename(path)
    finally:
        os.close(folder)
    sync_folder(path.parent)


def _lock(path: Path, folder: int) -> None:
    """Lock a folder, but do not wait for ever: it may be locked by whoever started us, as `flock DIR COMMAND` does."""
    give_up_at = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                raise StorageFailed(f"{path}: another process holds a lock on this folder, as `flock` does") from None
            time.sleep(LOCK_PROBE_SECONDS)
        else:
            return


def _mark(connection: Connection, application_id: int) -> None:
    ((mark,),) = connection.execute("PRAGMA application_id")
    if mark != application_id:  # an empty file; set before WAL mode, the mark is in its header at once
        connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute("PRAGMA journal_mode = WAL").fetchall()  # unread, it would hold back the statement after it


def _connect(path: Path, application_id: int) -> Connection:
    if not path.exists():
        _make(path, application_id)
    refuse_foreign(path, application_id)  # before anything in it is changed
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(int(BUSY_SECONDS * 1000))
    try:
        _mark(connection, application_id)
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


class Database:
    """A SQLite file in write-ahead mode with full durability: what `transaction` commits survives a power cut.

    Args:
        path: the file; made with mode 0600 where it is missing. Its folder must exist.
        application_id: the mark in its header that makes it ours (https://sqlite.org/fileformat.html).
    """

    def __init__(self, path: Path, application_id: int) -> None:
        self.path = path
        self._application_id = application_id
        self._thread = WorkThread(path.name)
        self._connection: Connection | None = None  # after opening, the thread's affair
        self._failed = False

    async def open(self) -> Self:
        """Open the file.

        Raises:
            Refused: it is not a SQLite database, or another program's; nothing in it is changed.
            Damaged: it is ours and cannot be read.
            StorageFailed: it cannot be opened.
        """
        try:
            await asyncio.shield(self._thread.submit(self._begin))
        except BaseException:
            self._thread.submit(self._end)  # cancelled, for one: the thread may have opened it all the same
            self._thread.close()
            raise
        return self

    def _begin(self) -> None:
        self._connection = self.connect()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with _mapped(self.path):
                self.disconnect(connection)

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Call `work` with the connection, on its thread, after whatever was asked before.

        Cancelling the caller does not stop work that was submitted.

        Raises:
            StorageFailed: SQLite or the operating system failed; `StorageBlocked`: and did nothing.
            Damaged: the file cannot be read any more.
        """
        return await asyncio.shield(self.submit(work))

    def submit(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Have `work` called as `run` does; await the future under a shield."""
        if self._connection is None:
            raise StorageFailed(f"{self.path} is not open")
        return self._thread.submit(self.perform, work)

    def connect(self) -> Connection:
        """Open the file, on the thread; what fails is one of our errors."""
        with _mapped(self.path):
            connection = _connect(self.path, self._application_id)
            try:
                self.prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._failed = False
            return connection

    def prepare(self, connection: Connection) -> None:
        """Make a new connection ready; does nothing unless overridden."""

    def perform(self, work: Callable[[Connection], T]) -> T:
        """Do `work`, on the thread; what fails is one of our errors, and after a failure nothing is done any more."""
        connection = self._connection
        if connection is None:
            raise StorageFailed(f"{self.path} is not open")
        if self._failed:
            raise StorageFailed(f"{self.path}: an earlier write failed; nothing after it is claimed")
        try:
            with _mapped(self.path, connection):
                return work(connection)
        except StorageBlocked:
            raise
        except StorageFailed:
            self._failed = True
            raise

    def disconnect(self, connection: Connection) -> None:
        """Close a connection, on the thread. After a failure SQLite is kept from flushing the same file once more."""
        if self._failed:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.close()

    @staticmethod
    def keep_log(connection: Connection) -> None:
        """Have the write-ahead log stay when `connection` is closed; SQLite would delete it by its name."""
        connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(ctypes.c_int(1)))

    @staticmethod
    def has_moved(connection: Connection) -> bool:
        """Tell whether the file was removed or replaced since it was opened: SQLite would go on with what has no name.

        Call it on the thread.
        """
        moved = ctypes.c_int(0)
        connection.file_control("main", apsw.SQLITE_FCNTL_HAS_MOVED, ctypes.addressof(moved))
        return bool(moved.value)

    async def aclose(self) -> None:
        """Wait for the work that was submitted, then close the file. Harmless when called twice."""
        if self._connection is None:
            return
        closing = self._thread.submit(self._end)
        try:
            await asyncio.shield(closing)
        finally:
            self._thread.close()
