"""Entries that were written and not yet filed: a group of them is one row, which costs a sixth of a row each.

To keep an entry where it can be found by its key takes a page of the table and one of its index. A thousand at a time
they take a third of what they take in groups of twenty (5.5 in place of 15 us of CPU each). So a group is kept whole at
first, as safe as it will ever be, and filed with others once there are enough.

Processes that share the file see each other's groups. All that is known of them here is what was read from the file, so
a transaction that is rolled back, or another process that files them, needs no care. Plain code for one thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from operator import itemgetter

import msgspec

from streamproc._sqlite import Connection
from streamproc.cache.sqlite import answers_table

MOST_BYTES = 1 << 22
"""What may be staged before it is filed, as the table counts it; some ten thousand answers. Filing them takes some
sixty milliseconds, in which other processes wait."""

Kept = tuple[bytes, float | None]
"""A value, and when it expires in seconds since 1970."""

_NEWS = "SELECT number, (SELECT coalesce(max(id), 0) FROM staged) FROM filings"
_LATER = "SELECT id, body, bytes FROM staged WHERE id > ? ORDER BY id"

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(dict[str, Kept]).decode


class Staging:
    """The staged groups of one file, as this process has read them.

    Args:
        keep_newest: so many of the newest entries keep the order of their age when there are too many to be staged.
            The others are filed in the order of their keys: their index takes that at half the cost.
    """

    def __init__(self, keep_newest: int) -> None:
        self._keep_newest = keep_newest
        self._entries: dict[str, Kept] = {}
        self._bytes = 0
        self._newest = 0
        self._filing = 0

    def catch_up(self, connection: Connection) -> None:
        """Read what has been staged since the last time, by whomever; forget what has been filed."""
        ((filing, newest),) = connection.execute(_NEWS)
        if filing != self._filing:
            self._entries, self._bytes, self._newest, self._filing = {}, 0, 0, filing
        if newest == self._newest:
            return
        for number, body, size in connection.execute(_LATER, (self._newest,)):
            self._newest, self._bytes = number, self._bytes + size
            with suppress(msgspec.DecodeError, UnicodeDecodeError):  # damaged, and so missing
                _renew(self._entries, _decode(body))

    def find(self, keys: Sequence[str], now: float) -> dict[str, bytes | None]:
        """Give those keys that are staged: the value, or `None` where its time is over; what is filed is older."""
        found = {key: kept for key in keys if (kept := self._entries.get(key)) is not None}
        return {
            key: value if expires_at is None or expires_at > now else None for key, (value, expires_at) in found.items()
        }

    def put(self, connection: Connection, group: Mapping[str, Kept], most_bytes: int) -> bool:
        """Stage a group within a transaction, after `catch_up`; file it with all others if these are too many then.

        Until it is filed, an entry in place of one that was filed counts beside that.

        Args:
            connection: inside a transaction.
            group: by key.
            most_bytes: the most that is staged.

        Returns:
            Whether they were filed.
        """
        size = sum(answers_table.size_of(value) for value, _ in group.values())
        if self._bytes + size > most_bytes:
            rows = self._take(connection, group)
            older = max(0, len(rows) - self._keep_newest)
            answers_table.put(connection, [*sorted(rows[:older], key=itemgetter(0)), *rows[older:]])
            return True
        renewed = [self._entries[key][0] for key in group.keys() & self._entries.keys()]
        size, number = size - sum(map(answers_table.size_of, renewed)), len(group) - len(renewed)
        connection.execute("INSERT INTO staged (body, bytes, entries) VALUES (?, ?, ?)", (_encode(group), size, number))
        answers_table.count(connection, size, number)
        return False

    def clear(self, connection: Connection) -> None:
        """Forget every group, within a transaction."""
        removed = list(connection.execute("DELETE FROM staged RETURNING bytes, entries"))
        answers_table.count(connection, -sum(size for size, _ in removed), -sum(number for _, number in removed))
        connection.execute("UPDATE filings SET number = number + 1")

    def file(self, connection: Connection) -> None:
        """Move every group to the entries, within a transaction and after `catch_up`. They keep the order of their age:
        some may be another process's, which cannot spare its newest."""
        answers_table.put(connection, self._take(connection, {}))

    def _take(self, connection: Connection, more: Mapping[str, Kept]) -> list[answers_table.Row]:
        """Forget every group, within a transaction; give their entries and some more, from the oldest to the newest."""
        if self._newest:
            self.clear(connection)
        entries = self._entries.copy()
        _renew(entries, more)
        return [(key, value, expires_at) for key, (value, expires_at) in entries.items()]


def _renew(entries: dict[str, Kept], group: Mapping[str, Kept]) -> None:
    """Enter a group as the newest, so that it is the last to make room."""
    for key in entries.keys() & group.keys():
        del entries[key]
    entries.update(group)
