"""The published formats: a row of output, and a dead letter. One JSON object a line, UTF-8."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from streamproc.completions import Usage
from streamproc.records import Completed, Failed


class OutputRow(Struct, frozen=True):
    """A record that has its value.

    Attributes:
        id: the record's.
        input: its fields.
        output: what `Task.parse` made of the answer.
        model: who answered, in its own words.
        finish_reason: why the model stopped; `length` means that the answer was cut off.
        usage: what the answer cost when it was made.
        origin: `model` if this record paid for it, `cache` if not.
        attempts: calls made for this record.
    """

    id: str
    input: Any
    output: Any
    model: str
    finish_reason: str
    usage: Usage
    origin: str
    attempts: int


class DeadLetterError(Struct, frozen=True):
    """Why a record has no value; the fields of `RecordError`, and the calls made."""

    type: str
    message: str
    status: int | None
    attempts: int


class DeadLetter(Struct, frozen=True, omit_defaults=True):
    """A record that has no value.

    Attributes:
        id: the record's.
        input: its fields, or what could be read of it.
        error: why.
        completion: the answer that was paid for and could not be used, where there was one.
    """

    id: str
    input: Any
    error: DeadLetterError
    completion: Any = None


_encoder = msgspec.json.Encoder(enc_hook=str)
_encode = _encoder.encode


def output_row(outcome: Completed) -> OutputRow:
    """Give the row of a completed record."""
    record, answer = outcome.envelope.record, outcome.completion
    return OutputRow(
        record.id,
        _plain(record.data),
        outcome.value,
        answer.model,
        answer.finish_reason,
        answer.usage,
        outcome.origin,
        outcome.attempts,
    )


def dead_letter(outcome: Failed) -> DeadLetter:
    """Give the dead letter of a failed record."""
    record, error = outcome.envelope.record, outcome.error
    reason = DeadLetterError(error.type, error.message, error.status, outcome.attempts)
    return DeadLetter(record.id, _plain(record.data), reason, outcome.completion)


def encode(rows: Iterable[OutputRow | DeadLetter]) -> bytes:
    """Give rows as lines, each with its line feed; one line whatever a row holds.

    Half of a surrogate pair, which UTF-8 cannot hold, is written as its JSON escape.
    """
    rows = list(rows)
    try:
        return _encoder.encode_lines(rows)
    except UnicodeEncodeError:
        return b"".join(encode_value(row) + b"\n" for row in rows)


def encode_value(value: Any) -> bytes:
    """Give the JSON of a value within a row."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value, enc_hook=str)).encode()


def _plain(data: Mapping[str, Any]) -> Any:
    return data if isinstance(data, dict) else dict(data)
