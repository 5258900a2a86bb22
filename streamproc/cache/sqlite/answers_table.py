"""The table behind a SQLite cache: plain functions over one connection, each to be called inside a transaction.

What the entries take is counted in the transaction that changes them, so it holds for every process that shares the
file and after every crash.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from msgspec import Struct

from streamproc._sqlite import Connection, insert, insert_new
from streamproc.errors import Damaged

LOW_WATER = 0.9
"""How full the cache is left, of its bound, when it had to make room."""

ROW_OVERHEAD_BYTES = 160
"""What an entry takes in the file beside its value: key, index, counters (measured, keys of 64 characters)."""

APPLICATION_ID = 0x53545243
"""Marks our caches in their header ("STRC"), as SQLite's file format provides for."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL, size INTEGER NOT NULL, expires_at REAL);
CREATE TABLE IF NOT EXISTS totals (bytes INTEGER NOT NULL, entries INTEGER NOT NULL);
INSERT INTO totals SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM totals);
CREATE TABLE IF NOT EXISTS staged (
  id INTEGER PRIMARY KEY, body BLOB NOT NULL, bytes INTEGER NOT NULL, entries INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS filings (number INTEGER NOT NULL);
INSERT INTO filings SELECT abs(random() >> 24) WHERE NOT EXISTS (SELECT 1 FROM filings);
"""
_INTO = "entries (key, value, size, expires_at)"
_GET = """
SELECT key, value FROM entries WHERE key IN (SELECT value FROM json_each(?)) AND (expires_at IS NULL OR expires_at > ?)
"""
_DELETE_KEYS = "DELETE FROM entries WHERE key IN (SELECT value FROM json_each(?)) RETURNING size"
_DELETE_PREFIX = "DELETE FROM entries WHERE instr(key, ?) = 1 RETURNING size"
_DELETE_EXPIRED = "DELETE FROM entries WHERE expires_at <= ? RETURNING size"
_DELETE_OLDEST = """
DELETE FROM entries
WHERE id IN (SELECT id FROM (SELECT id, sum(size) OVER (ORDER BY id) - size AS older FROM entries) WHERE older < ?)
AND id <= (SELECT max(id) FROM entries) - ? RETURNING size
"""
_DELETE_ALL = "DELETE FROM entries RETURNING size"

Row = tuple[str, bytes, float | None]
"""A key, its value, and when it expires in seconds since 1970."""


class Totals(Struct, frozen=True):
    """What the entries take, and how many there are."""

    bytes: int
    entries: int


def size_of(value: bytes) -> int:
    """Give what an entry takes."""
    return len(value) + ROW_OVERHEAD_BYTES


def totals(connection: Connection) -> Totals:
    """Give what the entries take."""
    ((held, entries),) = connection.execute("SELECT bytes, entries FROM totals")
    return Totals(_whole(held), _whole(entries))


def get(connection: Connection, keys: Sequence[str], now: float) -> dict[str, bytes]:
    """Give the values of those keys that are there and live."""
    found = connection.execute(_GET, (json.dumps(list(keys)), now))
    return {key: value for key, value in found if isinstance(value, bytes)}


def put(connection: Connection, rows: Sequence[Row]) -> None:
    """Set values, each key at most once; the newest entries are the last to make room."""
    sized = [(key, value, size_of(value), expires_at) for key, value, expires_at in rows]
    replaced: list[int] = []
    if not insert_new(connection, _INTO, sized):  # else nearly all are new, and to look first would cost half as much
        keys = json.dumps([key for key, _, _ in rows])
        replaced = [_whole(size) for (size,) in connection.execute(_DELETE_KEYS, (keys,))]
        insert(connection, _INTO, sized)
    count(connection, sum(row[2] for row in sized) - sum(replaced), len(sized) - len(replaced))


def make_room(connection: Connection, max_bytes: int, keep_newest: int, now: float) -> int:
    """Bring the entries within their bound: expired ones go first, then the oldest, the newest never.

    Args:
        connection: inside a transaction.
        max_bytes: the bound.
        keep_newest: so many of the newest stay, even beyond the bound.
        now: seconds since 1970.

    Returns:
        How many were evicted.
    """
    if totals(connection).bytes <= max_bytes:
        return 0
    expire(connection, now)
    surplus = totals(connection).bytes - int(max_bytes * LOW_WATER)
    return _delete(connection, _DELETE_OLDEST, (surplus, keep_newest)) if surplus > 0 else 0


def expire(connection: Connection, now: float) -> int:
    """Remove entries whose time is over; give their number."""
    return _delete(connection, _DELETE_EXPIRED, (now,))


def delete(connection: Connection, keys: Iterable[str]) -> None:
    """Remove keys; unknown ones are passed over."""
    _delete(connection, _DELETE_KEYS, (json.dumps(list(keys)),))


def delete_prefix(connection: Connection, prefix: str) -> None:
    """Remove the keys that begin with a prefix. Reads every key."""
    _delete(connection, _DELETE_PREFIX, (prefix,))


def clear(connection: Connection) -> None:
    """Remove everything."""
    _delete(connection, _DELETE_ALL, ())


def _delete(connection: Connection, statement: str, arguments: tuple[str | float, ...]) -> int:
    sizes = [_whole(size) for (size,) in connection.execute(statement, arguments)]
    count(connection, -sum(sizes), -len(sizes))
    return len(sizes)


def _whole(number: object) -> int:
    """Believe what SQLite read: it checks the shape of a page, not what stands in it."""
    if not isinstance(number, int) or number < 0:
        raise Damaged(f"a size or a count in the cache reads {number!r:.50}")
    return number


def count(connection: Connection, more_bytes: int, more_entries: int) -> None:
    """Enter that the entries have become more, or fewer."""
    connection.execute("UPDATE totals SET bytes = bytes + ?, entries = entries + ?", (more_bytes, more_entries))
