"""A cache file that cannot be read, cannot be locked, or is not ours: what is done with it, and what never is."""

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.errors import Damaged, Refused, StorageFailed

ENTRIES = {f"{n}": b"%d" % n * 200 for n in range(300)}


async def _filled(path: Path) -> None:
    async with SqliteBackend(path, 10**7) as backend:
        await backend.put_many(ENTRIES, ttl=None)
        await backend.measure()  # which files them


@pytest.mark.fault(26)
@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_a_damaged_cache_forgets_is_kept_aside_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, seed: int, holes: int
) -> None:
    """Whatever is overwritten in the file behind its header: nothing is raised, a lookup gives what was put or nothing,
    and if the damage was seen, the damaged file lies beside a new one, which keeps what is put.

    SQLite checks the shape of pages, not what stands in them. Damage that it does not see may hide an entry; whether
    what it shows is right, the envelope tells.
    """
    path = tmp_path_factory.mktemp("damaged") / "c.db"
    random_ = random.Random(seed)

    async def main() -> None:
        await _filled(path)
        content = bytearray(path.read_bytes())
        for _ in range(holes):
            at = random_.randrange(100, len(content))
            content[at : at + 300] = random_.randbytes(len(content[at : at + 300]))
        path.write_bytes(content)
        async with SqliteBackend(path, 10**7) as backend:
            for key, value in zip(ENTRIES, await backend.get_many(list(ENTRIES)), strict=True):
                assert value is None or len(value) <= len(ENTRIES[key]) + 400  # whether it is right, its envelope tells
            await backend.put_many({"new": b"value"}, ttl=None)
            assert (await backend.get_many(["new"]))[0] in {b"value", None}
            await backend.delete_many(["0"])
            if list(path.parent.glob("c.db.damaged-?")):
                await backend.put_many({"new": b"value"}, ttl=None)
                assert await backend.get_many(["new"]) == [b"value"]

    asyncio.run(main())


def test_damage_is_said_and_nothing_is_lost_that_lay_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A cache of which the pages are gone is renamed, byte for byte, and a warning says where to; a second damage gets
    another name."""
    path = tmp_path / "c.db"

    async def main() -> None:
        for number in (1, 2):
            await _filled(path)
            content = path.read_bytes()[:4096] + b"\xaa" * (path.stat().st_size - 4096)
            path.write_bytes(content)
            async with SqliteBackend(path, 10**7) as backend:
                assert await backend.get_many(["1"]) == [None]
                assert backend.metrics().entries == 0
            assert (tmp_path / f"c.db.damaged-{number}").read_bytes() == content

    with caplog.at_level("WARNING", "streamproc"):
        asyncio.run(main())
    said = [vars(record).get("kept_as") for record in caplog.records if record.getMessage() == "cache.damaged"]
    assert said == [str(tmp_path / "c.db.damaged-1"), str(tmp_path / "c.db.damaged-2")]


def test_two_who_find_the_same_damage_do_not_set_each_others_new_file_aside(tmp_path: Path) -> None:
    """Two that share a damaged file: one sets it aside, and both go on with the same new one."""
    path = tmp_path / "c.db"

    async def main() -> None:
        await _filled(path)
        async with SqliteBackend(path, 10**7) as one, SqliteBackend(path, 10**7) as two:
            content = path.read_bytes()
            with path.open("r+b") as file:  # the same file, so that both hold it
                file.seek(4096)
                file.write(b"\xaa" * (len(content) - 4096))
            for backend in (one, two):
                assert await backend.get_many(["1"]) == [None]
            await one.put_many({"new": b"1"}, ttl=None)
            assert await two.get_many(["new"]) == [b"1"]

    asyncio.run(main())
    assert len(list(tmp_path.glob("c.db.damaged-?"))) == 1


def test_who_comes_while_another_sets_the_file_aside_begins_the_new_one(tmp_path: Path) -> None:
    """Two find the damage; the second comes when the first has renamed the file and not made a new one yet: it makes
    that, raises nothing, and both go on with it."""
    path = tmp_path / "c.db"

    async def main() -> None:
        await _filled(path)
        async with SqliteBackend(path, 10**7) as second:
            with path.open("r+b") as file:
                file.seek(4096)
                file.write(b"\xaa" * (path.stat().st_size - 4096))
            path.rename(tmp_path / "c.db.damaged-1")  # the first, halfway
            assert await second.get_many(["1"]) == [None]
            await second.put_many({"new": b"1"}, ttl=None)
            async with SqliteBackend(path, 10**7) as first:
                assert await first.get_many(["new"]) == [b"1"]

    asyncio.run(main())
    assert len(list(tmp_path.glob("c.db.damaged-?"))) == 1


def test_a_file_that_is_no_cache_of_ours_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Text, another program's database, and one of ours with a broken header: refused, not moved, not changed."""
    text, theirs, headless = tmp_path / "tickets.csv", tmp_path / "theirs.db", tmp_path / "headless.db"
    text.write_bytes(b"certainly not SQLite " * 300)
    connection = sqlite3.connect(theirs)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()

    async def opened(path: Path) -> None:
        async with SqliteBackend(path, 10**6):
            pass

    asyncio.run(_filled(headless))
    headless.write_bytes(b"\0" * 100 + headless.read_bytes()[100:])
    for path in (text, theirs, headless):
        before = path.read_bytes()
        with pytest.raises(Refused, match="another program"):
            asyncio.run(opened(path))
        assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


HOLDER = """
import sys, time, apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(1)
connection.close()
"""


@pytest.mark.slow
def test_a_locked_cache_is_waited_for_and_never_deleted(tmp_path: Path) -> None:
    """Another process holds the lock while the cache is opened and written: both wait for it, and all is kept."""
    path = tmp_path / "c.db"
    asyncio.run(_filled(path))
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    began = time.perf_counter()

    async def main() -> None:
        async with SqliteBackend(path, 10**7) as backend:
            await backend.put_many({"new": b"value"}, ttl=None)
            assert await backend.get_many(["new", "1"]) == [b"value", ENTRIES["1"]]

    asyncio.run(main())
    assert time.perf_counter() - began >= 0.9
    assert holder.wait() == 0
    holder.stdout.close()
    assert [path.name for path in tmp_path.iterdir()] == ["c.db"]


def test_a_cache_that_cannot_be_set_aside_is_a_failed_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the damaged file cannot be renamed, the cache says so and stops."""
    path = tmp_path / "c.db"

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    async def main() -> None:
        await _filled(path)
        path.write_bytes(path.read_bytes()[:4096] + b"\xaa" * (path.stat().st_size - 4096))
        monkeypatch.setattr(Path, "rename", refuse)
        with pytest.raises(StorageFailed, match="cannot be moved: Permission denied"):
            async with SqliteBackend(path, 10**7) as backend:
                await backend.put_many({"a": b"1"}, ttl=None)

    asyncio.run(main())


def test_what_is_put_after_another_has_replaced_the_file_is_in_the_new_one(tmp_path: Path) -> None:
    """One of two finds damage and begins a new file; the other, which saw none, writes and reads there from then on,
    and its closing takes nothing away from the new file."""
    path = tmp_path / "c.db"

    async def main() -> None:
        await _filled(path)
        async with SqliteBackend(path, 10**7) as one:
            two = SqliteBackend(path, 10**7)
            await two.open()
            replaced = one._database
            replaced._set_aside(Damaged("found by one"))
            await one.put_many({"by one": b"1"}, ttl=None)
            await two.put_many({"by two": b"2"}, ttl=None)
            assert await one.get_many(["by one", "by two", "1"]) == [b"1", b"2", None]
            await two.aclose()
            await one.put_many({"after": b"3"}, ttl=None)
            async with SqliteBackend(path, 10**7) as third:
                assert await third.get_many(["by one", "by two", "after"]) == [b"1", b"2", b"3"]

    asyncio.run(main())


def test_a_put_that_meets_a_closed_cache_says_so(tmp_path: Path) -> None:
    """Whoever writes after the closing gets an error, and does not wait for ever."""

    async def main() -> None:
        backend = SqliteBackend(tmp_path / "c.db", 10**7)
        async with backend:
            await backend.put_many({"a": b"1"}, ttl=None)
        async with asyncio.timeout(5):
            with pytest.raises(StorageFailed, match="not open"):
                await backend.put_many({"b": b"1"}, ttl=None)

    asyncio.run(main())
