"""JSON Lines: one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from streamproc.config import check_path
from streamproc.sources.file_source import FileSource, RawRow
from streamproc.sources.lines import LineFile
from streamproc.sources.source import SourceConfig

_decode = msgspec.json.Decoder().decode


class JsonlParser:
    """Split at `\\n` only; a carriage return before it, blank lines and a byte order mark are passed over."""

    def __init__(self, file: LineFile) -> None:
        self._file = file

    def rows(self) -> Iterator[RawRow]:
        """Give each line that is not blank."""
        for line in self._file.lines():
            if line.oversize:
                yield RawRow(line.number, line.raw, f"{line.oversize} bytes, more than a row may have")
            elif raw := line.raw.strip(b" \t\r"):
                yield RawRow(line.number, raw)

    def fields(self, row: RawRow) -> dict[str, object]:
        """Decode a JSON object."""
        try:
            value = _decode(row.raw)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(value, dict):
            raise ValueError(f"a JSON object is needed, got {type(value).__name__}")  # noqa: TRY004 - bad data, not a bug
        return value


class JsonlSource(FileSource):
    """Read a JSON Lines file: UTF-8, one object a line.

    Args:
        path: the file.
        id_field: the field that holds a row's id; without it the id is the zero-based ordinal of the row, as text.
    """

    def __init__(self, path: str | Path, id_field: str | None = None) -> None:
        super().__init__(Path(path), id_field, JsonlParser, {"type": "jsonl"})


class JsonlSourceConfig(SourceConfig, frozen=True, kw_only=True):
    """`source: {type: jsonl, path: ..., id_field: ...}`.

    Attributes:
        path: the file.
        id_field: the field that holds a row's id, if any.
    """

    path: str
    id_field: str | None = None

    def check(self) -> None:
        check_path("path", self.path)

    def build(self) -> JsonlSource:
        """Make the source."""
        return JsonlSource(self.path, self.id_field)
