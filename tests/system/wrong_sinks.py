"""Sinks that are wrong on purpose, each in one way that reads well: whoever looks for crash bugs must find them."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from streamproc._sqlite import Connection, transaction
from streamproc.records import Checkpoint, Completed, Outcome
from streamproc.sinks import run_state
from streamproc.sinks.append_file import AppendFile, Segment
from streamproc.sinks.durable import dead_letters_path
from streamproc.sinks.jsonl import JsonlSink


class OffsetFirst(JsonlSink):
    """Commits how far the file reaches before it writes that far."""

    def _commit(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint, connection: Connection) -> None:
        planned: list[tuple[AppendFile, int, bytes]] = []
        for file in self.files():
            file.append = lambda data, file=file: _only_planned(file, data, planned)
            file.sync = lambda: None
        super()._commit(outcomes, checkpoint, connection)
        for file in self.files():
            del file.append, file.sync
        for file, start, data in planned:
            file.create()
            os.pwrite(file._fd, data, start)
            file.sync()


def _only_planned(file: AppendFile, data: bytes, planned: list[tuple[AppendFile, int, bytes]]) -> Segment:
    planned.append((file, file._end, data))
    return Segment(file.name, file._end, file._end + len(data), hashlib.blake2b(data, digest_size=16).digest())


class KeepsTheTail(JsonlSink):
    """Appends after whatever it finds in the file, committed or not."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._rows = _NeverCut("rows", path)


class _NeverCut(AppendFile):
    def open(self, segments: Iterable[Segment]) -> None:
        self.create()
        self._end = self.path.stat().st_size


class CheckpointFirst(JsonlSink):
    """Records rows as delivered before it appends them, and the file's new end after."""

    def _commit(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint, connection: Connection) -> None:
        completed = [outcome for outcome in outcomes if isinstance(outcome, Completed)]
        failed = [outcome for outcome in outcomes if not isinstance(outcome, Completed)]
        with transaction(connection):
            run_state.record(connection, outcomes, checkpoint, [])
        segments = self.append(completed, failed)
        with transaction(connection):
            run_state.record(connection, [], checkpoint, segments)
        self.settle(segments)


class Homeless(JsonlSink):
    """Offers no folder for the run's own files, so that paid answers are kept in memory only."""

    @property
    def home(self) -> None:
        return None


class Unflushed(JsonlSink):
    """Never flushes what it appends."""

    def files(self) -> list[AppendFile]:
        for file in (files := super().files()):
            file.sync = lambda: None
        return files


class Nameless(JsonlSink):
    """Flushes what it appends, but not the folder that has the files' names."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._rows, self._dead = _NeverNamed("rows", path), _NeverNamed("dead_letters", dead_letters_path(path))


class _NeverNamed(AppendFile):
    def create(self) -> None:
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


BY_NAME = {
    "offset-first": OffsetFirst,
    "keeps-the-tail": KeepsTheTail,
    "checkpoint-first": CheckpointFirst,
    "homeless": Homeless,
}
"""Wrong in a way that a kill shows."""
BY_NAME_WITHOUT_POWER = {"unflushed": Unflushed, "nameless": Nameless}
"""Wrong in a way that only the loss of power shows."""
