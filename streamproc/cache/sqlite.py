"""A cache in a SQLite file: it outlives the process, and several processes may share it.

Writes that come within a short linger, or while others are being made durable, go together into one transaction (group
commit), so that full durability costs one flush for many answers.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from streamproc._log import log
from streamproc._sqlite import Connection, Database, transaction
from streamproc.cache.backend import CacheBackend
from streamproc.cache.metrics import CacheMetrics
from streamproc.errors import CacheUnavailable, Refused, StorageFailed
from streamproc.flow.clock import Clock

GROUP_LINGER_SECONDS = 0.002
"""How long a first write waits for others: a flush costs as much as fifty rows, and a call takes far longer."""

LOW_WATER = 0.9
"""How full the cache is left, of its bound, when it had to make room."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL, size INTEGER NOT NULL, expires_at REAL);
CREATE TABLE IF NOT EXISTS totals (bytes INTEGER NOT NULL, entries INTEGER NOT NULL);
INSERT INTO totals SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM totals);
CREATE TRIGGER IF NOT EXISTS entry_added AFTER INSERT ON entries BEGIN
  UPDATE totals SET bytes = bytes + NEW.size, entries = entries + 1; END;
CREATE TRIGGER IF NOT EXISTS entry_removed AFTER DELETE ON entries BEGIN
  UPDATE totals SET bytes = bytes - OLD.size, entries = entries - 1; END;
CREATE TRIGGER IF NOT EXISTS entry_changed AFTER UPDATE ON entries BEGIN
  UPDATE totals SET bytes = bytes + NEW.size - OLD.size; END;
"""
_PUT = """
INSERT INTO entries (key, value, size, expires_at) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
  id = (SELECT max(id) + 1 FROM entries), value = excluded.value, size = excluded.size, expires_at = excluded.expires_at
"""
_GET = """
SELECT key, value FROM entries WHERE key IN (SELECT value FROM json_each(?)) AND (expires_at IS NULL OR expires_at > ?)
"""

ROW_OVERHEAD_BYTES = 160
"""What an entry takes in the file beside its value: key, index, counters (measured, keys of 64 characters)."""


class _Flush:
    """A group's way to the disk: over when `done` is set, kept unless there is an `error`."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.error: BaseException | None = None

    def end(self, work: asyncio.Future[None]) -> None:
        self.error = work.exception()
        self.done.set()


class SqliteBackend(CacheBackend):
    """Keep entries in a file, the oldest making room for the newest.

    The size is counted by triggers in the same transaction as the change it counts, so it holds for every process that
    shares the file and after every crash.

    Args:
        path: the file; made with mode 0600 where missing. Its folder must exist.
        max_bytes: most bytes for entries.
        wall: seconds since 1970; expiry must outlive the process.
    """

    def __init__(self, path: Path, max_bytes: int, wall: Clock = time.time) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._wall = wall
        self._database = Database(path)
        self._lock = threading.Lock()  # between the event loop, which fills a group, and the thread, which takes it
        self._group: dict[str, tuple[bytes, float | None]] = {}
        self._flush: _Flush | None = None  # of the group that is being filled
        self._linger: asyncio.TimerHandle | None = None
        self._evictions = 0
        self._metrics = CacheMetrics()

    async def open(self) -> None:
        """Open the file. A damaged one is moved aside, never deleted: what it holds was paid for.

        Raises:
            StorageFailed: it cannot be opened or made.
        """
        try:
            await self._open()
        except Refused as damaged:
            await self._database.aclose()
            aside = self._move_aside()
            log.warning("cache.damaged", path=str(self._path), moved_to=str(aside), reason=str(damaged))
            self._database = Database(self._path)
            await self._open()

    async def _open(self) -> None:
        await self._database.open()
        await self._database.run(self._prepare)

    def _prepare(self, connection: Connection) -> None:
        with transaction(connection):
            connection.execute(_SCHEMA)
        self._read_totals(connection)

    def _read_totals(self, connection: Connection) -> None:
        ((held, entries),) = connection.execute("SELECT bytes, entries FROM totals")
        peak = max(held, self._metrics.peak_bytes)
        self._metrics = CacheMetrics(entries=entries, current_bytes=held, peak_bytes=peak, evictions=self._evictions)

    def _move_aside(self) -> Path:
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        return aside

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        now = self._wall()
        asked = json.dumps(list(keys))
        try:
            found = await self._database.run(lambda connection: dict(connection.execute(_GET, (asked, now))))
        except (StorageFailed, Refused) as error:
            raise CacheUnavailable(str(error)) from error
        return [found.get(key) for key in keys]

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        """Keep values; when it returns, they survive a power cut.

        Raises:
            StorageFailed: they could not be written.
        """
        expires_at = None if ttl is None else self._wall() + ttl
        with self._lock:
            self._group.update({key: (value, expires_at) for key, value in items.items()})
            if self._flush is None:
                self._flush = _Flush()
                self._linger = asyncio.get_running_loop().call_later(GROUP_LINGER_SECONDS, self._submit_group)
            flush = self._flush
        await flush.done.wait()
        if flush.error is not None:
            raise flush.error

    def _submit_group(self) -> None:
        self._linger, flush = None, self._flush
        assert flush is not None, "a group that lingers has not been taken"
        self._database.submit(self._write_group).add_done_callback(flush.end)

    def _write_group(self, connection: Connection) -> None:
        with self._lock:
            group, self._group = self._group, {}
            self._flush = None
        rows = [(k, v, len(v) + ROW_OVERHEAD_BYTES, at) for k, (v, at) in group.items()]
        with transaction(connection):
            connection.executemany(_PUT, rows)
            self._evictions += self._make_room(connection)
        self._read_totals(connection)

    def _make_room(self, connection: Connection) -> int:
        ((held,),) = connection.execute("SELECT bytes FROM totals")
        if held <= self._max_bytes:
            return 0
        connection.execute("DELETE FROM entries WHERE expires_at <= ?", (self._wall(),))
        surplus = next(connection.execute("SELECT bytes FROM totals"))[0] - int(self._max_bytes * LOW_WATER)
        if surplus <= 0:
            return 0
        before = connection.total_changes()
        connection.execute(
            "DELETE FROM entries WHERE id IN (SELECT id FROM"
            " (SELECT id, sum(size) OVER (ORDER BY id) - size AS older FROM entries) WHERE older < ?)"
            " AND (id < (SELECT max(id) FROM entries) OR size > ?)",  # the newest stays if it can
            (surplus, self._max_bytes),
        )
        return (connection.total_changes() - before) // 2  # each row's trigger counts as a change too

    async def delete_many(self, keys: Sequence[str]) -> None:
        asked = json.dumps(list(keys))

        def delete(connection: Connection) -> None:
            with transaction(connection):
                connection.execute("DELETE FROM entries WHERE key IN (SELECT value FROM json_each(?))", (asked,))
            self._read_totals(connection)

        await self._database.run(delete)

    async def clear(self) -> None:
        def clear(connection: Connection) -> None:
            with transaction(connection):
                connection.execute("DELETE FROM entries")
            connection.execute("VACUUM")
            self._read_totals(connection)

        await self._database.run(clear)

    async def prune(self) -> int:
        """Remove entries whose time is over, and give their number."""
        now = self._wall()

        def prune(connection: Connection) -> int:
            with transaction(connection):
                ((over,),) = connection.execute("SELECT count(*) FROM entries WHERE expires_at <= ?", (now,))
                connection.execute("DELETE FROM entries WHERE expires_at <= ?", (now,))
            self._read_totals(connection)
            return int(over)

        return await self._database.run(prune)

    def metrics(self) -> CacheMetrics:
        return self._metrics

    async def aclose(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._submit_group()
        await self._database.aclose()
