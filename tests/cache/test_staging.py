"""Entries on their way into the table of a SQLite cache: as safe, as visible and as mortal as those in it."""

import asyncio
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.cache.sqlite.backend import STAGED_SHARE, SqliteBackend
from streamproc.errors import StorageBlocked

MOST = 1_000_000
KEYS = tuple("abcdef")
sides = st.sampled_from([0, 1])
values = st.builds(lambda byte, size: bytes([byte]) * size, st.integers(0, 255), st.sampled_from([0, 10, 60_000]))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), sides, st.dictionaries(st.sampled_from(KEYS), values, min_size=1, max_size=4)),
        st.tuples(st.just("delete"), sides, st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)),
        st.tuples(st.sampled_from(["clear", "measure", "reopen", "leave"]), sides, st.none()),
    ),
    max_size=20,
)


def staged(path: Path) -> int:
    """Count the staged groups, as somebody else sees the file."""
    connection = apsw.Connection(str(path))
    ((number,),) = connection.execute("SELECT count(*) FROM staged")
    connection.close()
    return int(number)


@settings(max_examples=60)
@given(steps)
def test_two_that_share_a_file_see_one_dictionary(tmp_path_factory: pytest.TempPathFactory, script: list[Any]) -> None:
    """Whoever puts, deletes, clears, counts, closes or is killed: both find at once what was put last, and no more."""
    path = tmp_path_factory.mktemp("staging") / "c.db"

    async def main() -> None:
        model: dict[str, bytes] = {}
        both = [SqliteBackend(path, MOST), SqliteBackend(path, MOST)]
        left: list[SqliteBackend] = []
        for side in both:
            await side.open()
        for what, number, given_ in script:
            side = both[number]
            if what == "put":
                await side.put_many(given_, ttl=None)
                model |= given_
            elif what == "delete":
                await side.delete_many(given_)
                for key in given_:
                    model.pop(key, None)
            elif what == "clear":
                await side.clear()
                model.clear()
            elif what == "measure":
                assert (await side.measure()).entries == len(model)
            else:
                left.append(side)
                if what == "reopen":
                    await left.pop().aclose()
                both[number] = SqliteBackend(path, MOST)
                await both[number].open()
            for each in both:
                assert await each.get_many(KEYS) == [model.get(key) for key in KEYS]
        for each in both + left:
            await each.aclose()

    asyncio.run(main())


def test_groups_are_filed_once_they_are_many(tmp_path: Path) -> None:
    """What is staged is bounded, is filed in one go, and is there after a kill as it was before."""
    path = tmp_path / "c.db"
    size = MOST // STAGED_SHARE // 4

    async def main() -> None:
        killed, next_one = SqliteBackend(path, MOST), SqliteBackend(path, MOST)
        await killed.open()
        counts = []
        for number in range(9):
            await killed.put_many({f"{number}": bytes(size)}, ttl=None)
            counts.append(staged(path))
        assert counts == [1, 2, 3, 0, 1, 2, 3, 0, 1]
        await next_one.open()
        assert await next_one.get_many([f"{number}" for number in range(9)]) == [bytes(size)] * 9
        await next_one.aclose()
        await killed.aclose()

    asyncio.run(main())


@settings(max_examples=60)
@given(st.permutations([f"{number:02}" for number in range(24)]), st.integers(1, 30), st.sets(st.integers(1, 23)))
def test_the_newest_are_filed_by_age(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], newest: int, lookers: set[int]
) -> None:
    """Whoever counts beside a writer, its newest entries are the last to make room, in their order. Of those that were
    too many to be staged, the older ones are in the order of their keys."""
    path = tmp_path_factory.mktemp("staging") / "c.db"
    size = MOST // STAGED_SHARE // 7

    async def main() -> None:
        async with SqliteBackend(path, MOST, keep_newest=newest) as writer, SqliteBackend(path, MOST) as looker:
            for number, key in enumerate(keys):
                if number in lookers:
                    await looker.measure()
                await writer.put_many({key: bytes(size)}, ttl=None)
                if not staged(path):
                    filings.append(number + 1)
                assert order(path)[-newest:] == keys[: number + 1][-newest:]

    filings: list[int] = []
    asyncio.run(main())
    if filings and not lookers:
        first = order(path)[: max(0, filings[0] - newest)]
        assert first == sorted(first)


def order(path: Path) -> list[str]:
    """Give the keys from the first to make room to the last: what is filed, then what is staged."""
    connection = apsw.Connection(str(path))
    filed = [str(key) for (key,) in connection.execute("SELECT key FROM entries ORDER BY id")]
    bodies = [body for (body,) in connection.execute("SELECT body FROM staged ORDER BY id")]
    connection.close()
    return filed + [key for body in bodies for key in msgspec.msgpack.decode(body)]


def test_what_expires_while_staged_hides_what_was_filed(tmp_path: Path) -> None:
    """An entry whose time is over is missing, also where an older one of that key was filed."""
    now = 1000.0

    async def main() -> None:
        async with SqliteBackend(tmp_path / "c.db", MOST, wall=lambda: now) as backend:
            await backend.put_many({"a": b"old", "b": b"old"}, ttl=None)
            await backend.measure()
            await backend.put_many({"a": b"new"}, ttl=10)
            assert await backend.get_many(["a", "b"]) == [b"new", b"old"]
            later()
            assert await backend.get_many(["a", "b"]) == [None, b"old"]

    def later() -> None:
        nonlocal now
        now += 20

    asyncio.run(main())


def test_a_damaged_group_is_missing_and_harms_no_other(tmp_path: Path) -> None:
    """Whichever byte of a group is another: nothing is raised, the other groups and the file are whole."""
    path = tmp_path / "c.db"

    async def main() -> None:
        async with SqliteBackend(path, MOST) as backend:
            await backend.put_many({"a": b"1"}, ttl=None)
            await backend.put_many({"b": b"2"}, ttl=None)
        connection = apsw.Connection(str(path))
        ((body,),) = connection.execute("SELECT body FROM staged WHERE id = 1")
        assert isinstance(body, bytes)
        for place in range(len(body)):
            for byte in (0x00, 0xC1, 0xFF, body[place] ^ 0x80):
                damaged = body[:place] + bytes([byte]) + body[place + 1 :]
                connection.execute("UPDATE staged SET body = ? WHERE id = 1", (damaged,))
                async with SqliteBackend(path, MOST) as backend:
                    _, other = await backend.get_many(["a", "b"])
                    assert other == b"2"
        connection.close()

    asyncio.run(main())
    assert [file.name for file in tmp_path.iterdir() if "damaged" in file.name] == []


@pytest.mark.parametrize("groups", [[1], [1, 1], [150], [150, 101], [2500]])
def test_a_full_disk_undoes_what_was_staged_and_no_more(tmp_path: Path, groups: list[int]) -> None:
    """Where there is no room, for a row or to file all, nothing is written, and the same may be tried again."""
    path, value = tmp_path / "c.db", bytes(4000)

    async def room(backend: SqliteBackend, pages: int) -> None:
        limit = f"PRAGMA max_page_count = {pages}"  # never below what there is: then nothing more is to be had
        await backend._database.run(lambda connection: list(connection.execute(limit)))

    async def main() -> None:
        async with SqliteBackend(path, 10**9) as backend:
            await backend.put_many({"first": value}, ttl=None)
            for number, size in enumerate(groups):
                items = {f"{number} {n}": value for n in range(size)}
                await room(backend, 1)
                with pytest.raises(StorageBlocked):
                    await backend.put_many(items, ttl=None)
                await room(backend, 10**6)
                await backend.put_many(items, ttl=None)
                assert (await backend.get_many([*items, "first"])) == [value] * (size + 1)
            assert (await backend.measure()).entries == 1 + sum(groups)

    asyncio.run(main())
