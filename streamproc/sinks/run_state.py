"""What a run has committed: its identity, its checkpoint, each delivered row's digest, each file's committed bytes.

Plain functions over one SQLite connection. Whoever stores rows in the same database commits them in one transaction.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from streamproc._sqlite import Connection, insert
from streamproc.errors import Refused
from streamproc.records import Checkpoint, Completed, Outcome, Position, RunIdentity
from streamproc.sinks.append_file import Segment
from streamproc.sinks.sink import Tally

FORMAT = 1
APPLICATION_ID = 0x53545250
"""Marks our databases in their header ("STRP"), as SQLite's file format provides for."""

_SCHEMA = """
CREATE TABLE streamproc_run (
  format INTEGER NOT NULL, run_id TEXT NOT NULL, identity TEXT NOT NULL, checkpoint BLOB NOT NULL);
CREATE TABLE streamproc_delivered (
  position PRIMARY KEY, digest BLOB NOT NULL, completed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE streamproc_segments (
  file TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (file, start)
) WITHOUT ROWID;
"""

_encode = msgspec.msgpack.Encoder().encode
_decode_checkpoint = msgspec.msgpack.Decoder(Checkpoint).decode


def has_begun(connection: Connection) -> bool:
    """Tell whether a run was ever begun here."""
    return bool(next(connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'streamproc_run'"))[0])


def begin(connection: Connection, identity: RunIdentity) -> None:
    """Enter a new run. Call it inside a transaction."""
    connection.execute(_SCHEMA)
    connection.execute(
        "INSERT INTO streamproc_run VALUES (?, ?, ?, ?)",
        (FORMAT, uuid.uuid4().hex, json.dumps(dict(identity.settings)), _encode(Checkpoint())),
    )


def resume(connection: Connection, identity: RunIdentity) -> Checkpoint:
    """Give the checkpoint of the run that was begun here.

    Raises:
        Refused: it is other work, with every setting that differs; or its format is not ours.
    """
    ((version, stored, checkpoint),) = connection.execute("SELECT format, identity, checkpoint FROM streamproc_run")
    if version != FORMAT:
        raise Refused(f"the run's state has format {version}, this version reads {FORMAT}")
    was, now = json.loads(stored), dict(identity.settings)
    differing = [path for path in sorted(was.keys() | now.keys()) if was.get(path) != now.get(path)]
    if differing:
        lines = "".join(f"\n  {path}: was {was.get(path)!r:.300}, now {now.get(path)!r:.300}" for path in differing)
        raise Refused(
            f"the output was begun with other settings:{lines}\n"
            "Restore them, choose another sink.path, or discard the earlier output with --overwrite"
        )
    return _decode_checkpoint(checkpoint)


def record(
    connection: Connection, outcomes: Sequence[Outcome], checkpoint: Checkpoint, segments: Iterable[Segment]
) -> None:
    """Enter what is being delivered. Call it inside a transaction; that one's commit is the commit."""
    insert(
        connection,
        "streamproc_delivered",  # as it is, with no ON CONFLICT: a second delivery must fail
        [(o.envelope.position, o.envelope.digest, isinstance(o, Completed)) for o in outcomes],
    )
    insert(connection, "streamproc_segments", [(s.file, s.start, s.stop, s.digest) for s in segments])
    connection.execute("UPDATE streamproc_run SET checkpoint = ?", (_encode(checkpoint),))


def segments_of(connection: Connection, file: str) -> Iterator[Segment]:
    """Give the committed segments of a file, in order."""
    rows = connection.execute("SELECT * FROM streamproc_segments WHERE file = ? ORDER BY start", (file,))
    return (Segment(*row) for row in rows)


def digests(connection: Connection, positions: Sequence[Position]) -> list[bytes | None]:
    """Give the digests of delivered rows: same length and order, `None` where a position was not delivered."""
    asked = json.dumps(list(positions))
    query = "SELECT position, digest FROM streamproc_delivered WHERE position IN (SELECT value FROM json_each(?))"
    known = dict(connection.execute(query, (asked,)))
    return [known.get(position) for position in positions]


def take_over(connection: Connection) -> int:
    """Begin a new epoch, and give its number. Call it inside a transaction, and `check_epoch` in each one after it."""
    epoch = _epoch(connection) + 1
    connection.execute(f"PRAGMA user_version = {epoch}")
    return epoch


def check_epoch(connection: Connection, epoch: int) -> None:
    """Make sure that nobody else has opened the output since. Call it inside a transaction, before anything is done.

    Raises:
        Refused: another process works on it, or has; what this one does must not count.
    """
    if (now := _epoch(connection)) != epoch:
        raise Refused(f"another run has taken over the output since this one opened it (opening {epoch}, now {now})")


def _epoch(connection: Connection) -> int:
    return int(next(connection.execute("PRAGMA user_version"))[0])


def run_id(connection: Connection) -> str:
    """Give the name of the run that was begun here."""
    return str(next(connection.execute("SELECT run_id FROM streamproc_run"))[0])


def tally(connection: Connection) -> Tally:
    """Count what was delivered so far."""
    query = "SELECT total(completed), count(*) - total(completed) FROM streamproc_delivered"
    ((completed, failed),) = connection.execute(query)
    return Tally(int(completed), int(failed))
