"""Output as a table of a SQLite database, which also holds the run's state: one transaction commits both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from streamproc._sqlite import Connection, insert
from streamproc.config import check_path
from streamproc.records import Completed
from streamproc.sinks.audit import Entry, entry_of
from streamproc.sinks.durable import DurableSink, discard
from streamproc.sinks.rows import encode_value, output_row
from streamproc.sinks.sink import SinkConfig

_SCHEMA = """
CREATE TABLE results (
  id TEXT PRIMARY KEY, input TEXT NOT NULL, output TEXT NOT NULL, model TEXT NOT NULL, finish_reason TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, origin TEXT NOT NULL, attempts INTEGER NOT NULL);
"""


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

    def insert(self, connection: Connection, completed: Sequence[Completed]) -> None:
        insert(connection, "results", [_columns(outcome) for outcome in completed])

    def committed(self, connection: Connection) -> Iterator[Entry]:
        yield from super().committed(connection)
        for name, fields in connection.execute("SELECT id, input FROM results"):
            yield entry_of(name, msgspec.json.decode(fields))


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
