"""What every peer is given, and how it writes an answer down. It runs in their environments: standard library only."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

PROMPT = "Label the mood of this text as positive, negative or neutral: {text}"
MODEL = "bench"
TEMPERATURE = 0
MAX_TOKENS = 8
API_KEY = "not-checked"

Row = dict[str, Any]


class Job(NamedTuple):
    """One run.

    Attributes:
        base_url: the endpoint up to `/v1`.
        source: rows as JSON lines, each with a text.
        sink: where a line for each row is to be, with the row and its answer.
        concurrency: calls at once.
        cached: whether prompts repeat, so that a cache is worth its cost.
    """

    base_url: str
    source: str
    sink: str
    concurrency: int
    cached: bool


Peer = Callable[[Job], Awaitable[None]]
"""Does a job."""


def write_rows(path: Path, rows: int, distinct: int) -> Path:
    """Write rows with texts of about 90 characters, of which so many are distinct."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            kind = number % distinct
            text = f"Review {kind}: the parcel came two days late, but what was in it is well made and I like it."
            file.write(json.dumps({"number": number, "text": text}) + "\n")
    return path


def read_rows(job: Job) -> list[Row]:
    """Read all rows."""
    with Path(job.source).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def open_sink(job: Job) -> TextIO:
    """Open the file for the lines; nobody waits for a disk."""
    return Path(job.sink).open("w", encoding="utf-8")


def prompt_of(row: Row) -> str:
    """Give what is asked about a row."""
    return PROMPT.format(text=row["text"])


def line_of(row: Row, answer: str) -> str:
    """Give the line that is written for a row."""
    return json.dumps({"input": row, "output": answer}) + "\n"


def check(sink: Path, rows: int) -> None:
    """Make sure that each row was written once, with its answer.

    Raises:
        RuntimeError: it was not; no such run counts.
    """
    with sink.open(encoding="utf-8") as file:
        written = [json.loads(line) for line in file]
    numbers = _numbers(written)
    if numbers != list(range(rows)) or any(line["output"] != "positive" for line in written):
        raise RuntimeError(f"{rows} rows were to be answered, {sink} has {len(written)}")


def _numbers(written: Iterable[Row]) -> list[int]:
    return sorted(line["input"]["number"] for line in written)
