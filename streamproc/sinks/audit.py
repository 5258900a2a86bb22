"""What stands in an output, boiled down so that it can be compared with the input it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from streamproc.records import Checkpoint
from streamproc.sinks.append_file import Segment
from streamproc.sinks.sink import Tally

Entry = bytes
"""A digest of a row's id and input, 16 bytes: equal for the row and for the record that it came from."""

_canonical = msgspec.json.Encoder(order="deterministic", enc_hook=str)


class Audit(Struct, frozen=True):
    """What was read back.

    Attributes:
        problems: in what the output is not what was committed, as sentences; empty if it is.
        completed: an entry for each row; empty where there are problems.
        failed: an entry for each dead letter; empty where there are problems.
        tally: how many of both the run's state says there are.
        checkpoint: what the run's state says is delivered.
    """

    problems: list[str]
    completed: list[Entry]
    failed: list[Entry]
    tally: Tally
    checkpoint: Checkpoint


def entry_of(name: str, fields: Any) -> Entry:
    """Boil down an id and the fields of its record."""
    try:
        plain = _canonical.encode((name, fields))
    except UnicodeEncodeError:
        plain = repr((name, fields)).encode("utf-8", "backslashreplace")
    return hashlib.blake2b(plain, digest_size=16).digest()


def committed_lines(path: Path, segments: Sequence[Segment]) -> Iterator[Entry]:
    """Give the entries of the committed beginning of a file of JSON lines."""
    if not segments:
        return
    with path.open("rb") as file:
        left = segments[-1].stop
        for line in file:
            left -= len(line)
            row = msgspec.json.decode(line)
            yield entry_of(row["id"], row["input"])
            if left <= 0:
                break
