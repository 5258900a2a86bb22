"""Comma-separated values with a header (RFC 4180): quoted fields may hold commas, quotes and line breaks."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from streamproc.config import check_path
from streamproc.errors import ConfigError
from streamproc.sources.file_source import FileSource, RawRow
from streamproc.sources.lines import Line, LineFile
from streamproc.sources.source import SourceConfig

MAX_CSV_ROW_BYTES = 1 << 20
"""A quote that nobody closes must not swallow the rest of the file."""


class CsvParser:
    """Split a file into rows, each of one line or, inside quotes, several.

    A row whose quote is never closed is one bad line; reading goes on with the line after it.
    """

    def __init__(self, file: LineFile, delimiter: str) -> None:
        self._file = file
        self._delimiter = delimiter
        self._separator = delimiter.encode()
        csv.field_size_limit(max(csv.field_size_limit(), MAX_CSV_ROW_BYTES))  # the module's, for the whole process
        header = next(self._all_rows(), None)
        if header is None:
            raise ConfigError(f"source.path: {str(file.path)!r} is empty; a header line is needed")
        try:
            self._columns = self._cells(header)
        except ValueError as error:
            raise ConfigError(f"source.path: the header of {str(file.path)!r} is unreadable: {error}") from None
        if len(set(self._columns)) < len(self._columns):
            raise ConfigError(f"source.path: the header of {str(file.path)!r} names a column twice")

    def rows(self) -> Iterator[RawRow]:
        """Give each row after the header that is not blank."""
        rows = self._all_rows()
        next(rows)
        return rows

    def fields(self, row: RawRow) -> dict[str, object]:
        """Read the cells, by column."""
        cells = self._cells(row)
        if len(cells) != len(self._columns):
            raise ValueError(f"the header has {len(self._columns)} columns, this row {len(cells)}")
        return dict(zip(self._columns, cells, strict=True))

    def _cells(self, row: RawRow) -> list[str]:
        if row.problem is not None:
            raise ValueError(row.problem)
        try:
            text = row.raw.decode()
            return next(csv.reader([text], delimiter=self._delimiter, strict=True))
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from None
        except csv.Error as error:
            raise ValueError(str(error)) from None

    def _all_rows(self) -> Iterator[RawRow]:
        lines = self._file.lines()
        pending: deque[Line] = deque()
        while line := pending.popleft() if pending else next(lines, None):
            if line.oversize or len(line.raw) > MAX_CSV_ROW_BYTES:
                size = line.oversize or len(line.raw)
                yield RawRow(line.number, line.raw[:1000], f"{size} bytes, more than a row may have")
                continue
            taken, is_whole = self._with_continuation(line, pending, lines)
            if not is_whole:
                pending.extendleft(reversed(taken[1:]))
                yield RawRow(line.number, line.raw.rstrip(b"\r"), "a quoted field has no closing quote")
                continue
            raw = b"\n".join(part.raw for part in taken).rstrip(b"\r")
            if raw.strip(b" \t"):
                yield RawRow(line.number, raw)

    def _with_continuation(self, line: Line, pending: deque[Line], lines: Iterator[Line]) -> tuple[list[Line], bool]:
        """Take the lines that an open quote reaches over; tell whether they are a row."""
        taken, size = [line], len(line.raw)
        is_open = self._ends_inside_quotes(line.raw, begins_inside=False)
        while is_open:
            further = pending.popleft() if pending else next(lines, None)
            if further is None:
                return taken, False
            taken.append(further)
            size += len(further.raw)
            if further.oversize or size > MAX_CSV_ROW_BYTES:
                return taken, False
            is_open = self._ends_inside_quotes(further.raw, begins_inside=True)
        return taken, len(taken) == 1 or self._is_one_row(taken)

    def _is_one_row(self, taken: list[Line]) -> bool:
        """Tell whether several lines parse as a row; if not, a stray quote has joined what does not belong together."""
        text = b"\n".join(line.raw for line in taken).decode("utf-8", "surrogateescape")
        try:
            next(csv.reader([text], delimiter=self._delimiter, strict=True))
        except csv.Error:
            return False
        return True

    def _ends_inside_quotes(self, raw: bytes, *, begins_inside: bool) -> bool:
        """Follow the quotes of one line, as the csv module does: a quote opens a field only at its beginning."""
        if b'"' not in raw:
            return begins_inside
        at, inside = 0, begins_inside
        if not inside and raw.startswith(b'"'):
            at, inside = 1, True
        while True:
            if inside:
                at = raw.find(b'"', at) + 1
                if at == 0:
                    return True
                if raw[at : at + 1] == b'"':
                    at += 1
                    continue
                inside = False
            at = raw.find(self._separator, at) + 1
            if at == 0:
                return False
            at += len(self._separator) - 1
            if raw[at : at + 1] == b'"':
                at, inside = at + 1, True


class CsvSource(FileSource):
    """Read a CSV file with a header: UTF-8, every field is text.

    Args:
        path: the file.
        id_field: the column that holds a row's id; without it the id is the zero-based ordinal of the row, as text.
        delimiter: one character between fields.
    """

    def __init__(self, path: str | Path, id_field: str | None = None, delimiter: str = ",") -> None:
        options = {"type": "csv", "delimiter": delimiter}
        super().__init__(Path(path), id_field, lambda file: CsvParser(file, delimiter), options)


class CsvSourceConfig(SourceConfig, frozen=True, kw_only=True):
    """`source: {type: csv, path: ..., id_field: ..., delimiter: ","}`.

    Attributes:
        path: the file.
        id_field: the column that holds a row's id, if any.
        delimiter: one character between fields.
    """

    path: str
    id_field: str | None = None
    delimiter: str = ","

    def check(self) -> None:
        check_path("path", self.path)
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n\0':
            raise ConfigError(f"delimiter: must be one character, no quote and no line break, got {self.delimiter!r}")

    def build(self) -> CsvSource:
        """Make the source."""
        return CsvSource(self.path, self.id_field, self.delimiter)
