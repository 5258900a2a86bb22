"""What moves through a pipeline: records in, outcomes out, and the marks that say how far it got."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from streamproc.completions import Completion

Position = str | int
"""A source's own mark for a record; opaque to everyone else, and storable."""


class Record(Struct, frozen=True):
    """One row of input.

    Attributes:
        id: unique within a run; the row's own identifier, or its zero-based ordinal as text.
        data: its fields by name.
    """

    id: str
    data: Mapping[str, Any]


class RecordError(Struct, frozen=True):
    """Why a record has no value, as it stands in its dead letter.

    Attributes:
        type: a stable name: `unreadable_row`, `render_failed`, `rejected`, `parse_failed`, ...
        message: a sentence for a person.
        status: the HTTP status of the last attempt, where there was one.
    """

    type: str
    message: str
    status: int | None = None


class Unreadable(Struct, frozen=True):
    """A row of input that is no record: broken JSON, bad UTF-8, the wrong number of columns.

    Attributes:
        record: stands in for it: an id, and what could be read (`line`, `raw`).
        error: what is wrong with it, with its line number.
    """

    record: Record
    error: RecordError


class Row(Struct, frozen=True, gc=False):
    """What a source reads: a mark, the digest of the row's raw bytes, and the record or its unreadable stand-in."""

    position: Position
    digest: bytes
    content: Record | Unreadable


class Envelope(Struct, frozen=True, gc=False):
    """A record on its way.

    Attributes:
        record: the row itself.
        position: its source's mark.
        digest: of its raw bytes; how a later run sees that the input changed.
        sequence: its place in the ledger, from 0 in order of reading.
        accepted_at: when it was admitted, in seconds of the run's clock.
    """

    record: Record
    position: Position
    digest: bytes
    sequence: int
    accepted_at: float


class Completed(Struct, frozen=True):
    """A record that has its value.

    Attributes:
        envelope: the record.
        value: what `Task.parse` made of the completion.
        completion: the answer itself, with its original usage even when it came from the cache.
        origin: `model` for the one record that paid for the call; `cache` for one served by an earlier or shared call.
        attempts: calls made for this record, 0 where it paid for none.
    """

    envelope: Envelope
    value: Any
    completion: Completion
    origin: Literal["cache", "model"]
    attempts: int


class Failed(Struct, frozen=True):
    """A record that has no value and will not get one in this run: a dead letter.

    Attributes:
        envelope: the record.
        error: why.
        attempts: calls made for it.
        completion: the answer that was paid for and could not be used, where there was one.
    """

    envelope: Envelope
    error: RecordError
    attempts: int = 0
    completion: Completion | None = None


Outcome = Completed | Failed
"""How a record ends. Every accepted record has exactly one."""


class Checkpoint(Struct, frozen=True):
    """How far a run got: everything up to and including `low` is delivered, and everything in `above`; nothing else.

    Attributes:
        low: the last position of the delivered beginning, in the source's order; `None` while there is none.
        above: delivered positions beyond it, in the source's order.
    """

    low: Position | None = None
    above: tuple[Position, ...] = ()


class RunIdentity(Struct, frozen=True):
    """What makes two runs the same work: every setting that changes what an output row means.

    Attributes:
        settings: by path (`llm.model`), each as text. Sizes, limits and deadlines are not among them.
    """

    settings: Mapping[str, str]
