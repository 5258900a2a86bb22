"""What sources over a file share: reading on a thread, starting after what is delivered, refusing changed input.

A format adds only how bytes become rows: `Parser`.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from streamproc._thread import WorkThread
from streamproc.errors import Refused
from streamproc.records import Checkpoint, Record, RecordError, Row, Unreadable
from streamproc.sources.lines import LineFile
from streamproc.sources.source import DigestsOf, Source, changed, digest

BLOCK_ROWS = 1000
BUCKETS = 256
AHEAD_ROWS = 1024
"""Most rows read ahead of what is asked: going to the thread and back costs as much as fifty rows."""
AHEAD_BYTES = 1 << 20
"""Read no further ahead once the rows hold so many bytes."""


class RawRow(Struct, frozen=True, gc=False):
    """A row as bytes.

    Attributes:
        line: the number of its first line, from 1.
        raw: its bytes, without the line's end.
        problem: what is wrong with the bytes as such, if anything.
    """

    line: int
    raw: bytes
    problem: str | None = None


class Parser(Protocol):
    """A file format."""

    def rows(self) -> Iterator[RawRow]:
        """Split the file into rows, from its beginning; blank ones are left out."""

    def fields(self, row: RawRow) -> dict[str, object]:
        """Read a row's fields. Raise `ValueError` with a sentence if that cannot be done."""


class FileSource(Source):
    """Rows of a file under their ordinal.

    Args:
        path: the file.
        id_field: the field that holds a row's id, text or a whole number; without it the id is the ordinal.
        parser: makes the format's parser of the opened file.
        options: the format's own settings that change what is read.
    """

    def __init__(
        self, path: Path, id_field: str | None, parser: Callable[[LineFile], Parser], options: dict[str, str]
    ) -> None:
        self.path = path
        self._id_field = id_field
        self._make_parser = parser
        self._options = options
        self._thread = WorkThread("source")
        self._file: LineFile | None = None
        self._parser: Parser | None = None
        self._rows: Iterator[tuple[int, RawRow]] = iter(())
        self._ahead: deque[Row] = deque()
        self._rows_read = 0
        self._bytes_read = 0

    @property
    def identity(self) -> dict[str, str]:
        return {**self._options, "id_field": self._id_field or ""}

    async def open(self, after: Checkpoint | None, delivered: DigestsOf) -> None:
        self._ahead.clear()
        self._file = LineFile(self.path)
        self._parser = self._make_parser(self._file)
        if self._id_field is not None:
            await self._thread.run(self._refuse_duplicates)
        self._rows = enumerate(self._parser.rows())
        positions = [position for position in (after.low, *after.above) if isinstance(position, int)] if after else []
        if after is not None and positions:
            await self._compare(max(positions), delivered)
            done = after.low + 1 if isinstance(after.low, int) else 0
            self._rows = enumerate(self._parser.rows())
            await self._thread.run(lambda: next(islice(self._rows, done - 1, None), None) if done else None)

    async def _compare(self, last: int, delivered: DigestsOf) -> None:
        """Refuse input of which a delivered row is not what it was. Reads in blocks, keeps none."""
        for first in range(0, last + 1, BLOCK_ROWS):
            known = await delivered(range(first, min(first + BLOCK_ROWS, last + 1)))
            block = await self._thread.run(
                lambda: [(row, digest(row.raw)) for _, row in islice(self._rows, BLOCK_ROWS)]
            )
            for offset, was in enumerate(known):
                if was is None:
                    continue
                if offset >= len(block):
                    raise changed(f"{self.path.name}: record {first + offset}", was, None)
                row, now = block[offset]
                if was != now:
                    raise changed(f"{self.path.name} line {row.line}: record {first + offset}", was, now)

    async def read(self, limit: int) -> Sequence[Row]:
        if not self._ahead:
            self._ahead.extend(await self._thread.run(self._read_ahead))
        return [self._ahead.popleft() for _ in range(min(limit, len(self._ahead)))]

    def remaining(self) -> int | None:
        if self._file is None or not self._rows_read:
            return None
        return len(self._ahead) + round(self._file.left * self._rows_read / self._bytes_read)

    def _read_ahead(self) -> list[Row]:
        rows: list[Row] = []
        held = 0
        for ordinal, raw in islice(self._rows, AHEAD_ROWS):
            rows.append(self._row(ordinal, raw))
            held += len(raw.raw)
            if held >= AHEAD_BYTES:
                break
        self._rows_read += len(rows)
        self._bytes_read += held + len(rows)  # a line feed each
        return rows

    def _row(self, ordinal: int, raw: RawRow) -> Row:
        mark = digest(raw.raw)
        try:
            fields = self._fields(raw)
            return Row(ordinal, mark, Record(self._id_of(ordinal, fields), fields))
        except ValueError as error:
            excerpt = raw.raw[:1000].decode("utf-8", errors="replace")
            name = str(ordinal) if self._id_field is None else f"line-{raw.line}"
            stand_in = Record(name, {"line": raw.line, "raw": excerpt})
            return Row(ordinal, mark, Unreadable(stand_in, RecordError("unreadable_row", f"line {raw.line}: {error}")))

    def _fields(self, raw: RawRow) -> dict[str, object]:
        if raw.problem is not None:
            raise ValueError(raw.problem)
        assert self._parser is not None, "open() comes first"
        return self._parser.fields(raw)

    def _id_of(self, ordinal: int, fields: dict[str, object]) -> str:
        if self._id_field is None:
            return str(ordinal)
        value = fields.get(self._id_field)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise ValueError(f"id_field {self._id_field!r} must hold text or a whole number, got {value!r:.100}")
        return str(value)

    def _refuse_duplicates(self) -> None:
        """Refuse two rows with one id before anything is paid: 8 bytes of memory a row."""
        buckets = [array("Q") for _ in range(BUCKETS)]
        for _, mark in self._ids():
            buckets[mark % BUCKETS].append(mark)
        for bucket in buckets:
            ordered = sorted(bucket)
            for one, other in pairwise(ordered):
                if one == other:
                    lines = [line for line, mark in self._ids() if mark == one]
                    raise Refused(
                        f"{self.path.name}: lines {lines[0]} and {lines[1]} have the same {self._id_field!r}; "
                        "ids must be unique, or leave source.id_field out to number the records"
                    )

    def _ids(self) -> Iterator[tuple[int, int]]:
        assert self._parser is not None, "open() comes first"
        for raw in self._parser.rows():
            try:
                name = self._id_of(0, self._fields(raw))
            except ValueError:
                continue
            yield raw.line, int.from_bytes(digest(name.encode("utf-8", "surrogatepass"))[:8])

    async def aclose(self) -> None:
        self._thread.close()
        if self._file is not None:
            self._file.close()
