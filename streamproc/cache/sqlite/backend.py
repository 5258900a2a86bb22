"""A cache in a SQLite file: it outlives the process, and several processes may share it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from streamproc._sqlite import LARGEST_VALUE_BYTES, Connection, transaction
from streamproc.cache.backend import LastingBackend
from streamproc.cache.group_commit import GroupCommit
from streamproc.cache.metrics import CacheMetrics
from streamproc.cache.sqlite import answers_table
from streamproc.cache.sqlite.quarantine import SelfReplacingDatabase
from streamproc.cache.sqlite.staging import MOST_BYTES, Kept, Staging
from streamproc.errors import CacheUnavailable, Refused, StorageFailed
from streamproc.flow.clock import Clock

T = TypeVar("T")
Group = dict[str, Kept]

STAGED_SHARE = 8
"""Of a small cache at most one part in so many is staged."""


class SqliteBackend(LastingBackend):
    """Keep entries in a file, the oldest making room for the newest.

    Args:
        path: the file; made with mode 0600 where missing. Its folder must exist.
        max_bytes: most bytes for entries.
        wall: seconds since 1970; expiry must outlive the process.
        keep_newest: so many of the newest entries never make room, even beyond the bound.
    """

    def __init__(self, path: Path, max_bytes: int, wall: Clock = time.time, keep_newest: int = 1) -> None:
        self._path = path
        self._keep_newest = keep_newest
        self._max_bytes = max_bytes
        self._wall = wall
        self._database = SelfReplacingDatabase(path, answers_table.APPLICATION_ID, answers_table.SCHEMA)
        self._staging = Staging(keep_newest)
        self._most_staged = min(MOST_BYTES, max_bytes // STAGED_SHARE)
        self._writes: GroupCommit[Kept] = GroupCommit(self._submit_group)
        self._evictions = self._hits = self._misses = 0
        self._metrics = CacheMetrics()

    @property
    def name(self) -> str:
        return "sqlite"

    async def open(self) -> None:
        """Open the file; one of ours that is damaged is set aside, with a warning, and a new one begun.

        Raises:
            Refused: it is not a cache of ours. It is left as it is.
            StorageFailed: it cannot be opened or made.
        """
        await self._database.open()
        await self._database.run(self._note)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        now = self._wall()
        try:
            found = await self._database.run(lambda connection: self._get(connection, keys, now))
        except (StorageFailed, Refused) as error:
            raise CacheUnavailable(str(error)) from error
        answers = [found.get(key) for key in keys]
        missing = answers.count(None)
        self._misses += missing
        self._hits += len(answers) - missing
        return answers

    def _get(self, connection: Connection, keys: Sequence[str], now: float) -> Mapping[str, bytes | None]:
        self._staging.catch_up(connection)
        staged = self._staging.find(keys, now)
        return staged if len(staged) == len(keys) else {**answers_table.get(connection, keys, now), **staged}

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        """Keep values; when it returns, they survive a power cut.

        Raises:
            StorageFailed: they could not be written.
        """
        largest = max(map(len, items.values()), default=0)
        if largest > LARGEST_VALUE_BYTES:
            raise StorageFailed(f"{self._path}: a value of {largest} bytes is more than a SQLite file can hold")
        expires_at = None if ttl is None else self._wall() + ttl
        await self._writes.put({key: (value, expires_at) for key, value in items.items()})

    def _submit_group(self, take: Callable[[], Group]) -> asyncio.Future[None]:
        return self._database.submit(
            lambda connection: self._apply(connection, lambda _: self._put(connection, take()))
        )

    def _put(self, connection: Connection, group: Group) -> None:
        more = sum(answers_table.size_of(value) for value, _ in group.values())
        crowded = answers_table.totals(connection).bytes + more > self._max_bytes
        if self._staging.put(connection, group, 0 if crowded else self._most_staged):
            self._evictions += answers_table.make_room(connection, self._max_bytes, self._keep_newest, self._wall())

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._change(lambda connection: answers_table.delete(connection, keys))

    async def delete_prefix(self, prefix: str) -> None:
        await self._change(lambda connection: answers_table.delete_prefix(connection, prefix))

    async def clear(self) -> None:
        await self._database.run(lambda connection: self._apply(connection, self._clear))
        await self._database.run(lambda connection: connection.execute("VACUUM"))

    async def measure(self) -> CacheMetrics:
        await self._change(lambda connection: None)
        return self.metrics()

    async def prune(self) -> int:
        now = self._wall()
        return await self._change(lambda connection: answers_table.expire(connection, now))

    async def _change(self, work: Callable[[Connection], T]) -> T:
        """Do work on the entries, all of them filed before."""

        def filed(connection: Connection) -> T:
            self._staging.file(connection)
            return work(connection)

        return await self._database.run(lambda connection: self._apply(connection, filed))

    def _apply(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        """Do work in one transaction, and note what the entries take after it."""
        with transaction(connection):
            self._staging.catch_up(connection)
            result = work(connection)
            self._note(connection)
        return result

    def _clear(self, connection: Connection) -> None:
        self._staging.clear(connection)
        answers_table.clear(connection)

    def _note(self, connection: Connection) -> None:
        totals = answers_table.totals(connection)
        self._metrics = CacheMetrics(
            entries=totals.entries,
            current_bytes=totals.bytes,
            peak_bytes=max(totals.bytes, self._metrics.peak_bytes),
            evictions=self._evictions,
        )

    def metrics(self) -> CacheMetrics:
        return msgspec.structs.replace(self._metrics, hits=self._hits, misses=self._misses)

    async def aclose(self) -> None:
        self._writes.flush()
        await self._database.aclose()
