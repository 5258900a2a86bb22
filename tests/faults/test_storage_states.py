"""What sinks make of files that are not as they left them, and of folders that are not theirs."""

import asyncio
import errno
import fcntl
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc import _sqlite
from streamproc._sqlite import Connection, Database, transaction
from streamproc.errors import Refused, StorageBlocked, StorageFailed
from streamproc.records import Checkpoint
from streamproc.sinks import append_file
from streamproc.sinks.durable import DurableSink
from streamproc.sinks.jsonl import JsonlSink
from streamproc.sinks.sqlite import SqliteSink
from tests.faults.test_storage_fencing import RUN, appended, outcome

KINDS = pytest.mark.parametrize("make", [JsonlSink, SqliteSink])
PAGE = 4096
OURS = 0x53545250


def place(make: type[DurableSink], folder: Path) -> tuple[Path, Path]:
    """Give an output and the file of its state."""
    path = folder / ("out.jsonl" if make is JsonlSink else "out.db")
    return path, path if make is SqliteSink else path.with_name(path.name + ".streamproc") / "state.db"


async def deliver(sink: DurableSink, numbers: range) -> Checkpoint | None:
    async with sink:
        checkpoint = await sink.open(RUN)
        for number in numbers:
            await sink.write([outcome(number, failed=number % 5 == 4)], Checkpoint(number))
        return checkpoint


@pytest.mark.fault(8)
@KINDS
def test_whichever_page_of_a_state_is_overwritten_nothing_is_lost_unseen(
    make: type[DurableSink], tmp_path: Path, figure
) -> None:
    """With any one page overwritten the next run is refused, or delivers what is due; it never begins again from less
    than was committed, and never delivers anything twice."""
    path, state = place(make, tmp_path)
    asyncio.run(deliver(make(path), range(100)))
    sound, before = state.read_bytes(), appended(path)
    refused = 0
    for page in range(len(sound) // PAGE):
        state.write_bytes(sound[: page * PAGE] + b"\xaa" * PAGE + sound[(page + 1) * PAGE :])
        for sidecar in ("-wal", "-shm"):
            state.with_name(state.name + sidecar).unlink(missing_ok=True)
        try:
            assert asyncio.run(deliver(make(path), range(100, 103))) == Checkpoint(99)
        except (Refused, StorageFailed):
            refused += 1
        for file, content in zip([Path(f"{path}.dead.jsonl"), path], before, strict=False):
            left = file.read_bytes()
            assert left[: len(content)] == content
            file.write_bytes(content)
    figure.add(refused, "overwritten pages of a state refused")
    figure.add(len(sound) // PAGE - refused, "harmless")
    assert refused > 3


@pytest.mark.fault(14)
@KINDS
def test_a_folder_of_another_user_is_refused(make: type[DurableSink], tmp_path: Path) -> None:
    """Where this user may not write, or not even look, opening fails as a disk does, and leaves nothing behind."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    for mode in (0o755, 0o700):
        folder = tmp_path / f"{mode:o}"
        folder.mkdir(mode)
        os.seteuid(65534)
        try:
            with pytest.raises(StorageFailed, match="Permission denied"):
                asyncio.run(deliver(make(place(make, folder)[0]), range(1)))
        finally:
            os.seteuid(0)
        assert list(folder.iterdir()) == []


class SmallOs:
    """The `os` of a disk that has room for so many bytes.

    Attributes:
        room: how many more.
    """

    def __init__(self) -> None:
        self.room = 10**9

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.pwrite(fd, data[: self.room], offset)
        self.room -= written
        return written


@pytest.mark.fault(9)
@settings(max_examples=40)
@given(rooms=st.lists(st.integers(0, 250), min_size=1, max_size=4))
def test_what_was_half_written_is_cut_off_and_written_again(
    tmp_path_factory: pytest.TempPathFactory, rooms: list[int]
) -> None:
    """However much of a commit's rows and dead letters was written when room ran out, and however often: it is cut off
    at once, and the same call writes all of it once there is room."""
    path = tmp_path_factory.mktemp("full") / "out.jsonl"
    disk = SmallOs()

    async def main() -> None:
        async with JsonlSink(path) as sink:
            await sink.open(RUN)
            await sink.write([outcome(0), outcome(1, failed=True)], Checkpoint(1))
            before = appended(path)
            for disk.room in rooms:
                with pytest.raises(StorageBlocked, match=r"out\.jsonl.*: No space left"):
                    await sink.write([outcome(2), outcome(3, failed=True)], Checkpoint(3))
                assert appended(path) == before
            disk.room = 10**9
            await sink.write([outcome(2), outcome(3, failed=True)], Checkpoint(3))
            assert [len(after) for after in appended(path)] == [2 * len(content) for content in before]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(append_file, "os", disk)
        asyncio.run(main())
    assert asyncio.run(deliver(JsonlSink(path), range(0))) == Checkpoint(3)


async def with_database(path: Path, work: str) -> list[object]:
    database = await Database(path, OURS).open()
    try:

        def do(connection: Connection) -> list[object]:
            with transaction(connection):
                return list(connection.execute(work))

        return await database.run(do)
    finally:
        await database.aclose()


@pytest.mark.fault(4)
@pytest.mark.parametrize("torn", [b"\0" * PAGE, b"\xaa" * PAGE, b""])
def test_a_torn_first_page_is_mended_from_the_log(torn: bytes, tmp_path: Path) -> None:
    """A database of ours whose first page was torn while its log was carried over opens, with all that was committed;
    another program's is refused all the same, and so is one of ours without its log."""
    whole, path = tmp_path / "whole.db", tmp_path / "torn.db"

    async def main() -> None:
        database = await Database(whole, OURS).open()
        await database.run(lambda connection: connection.execute("CREATE TABLE t AS SELECT 7 AS n"))
        shutil.copy(f"{whole}-wal", f"{path}-wal")
        content = whole.read_bytes()
        path.write_bytes(torn + content[len(torn) :])
        await database.aclose()
        assert await with_database(path, "SELECT n FROM t") == [(7,)]

    asyncio.run(main())
    if torn:
        path.write_bytes(torn)
        with pytest.raises(Refused, match="another program"):
            asyncio.run(with_database(path, "SELECT 1"))
        shutil.copy(whole, path)
        path.with_name("torn.db-wal").write_bytes(bytes(8192))
        assert asyncio.run(with_database(path, "SELECT n FROM t")) == [(7,)]


def test_a_new_database_has_its_name_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever dies while a database is made leaves nothing under its name, and the next one is not disturbed."""
    path = tmp_path / "state.db"

    def die(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "rename", die)
    with pytest.raises(StorageFailed):
        asyncio.run(with_database(path, "SELECT 1"))
    monkeypatch.undo()
    assert not path.exists()
    assert asyncio.run(with_database(path, "SELECT 1")) == [(1,)]
    assert [file.name for file in tmp_path.iterdir()] == ["state.db"]


@pytest.mark.fault(12)
def test_after_a_failure_a_database_does_nothing_more(tmp_path: Path) -> None:
    """Once a write has failed, no other is begun: it might flush anew what is lost already."""

    def fail(_: Connection) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def main() -> None:
        database = await Database(tmp_path / "state.db", OURS).open()
        begun: list[Connection] = []
        try:
            with pytest.raises(StorageFailed, match="Input/output error"):
                await database.run(fail)
            with pytest.raises(StorageFailed, match="earlier write failed"):
                await database.run(begun.append)
            assert begun == []
        finally:
            await database.aclose()

    asyncio.run(main())


@pytest.mark.fault(21)
def test_a_locked_database_is_something_to_wait_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that another's lock keeps out for too long may be made again, and then succeeds."""
    monkeypatch.setattr(_sqlite, "BUSY_SECONDS", 0.05)
    path = tmp_path / "out.db"

    async def main() -> None:
        async with SqliteSink(path) as sink:
            await sink.open(RUN)
            with closing(_sqlite.apsw.Connection(str(path))) as other:  # another SQLite in one process knows no locks
                other.execute("BEGIN EXCLUSIVE")
                for _ in range(2):
                    with pytest.raises(StorageBlocked, match="locked"):
                        await sink.write([outcome(0), outcome(1, failed=True)], Checkpoint(1))
                other.execute("ROLLBACK")
            await sink.write([outcome(0), outcome(1, failed=True)], Checkpoint(1))

    asyncio.run(main())
    assert asyncio.run(deliver(SqliteSink(path), range(0))) == Checkpoint(1)


@pytest.mark.fault(7)
def test_what_lies_beside_a_new_database_is_left_alone(tmp_path: Path) -> None:
    """Making one removes no file under a name that somebody else might have given it."""
    beside = {tmp_path / f"out.db{suffix}": suffix.encode() for suffix in (".new", ".tmp", ".bak", "~", ".old")}
    for file, content in beside.items():
        file.write_bytes(content)
    asyncio.run(deliver(SqliteSink(tmp_path / "out.db"), range(3)))
    assert {file: file.read_bytes() for file in beside} == beside


@pytest.mark.fault(17)
def test_a_folder_that_somebody_has_locked_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under `flock FOLDER streamproc run`, no database can be made in that folder; that is said, and is no hang."""
    monkeypatch.setattr(_sqlite, "BUSY_SECONDS", 0.0)
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        with pytest.raises(StorageFailed, match="another process holds a lock on this folder"):
            asyncio.run(deliver(SqliteSink(tmp_path / "out.db"), range(3)))
    finally:
        os.close(folder)
    assert asyncio.run(deliver(SqliteSink(tmp_path / "out.db"), range(3))) is None


@pytest.mark.fault(12)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_new_database_that_cannot_be_flushed_is_the_end(number: int, tmp_path: Path, monkeypatch) -> None:
    """Whatever a failed flush of a new database says, it is nothing to wait for; the name is left to the next one."""
    path = tmp_path / "new.db"

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    async def begin() -> None:
        database = await Database(path, OURS).open()
        await database.aclose()

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(StorageFailed) as raised:
            asyncio.run(begin())
    assert type(raised.value) is StorageFailed
    assert not path.exists()
    asyncio.run(begin())
    assert path.exists()
