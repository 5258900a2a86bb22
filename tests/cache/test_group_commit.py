"""The SQLite cache's group commit: what lingers is never lost."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.cache.group_commit import LARGE, LINGER_SECONDS, GroupCommit
from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.errors import StorageFailed
from streamproc.simulation.virtual_time import run_virtual

Submit = Callable[[Callable[[], dict[str, int]]], asyncio.Future[None]]


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


def _at_once(groups: list[dict[str, int]]) -> Submit:
    """Write each group the moment it is submitted."""

    def submit(take: Callable[[], dict[str, int]]) -> asyncio.Future[None]:
        groups.append(take())
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    return submit


@given(
    st.lists(
        st.tuples(st.integers(1, 3 * LARGE), st.sampled_from([0.0, LINGER_SECONDS / 3, LINGER_SECONDS])), max_size=9
    )
)
def test_a_large_group_waits_for_nobody(arrivals: list[tuple[int, float]]) -> None:
    """Whatever comes when, all is written, within the linger; a large group as soon as nothing else happens."""

    async def scenario() -> None:
        loop, groups, waits = asyncio.get_running_loop(), list[dict[str, int]](), list[tuple[int, float]]()
        commit = GroupCommit(_at_once(groups))

        async def put(key: int, together: int) -> None:
            begun = loop.time()
            await commit.put({str(key): key})
            waits.append((together, loop.time() - begun))

        numbers = itertools.count()
        async with asyncio.TaskGroup() as putters:
            for together, pause in arrivals:
                for _ in range(together):
                    putters.create_task(put(next(numbers), together))
                await asyncio.sleep(pause)
        assert [key for group in groups for key in group.values()] == list(range(len(waits)))
        assert len(waits) == sum(together for together, _ in arrivals)
        assert all(waited <= LINGER_SECONDS for _, waited in waits)
        assert all(waited == 0 for together, waited in waits if together >= LARGE)

    run_virtual(scenario())


def test_a_small_group_lingers() -> None:
    """What is fewer than a large group waits for others all the linger, so that they share one flush."""

    async def scenario() -> tuple[float, int]:
        loop, groups = asyncio.get_running_loop(), list[dict[str, int]]()
        commit = GroupCommit(_at_once(groups))
        async with asyncio.TaskGroup() as putters:
            for number in range(LARGE - 1):
                putters.create_task(commit.put({str(number): number}))
        return loop.time(), len(groups)

    assert run_virtual(scenario()) == (LINGER_SECONDS, 1)


def test_a_large_group_that_grows_goes_together() -> None:
    """As long as a further write comes at every other turn of the event loop, a large group is not written."""

    async def scenario() -> list[int]:
        groups: list[dict[str, int]] = []
        commit = GroupCommit(_at_once(groups))
        async with asyncio.TaskGroup() as putters:
            for number in range(2 * LARGE):
                putters.create_task(commit.put({str(number): number}))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        return [len(group) for group in groups]

    assert run_virtual(scenario()) == [2 * LARGE]
