"""Output as a table of a SQLite database, which also holds the run's state: one transaction commits both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from streamproc._sqlite import Connection, Value, insert
from streamproc.config import check_path
from streamproc.records import Completed
from streamproc.sinks import run_state
from streamproc.sinks.append_file import Segment
from streamproc.sinks.audit import Entry, entry_of
from streamproc.sinks.durable import DurableSink, discard
from streamproc.sinks.rows import encode_value, output_row
from streamproc.sinks.sink import SinkConfig

TABLE = "results"
_SCHEMA = """
CREATE TABLE results (
  id TEXT PRIMARY KEY, input TEXT NOT NULL, output TEXT NOT NULL, model TEXT NOT NULL, finish_reason TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, origin TEXT NOT NULL, attempts INTEGER NOT NULL);
"""

_encode = msgspec.msgpack.Encoder().encode


class SqliteSink(DurableSink):
    """Insert rows into the table `results` of a database of its own.

    `input` and `output` are JSON. Dead letters go to `<path>.dead.jsonl`, the lock and the paid answers to
    `<path>.streamproc/`.

    Args:
        path: the database; its folder must exist.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(Path(path), state=Path(path))

    def make_tables(self, connection: Connection) -> None:
        connection.execute(_SCHEMA)

    def insert(self, connection: Connection, completed: Sequence[Completed]) -> list[Segment]:
        rows = [_columns(outcome) for outcome in completed]
        insert(connection, TABLE, rows)
        stop = connection.last_insert_rowid() + 1
        return [Segment(TABLE, stop - len(rows), stop, _digest(rows))] if rows else []

    def damage(self, connection: Connection) -> Iterator[str | None]:
        yield from super().damage(connection)
        known = 0
        for segment in run_state.segments_of(connection, TABLE):
            known += segment.stop - segment.start
            between = (segment.start, segment.stop)
            rows = connection.execute("SELECT * FROM results WHERE rowid >= ? AND rowid < ? ORDER BY rowid", between)
            if _digest(rows) != segment.digest:
                yield f"{self.path} is damaged: rows {segment.start} to {segment.stop} are not what was committed"
        ((stored,),) = connection.execute("SELECT count(*) FROM results")
        if stored != known:
            yield f"{self.path} is damaged: it has {stored} rows, {known} are committed"

    def committed(self, connection: Connection) -> Iterator[Entry]:
        for name, fields in connection.execute("SELECT id, input FROM results"):
            yield entry_of(name, msgspec.json.decode(fields))


def _digest(rows: Iterable[Sequence[Value]]) -> bytes:
    total = hashlib.blake2b(digest_size=16)
    for row in rows:
        total.update(_encode(tuple(row)))
    return total.digest()


def _columns(outcome: Completed) -> tuple[str | int, ...]:
    row = output_row(outcome)
    return (
        _text(row.id),
        encode_value(row.input).decode(),
        encode_value(row.output).decode(),
        _text(row.model),
        _text(row.finish_reason),
        row.usage.prompt_tokens,
        row.usage.completion_tokens,
        row.origin,
        row.attempts,
    )


def _text(text: str) -> str:
    """Give text that SQLite can hold: half of a surrogate pair becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class SqliteSinkConfig(SinkConfig, frozen=True, kw_only=True):
    """`sink: {type: sqlite, path: ...}`.

    Attributes:
        path: the database.
    """

    path: str

    def check(self) -> None:
        check_path("path", self.path)

    def build(self) -> SqliteSink:
        """Make the sink."""
        return SqliteSink(self.path)

    def discard(self) -> None:
        """Remove what an earlier run delivered."""
        discard(Path(self.path), Path(self.path))
