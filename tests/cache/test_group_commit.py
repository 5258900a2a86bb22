"""The SQLite cache's group commit: what lingers is never lost."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from streamproc.cache.group_commit import GroupCommit
from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.errors import StorageFailed
from streamproc.simulation.virtual_time import run_virtual


async def _kept(path: Path, keys: list[str]) -> list[bytes | None]:
    async with SqliteBackend(path, 1_000_000) as cache:
        return await cache.get_many(keys)


def test_a_put_that_returned_is_on_disk_for_another_connection(tmp_path: Path) -> None:
    """When a put returns, its values can be read through another connection, and those put beside it too."""

    async def scenario() -> list[bytes | None]:
        async with SqliteBackend(tmp_path / "c.db", 1_000_000) as cache:
            async with asyncio.TaskGroup() as putters:
                for number in range(50):
                    putters.create_task(cache.put_many({str(number): b"v"}, ttl=None))
            return await _kept(tmp_path / "c.db", [str(number) for number in range(50)])

    assert asyncio.run(scenario()) == [b"v"] * 50


def test_a_cancelled_put_is_kept_all_the_same(tmp_path: Path) -> None:
    """Cancelling a put, or closing while it lingers, loses nothing that was handed over."""

    async def scenario() -> list[bytes | None]:
        async with SqliteBackend(tmp_path / "c.db", 1_000_000) as cache:
            put = asyncio.create_task(cache.put_many({"k": b"v"}, ttl=None))
            await asyncio.sleep(0)
            put.cancel()
            with pytest.raises(asyncio.CancelledError):
                await put
        return await _kept(tmp_path / "c.db", ["k"])

    assert asyncio.run(scenario()) == [b"v"]


def test_everybody_of_a_failed_group_hears_of_it() -> None:
    """Where the job of a group fails, each of its writers gets the error; the next group is another matter."""

    async def scenario() -> tuple[list[object], list[dict[str, int]]]:
        written: list[dict[str, int]] = []

        def submit(take: Callable[[], dict[str, int]]) -> asyncio.Future[None]:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            group = take()
            if "bad" in group:
                done.set_exception(StorageFailed("the disk is gone"))
            else:
                written.append(group)
                done.set_result(None)
            return done

        writes: GroupCommit[int] = GroupCommit(submit)
        ended = await asyncio.gather(writes.put({"bad": 1}), writes.put({"good": 2}), return_exceptions=True)
        await writes.put({"good": 3})
        return ended, written

    ended, written = run_virtual(scenario())
    assert [type(error) for error in ended] == [StorageFailed, StorageFailed]
    assert written == [{"good": 3}]
