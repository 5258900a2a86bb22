"""In which order a sink touches the disk, and what is left when it stops between two steps."""

import asyncio
import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from streamproc import _disk, _sqlite
from streamproc._sqlite import Connection, Database
from streamproc.completions import Completion, Usage
from streamproc.errors import Refused
from streamproc.records import Checkpoint, Completed, Envelope, Failed, Outcome, Record, RecordError, RunIdentity
from streamproc.sinks import append_file
from streamproc.sinks.durable import DurableSink, discard
from streamproc.sinks.jsonl import JsonlSink
from streamproc.sinks.sqlite import SqliteSink
from streamproc.testing.faults import Crash, CrashPlan

RUN = RunIdentity({"llm.model": "m"})
KINDS = pytest.mark.parametrize("make", [JsonlSink, SqliteSink])
UNLINKS = 5


def outcome(number: int, failed: bool = False) -> Outcome:
    envelope = Envelope(Record(f"r{number}", {"n": number}), number, b"d%d" % number, number, 0.0)
    if failed:
        return Failed(envelope, RecordError("rejected", "too long", 400), 1)
    completion = Completion(text="t", model="m", finish_reason="stop", usage=Usage(1, 2))
    return Completed(envelope, "v", completion, "model", 1)


async def deliver(sink: DurableSink, batch: list[Outcome]) -> Checkpoint | None:
    async with sink:
        checkpoint = await sink.open(RUN)
        if batch:
            await sink.write(batch, Checkpoint(batch[-1].envelope.sequence))
        return checkpoint


def place(make: type[DurableSink], folder: Path) -> Path:
    return folder / ("out.jsonl" if make is JsonlSink else "out.db")


def state_of(make: type[DurableSink], path: Path) -> Path:
    return path if make is SqliteSink else path.with_name(path.name + ".streamproc") / "state.db"


def lines(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()] if path.exists() else []


def rows(path: Path) -> list[str]:
    if path.suffix == ".jsonl":
        return lines(path)
    connection = sqlite3.connect(path)
    try:
        return [name for (name,) in connection.execute("SELECT id FROM results ORDER BY rowid")]
    finally:
        connection.close()


class RecordingOs:
    """The `os` of a sink, which writes down what is done to which file, and may write less than it was given."""

    def __init__(self, most: int | None = None) -> None:
        self.events: list[tuple[str, str]] = []
        self._most = most
        self._names: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, *arguments: Any) -> int:
        new = not Path(path).exists()
        fd = os.open(path, *arguments)
        self._names[fd] = Path(path).name
        if new:
            self.events.append(("create", Path(path).name))
        return fd

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        self.events.append(("write", self._names[fd]))
        return os.pwrite(fd, data if self._most is None else data[: max(1, min(self._most, len(data) // 2))], offset)

    def ftruncate(self, fd: int, length: int) -> None:
        self.events.append(("truncate", self._names[fd]))
        os.ftruncate(fd, length)

    def fsync(self, fd: int) -> None:
        self.events.append(("sync", self._names[fd]))
        os.fsync(fd)

    def commit(self) -> bool:
        self.events.append(("commit", "state"))
        return False


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> RecordingOs:
    return recorded(monkeypatch, RecordingOs())


def recorded(monkeypatch: pytest.MonkeyPatch, disk: RecordingOs) -> RecordingOs:
    for module in (append_file, _disk):
        monkeypatch.setattr(module, "os", disk)
    monkeypatch.setattr(append_file, "_sync", disk.fsync)
    return disk


@KINDS
def test_a_state_of_another_format_is_refused(tmp_path: Path, make: type[DurableSink]) -> None:
    """What another version of the state's format says is not guessed at, and is left as it is."""
    path = place(make, tmp_path)
    asyncio.run(deliver(make(path), [outcome(0)]))

    def mark(version: int) -> None:
        connection = sqlite3.connect(state_of(make, path))
        connection.execute("UPDATE streamproc_run SET format = ?", (version,))
        connection.commit()
        connection.close()

    for other in (0, 2):
        mark(other)
        with pytest.raises(Refused, match=f"format {other}, this version reads 1"):
            asyncio.run(deliver(make(path), [outcome(1)]))
        assert rows(path) == ["r0"]
    mark(1)
    assert asyncio.run(deliver(make(path), [])) == Checkpoint(0)


def test_a_commit_is_append_then_flush_then_transaction(tmp_path: Path, disk: RecordingOs) -> None:
    """Each file's bytes are durable before the one transaction that says so begins to count."""
    path = tmp_path / "out.jsonl"

    async def main() -> None:
        async with JsonlSink(path) as sink:
            await sink.open(RUN)
            await sink._database.run(lambda connection: connection.set_commit_hook(disk.commit))
            for number in (0, 2):
                disk.events.clear()
                await sink.write([outcome(number), outcome(number + 1, failed=True)], Checkpoint(number + 1))
                for file in ("out.jsonl", "out.jsonl.dead.jsonl"):
                    done = [event for event, name in disk.events if name in (file, "state") and event != "create"]
                    assert done == ["write", "sync", "commit"]

    asyncio.run(main())


@pytest.mark.fault(13)
@pytest.mark.parametrize("most", [1, 7, 10**6])
def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Where the system takes only a part of what it was given, the rest follows, and the rows are whole."""
    path = tmp_path / "out.jsonl"
    disk = recorded(monkeypatch, RecordingOs(most))
    asyncio.run(deliver(JsonlSink(path), [outcome(0), outcome(1, failed=True), outcome(2)]))
    assert disk.events.count(("write", "out.jsonl")) > 2
    assert asyncio.run(deliver(JsonlSink(path), [outcome(3)])) == Checkpoint(2)
    assert rows(path) == ["r0", "r2", "r3"]
    assert lines(Path(f"{path}.dead.jsonl")) == ["r1"]


def test_a_tail_is_cut_off_for_good(tmp_path: Path, disk: RecordingOs) -> None:
    """What is cut off at an opening is flushed there, so that no power cut brings it back behind later rows."""
    path = tmp_path / "out.jsonl"
    dead = Path(f"{path}.dead.jsonl")
    asyncio.run(deliver(JsonlSink(path), [outcome(0), outcome(1, failed=True)]))
    for file in (path, dead):
        with file.open("ab") as end:
            end.write(b'{"torn')
    disk.events.clear()
    asyncio.run(deliver(JsonlSink(path), []))
    for file in (path, dead):
        assert [event for event, name in disk.events if name == file.name] == ["truncate", "sync"]


def test_a_new_file_has_a_durable_name(tmp_path: Path, disk: RecordingOs) -> None:
    """After a file is made its folder is flushed, before anything is written to it; so is that of the run's state."""
    path = tmp_path / "out.jsonl"
    asyncio.run(deliver(JsonlSink(path), [outcome(0), outcome(1, failed=True)]))
    for file in ("out.jsonl", "out.jsonl.dead.jsonl"):
        made = disk.events.index(("create", file))
        named = disk.events.index(("sync", tmp_path.name), made)
        assert named < disk.events.index(("write", file))
    assert ("sync", "out.jsonl.streamproc") in disk.events


@KINDS
@pytest.mark.parametrize("at", range(UNLINKS + 1))
def test_a_discard_that_is_cut_off_never_mixes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: type[DurableSink], at: int
) -> None:
    """Wherever `discard` dies, the next opening finds all of the old run, none of it, or is refused; never a part."""
    path = place(make, tmp_path / "killed")
    (tmp_path / "live").mkdir()

    async def killed() -> None:
        live = place(make, tmp_path / "live")
        await deliver(make(live), [outcome(0), outcome(1, failed=True)])  # in the database; the rest in its log
        async with make(live) as sink:
            await sink.open(RUN)
            await sink.write([outcome(2), outcome(3, failed=True)], Checkpoint(3))
            shutil.copytree(tmp_path / "live", tmp_path / "killed")

    asyncio.run(killed())
    plan, unlink = CrashPlan(at), Path.unlink

    def dying(file: Path, missing_ok: bool = False) -> None:
        plan.moment()
        unlink(file, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", dying)
    if at < UNLINKS:
        with pytest.raises(Crash):
            discard(path, state_of(make, path))
    else:
        discard(path, state_of(make, path))
    assert plan.moments == min(at + 1, UNLINKS)
    monkeypatch.undo()
    dead = Path(f"{path}.dead.jsonl")
    fresh: list[Outcome] = [outcome(7), outcome(8, failed=True)]
    try:
        checkpoint = asyncio.run(deliver(make(path), fresh))
    except Refused:
        assert 0 < at < UNLINKS
        discard(path, state_of(make, path))
        checkpoint = asyncio.run(deliver(make(path), fresh))
        assert checkpoint is None
    if checkpoint is None:
        assert at > 0
        assert (rows(path), lines(dead)) == (["r7"], ["r8"])
    else:
        assert at == 0
        assert (checkpoint, rows(path), lines(dead)) == (Checkpoint(3), ["r0", "r2", "r7"], ["r1", "r3", "r8"])


def test_a_database_loses_no_commit_to_a_power_cut(tmp_path: Path) -> None:
    """Every connection flushes at each commit (synchronous FULL), into a write-ahead log; also when opened again."""

    def pragmas(connection: Connection) -> list[Any]:
        return [next(connection.execute(f"PRAGMA {name}"))[0] for name in ("synchronous", "journal_mode")]

    async def main() -> None:
        for _ in range(2):
            database = await Database(tmp_path / "state.db", 1).open()
            try:
                assert await database.run(pragmas) == [2, "wal"]
            finally:
                await database.aclose()

    asyncio.run(main())


def test_full_durability_does_not_rest_on_a_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection is set to flush at each commit, whatever SQLite was built to do unasked."""
    made = _sqlite.apsw.Connection

    def careless(name: str) -> Connection:
        connection = made(name)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(_sqlite.apsw, "Connection", careless)

    async def main() -> None:
        database = await Database(tmp_path / "state.db", 1).open()
        try:
            assert await database.run(lambda connection: next(connection.execute("PRAGMA synchronous"))[0]) == 2
        finally:
            await database.aclose()

    asyncio.run(main())
