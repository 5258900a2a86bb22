"""Sinks on a disk: what is committed stays, what is not never shows, and foreign work is left alone."""

import asyncio
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.completions import Completion, Usage
from streamproc.errors import Refused, StorageFailed
from streamproc.records import Checkpoint, Completed, Envelope, Failed, Outcome, Record, RecordError, RunIdentity
from streamproc.sinks.durable import DurableSink, discard
from streamproc.sinks.jsonl import JsonlSink
from streamproc.sinks.rows import encode, output_row
from streamproc.sinks.sqlite import SqliteSink

RUN = RunIdentity({"llm.model": "m", "llm.prompt": "P"})
KINDS = pytest.mark.parametrize("make", [JsonlSink, SqliteSink])


def outcome(number: int, value: Any = "v", failed: bool = False) -> Outcome:
    envelope = Envelope(Record(f"r{number}", {"n": number}), number, b"d%d" % number, number, 0.0)
    if failed:
        return Failed(envelope, RecordError("rejected", "too long", 400), 1)
    return Completed(
        envelope, value, Completion(text="t", model="m", finish_reason="stop", usage=Usage(1, 2)), "model", 1
    )


async def deliver(sink: DurableSink, batches: list[list[Outcome]], run: RunIdentity = RUN) -> Checkpoint | None:
    async with sink:
        checkpoint = await sink.open(run)
        for batch in batches:
            await sink.write(batch, Checkpoint(batch[-1].envelope.sequence))
        return checkpoint


def ids(path: Path) -> list[str]:
    if path.suffix == ".jsonl":
        return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        return [name for (name,) in connection.execute("SELECT id FROM results ORDER BY rowid")]
    finally:
        connection.close()


def place(make: type[DurableSink], folder: Path) -> Path:
    return folder / ("out.jsonl" if make is JsonlSink else "out.db")


@KINDS
def test_rows_and_checkpoint_come_back(tmp_path: Path, make: type[DurableSink]) -> None:
    """A second opening gives the last checkpoint, the digests, the tally and the same run id."""
    path = place(make, tmp_path)
    assert asyncio.run(deliver(make(path), [[outcome(0), outcome(1, failed=True)], [outcome(2)]])) is None

    async def again() -> None:
        async with make(path) as sink:
            assert await sink.open(RUN) == Checkpoint(2)
            assert await sink.digests([2, 7, 0]) == [b"d2", None, b"d0"]
            tally = await sink.tally()
            assert (tally.completed, tally.failed) == (2, 1)

    asyncio.run(again())
    assert ids(path) == ["r0", "r2"]
    dead = json.loads(Path(f"{path}.dead.jsonl").read_bytes())
    assert dead == {
        "id": "r1",
        "input": {"n": 1},
        "error": {"type": "rejected", "message": "too long", "status": 400, "attempts": 1},
    }


@pytest.mark.fault(5)
@given(st.binary(max_size=60) | st.just(b'{"id": "r9"}') | st.just(b"\n"), st.integers(0, 3))
def test_a_torn_tail_is_cut_off_never_skipped_never_appended_to(
    tmp_path_factory: pytest.TempPathFactory, torn: bytes, commits: int
) -> None:
    """Whatever follows the committed end, of rows and of dead letters, is gone after the next opening."""
    path = tmp_path_factory.mktemp("torn") / "out.jsonl"
    dead = Path(f"{path}.dead.jsonl")
    asyncio.run(deliver(JsonlSink(path), [[outcome(2 * n), outcome(2 * n + 1, failed=True)] for n in range(commits)]))
    whole = path.read_bytes(), dead.read_bytes() if dead.exists() else b""
    for file in (path, dead):
        with file.open("ab") as end:
            end.write(torn)
    asyncio.run(deliver(JsonlSink(path), []))
    assert (path.read_bytes(), dead.read_bytes()) == whole
    asyncio.run(deliver(JsonlSink(path), [[outcome(100), outcome(101, failed=True)]]))
    assert path.read_bytes() == whole[0] + encode([output_row(outcome(100))])  # type: ignore[arg-type]
    assert len(dead.read_bytes().splitlines()) == commits + 1


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("shorten", marks=pytest.mark.fault(6)),
        pytest.param("flip", marks=pytest.mark.fault(6)),
        pytest.param("delete", marks=pytest.mark.fault(7)),
        pytest.param("no state", marks=pytest.mark.fault(7)),
        pytest.param("another run's state", marks=pytest.mark.fault(7)),
    ],
)
def test_damaged_output_is_refused_and_left_as_it_is(tmp_path: Path, damage: str) -> None:
    """Committed bytes that are gone or changed stop the run before it writes anything, and the place is named."""
    path = tmp_path / "out.jsonl"
    asyncio.run(deliver(JsonlSink(path), [[outcome(n)] for n in range(5)]))
    data = bytearray(path.read_bytes())
    if damage == "shorten":
        path.write_bytes(data[:-1])
    elif damage == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "delete":
        path.unlink()
    else:
        (tmp_path / "out.jsonl.streamproc" / "state.db").unlink()
    if damage == "another run's state":
        asyncio.run(deliver(JsonlSink(tmp_path / "other.jsonl"), [[outcome(n, value="w")] for n in range(3)]))
        (tmp_path / "other.jsonl.streamproc" / "state.db").rename(tmp_path / "out.jsonl.streamproc" / "state.db")
    left = path.read_bytes() if path.exists() else None
    with pytest.raises(Refused, match=r"out\.jsonl"):
        asyncio.run(deliver(JsonlSink(path), []))
    assert (path.read_bytes() if path.exists() else None) == left


@pytest.mark.fault(7)
@KINDS
def test_other_settings_are_refused_with_both_values(tmp_path: Path, make: type[DurableSink]) -> None:
    """A run with another prompt or model is refused, and the message shows each difference."""
    path = place(make, tmp_path)
    asyncio.run(deliver(make(path), [[outcome(0)]]))
    other = RunIdentity({"llm.model": "m", "llm.prompt": "Q", "source.type": "csv"})
    with pytest.raises(Refused, match=r"(?s)llm\.prompt: was 'P', now 'Q'.*source\.type: was None, now 'csv'"):
        asyncio.run(deliver(make(path), [], other))


@KINDS
def test_two_runs_never_share_an_output(tmp_path: Path, make: type[DurableSink]) -> None:
    """A second opening is refused at once and says who holds the output; the first goes on."""
    path = place(make, tmp_path)

    async def main() -> None:
        async with make(path) as first:
            await first.open(RUN)
            with pytest.raises(Refused, match=f"in use by another run .process {os.getpid()}"):
                await deliver(make(path), [])
            with pytest.raises(Refused, match="in use"):
                discard(path)
            await first.write([outcome(0)], Checkpoint(0))

    asyncio.run(main())
    assert ids(path) == ["r0"]


@KINDS
def test_a_record_cannot_be_delivered_twice(tmp_path: Path, make: type[DurableSink]) -> None:
    """A second outcome for a position fails the commit as a whole, and the sink takes no more."""
    path = place(make, tmp_path)

    async def main() -> None:
        async with make(path) as sink:
            await sink.open(RUN)
            await sink.write([outcome(0)], Checkpoint(0))
            with pytest.raises(StorageFailed, match="UNIQUE"):
                await sink.write([outcome(1), outcome(0)], Checkpoint(1))
            with pytest.raises(StorageFailed, match="nothing after it is claimed"):
                await sink.write([outcome(2)], Checkpoint(2))

    asyncio.run(main())
    asyncio.run(deliver(make(path), [[outcome(3)]]))
    assert ids(path) == ["r0", "r3"]


@pytest.mark.fault(12)
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_failed_flush_is_final(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After fdatasync fails, for whatever reason, nothing is committed, nothing is tried again, and the next opening
    cuts the bytes off."""
    calls: list[int] = []

    def fail(fd: int) -> None:
        calls.append(fd)
        raise OSError(number, os.strerror(number))

    path = tmp_path / "out.jsonl"

    async def main() -> None:
        async with JsonlSink(path) as sink:
            await sink.open(RUN)
            await sink.write([outcome(0)], Checkpoint(0))
            monkeypatch.setattr("streamproc.sinks.append_file._sync", fail)
            for _ in range(2):
                with pytest.raises(StorageFailed):
                    await sink.write([outcome(1)], Checkpoint(1))

    asyncio.run(main())
    assert len(calls) == 1
    monkeypatch.undo()
    assert asyncio.run(deliver(JsonlSink(path), [])) == Checkpoint(0)
    assert ids(path) == ["r0"]


def test_a_foreign_database_is_not_touched(tmp_path: Path) -> None:
    """Another program's SQLite file, or a file that is none, is refused and stays byte for byte what it was."""
    import sqlite3

    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    text = tmp_path / "notes.db"
    text.write_text("not a database, " * 100)
    for path in (foreign, text):
        before = path.read_bytes()
        with pytest.raises(Refused, match=r"another program|no SQLite database"):
            asyncio.run(deliver(SqliteSink(path), []))
        assert path.read_bytes() == before


@KINDS
def test_everything_is_readable_by_its_owner_only(tmp_path: Path, make: type[DurableSink]) -> None:
    """Files have mode 0600 and the run folder 0700, whatever the umask."""
    earlier = os.umask(0o022)
    try:
        asyncio.run(deliver(make(place(make, tmp_path)), [[outcome(0), outcome(1, failed=True)]]))
    finally:
        os.umask(earlier)
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("text", ["\ud800 half", "nul \x00", "line\u2028separator\u0085", 'quote " \\', "\x1b[31m"])
@KINDS
def test_any_text_is_one_row(tmp_path: Path, make: type[DurableSink], text: str) -> None:
    """Half surrogates, NUL and odd line separators are written losslessly as one line of JSON."""
    path = place(make, tmp_path)
    asyncio.run(deliver(make(path), [[outcome(0, value=text)]]))
    if make is JsonlSink:
        (line,) = path.read_bytes().split(b"\n")[:-1]
        assert json.loads(line)["output"] == text
    assert ids(path) == ["r0"]


def test_discarding_keeps_paid_answers(tmp_path: Path) -> None:
    """`discard` removes output, dead letters and state, and leaves the cache."""
    path = tmp_path / "out.jsonl"
    asyncio.run(deliver(JsonlSink(path), [[outcome(0), outcome(1, failed=True)]]))
    cache = tmp_path / "out.jsonl.streamproc" / "cache.db"
    cache.write_text("paid")
    discard(path)
    left = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert left == {"cache.db", "lock"}
    assert asyncio.run(deliver(JsonlSink(path), [[outcome(0)]])) is None
