"""Output as JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from streamproc._sqlite import Connection
from streamproc.config import check_path
from streamproc.records import Completed, Failed
from streamproc.sinks import run_state
from streamproc.sinks.append_file import AppendFile, Segment
from streamproc.sinks.audit import Entry, committed_lines
from streamproc.sinks.durable import DurableSink, discard
from streamproc.sinks.rows import encode, output_row
from streamproc.sinks.sink import SinkConfig


class JsonlSink(DurableSink):
    """Append rows to a file of JSON Lines, each record exactly once whatever happens to the process.

    Args:
        path: the file; its folder must exist. State lies in `<path>.streamproc/`, dead letters in `<path>.dead.jsonl`.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(Path(path))
        self._rows = AppendFile("rows", self.path)

    def append(self, completed: Sequence[Completed], failed: Sequence[Failed]) -> list[Segment]:
        segments = super().append(completed, failed)
        if completed:
            segments.append(self._rows.append(encode(map(output_row, completed))))
            self._rows.sync()
        return segments

    def prepare_files(self) -> None:
        self._rows.create()

    def committed(self, connection: Connection) -> Iterator[Entry]:
        yield from committed_lines(self.path, list(run_state.segments_of(connection, self._rows.name)))

    def files(self) -> list[AppendFile]:
        return [*super().files(), self._rows]


class JsonlSinkConfig(SinkConfig, frozen=True, kw_only=True):
    """`sink: {type: jsonl, path: ...}`.

    Attributes:
        path: the file.
    """

    path: str

    def check(self) -> None:
        check_path("path", self.path)

    def build(self) -> JsonlSink:
        """Make the sink."""
        return JsonlSink(self.path)

    def discard(self) -> None:
        """Remove what an earlier run delivered."""
        discard(Path(self.path))
