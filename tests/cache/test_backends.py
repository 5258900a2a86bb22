"""All back ends agree, and the manager believes nothing that it cannot check."""

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiocache import SimpleMemoryCache
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.cache.aiocache.backend import AiocacheBackend
from streamproc.cache.backend import CacheBackend, LastingBackend
from streamproc.cache.envelope import cost_of, seal, unseal
from streamproc.cache.fail_open import FailOpen
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.sqlite.answers_table import ROW_OVERHEAD_BYTES
from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.cache.tiered import TieredBackend
from tests.cache.laws import check_dict, listed_operations, names

Make = Callable[[Path], CacheBackend]
MAKERS: dict[str, Make] = {
    "memory": lambda _: MemoryBackend(10**6),
    "sqlite": lambda path: SqliteBackend(path / "c.db", 10**6),
    "tiered": lambda path: TieredBackend(MemoryBackend(2000), SqliteBackend(path / "c.db", 10**6)),
    "fail open": lambda path: FailOpen(SqliteBackend(path / "c.db", 10**6), 5.0),
}


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=25)
@given(script=listed_operations)
def test_a_back_end_is_a_dict(
    tmp_path_factory: pytest.TempPathFactory, name: str, script: list[tuple[str, Any]]
) -> None:
    """Within its bounds a back end gives back what was put, in the order that was asked, duplicates included."""

    async def main() -> None:
        async with MAKERS[name](tmp_path_factory.mktemp("cache")) as backend:
            model = await check_dict(backend, script)
            if isinstance(backend, LastingBackend):
                assert (await backend.measure()).entries == len(model)
            elif name == "memory":
                assert backend.metrics().entries == len(model)
            await backend.aclose()
            await backend.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("name", MAKERS)
def test_a_prefix_is_the_beginning_and_nothing_else(tmp_path: Path, name: str) -> None:
    """Deleting by prefix takes no pattern, tells cases apart, and leaves keys that hold the prefix further on."""

    async def main() -> None:
        async with MAKERS[name](tmp_path) as backend:
            gone, kept = ["a%", "a%b", "a%\0"], ["ba%", "a", "ab", "A%", ""]
            await backend.put_many(dict.fromkeys([*kept, *gone], b"v"), ttl=None)
            await backend.delete_prefix("a%")
            assert await backend.get_many([*gone, *kept]) == [None] * 3 + [b"v"] * 5

    asyncio.run(main())


def test_a_back_end_that_cannot_list_its_keys_says_so() -> None:
    """Deleting by prefix is refused by name, never passed over: what was to be forgotten is still there."""
    with pytest.raises(NotImplementedError, match="AiocacheBackend cannot tell"):
        asyncio.run(AiocacheBackend(SimpleMemoryCache()).delete_prefix("a"))


def in_sqlite(path: Path, work: Callable[[SqliteBackend], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with SqliteBackend(path, **{"max_bytes": 10**6, **options}) as backend:
            await work(backend)

    asyncio.run(main())


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 300)), max_size=60), st.integers(500, 5000), st.booleans())
def test_the_file_stays_within_its_bound(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[int, int]], most: int, counted: bool
) -> None:
    """After every write the counted bytes are the sum of the entries and within the bound; the newest survives."""

    async def work(backend: SqliteBackend) -> None:
        for key, size in puts:
            await backend.put_many({str(key): b"x" * size}, ttl=None)
            metrics = await backend.measure() if counted else backend.metrics()
            assert metrics.current_bytes <= most or metrics.entries == 1
            if not counted:  # until it is filed, what replaces a filed entry counts beside that
                continue
            found = await backend.get_many([str(n) for n in range(31)])
            held = [len(value) + ROW_OVERHEAD_BYTES for value in found if value is not None]
            assert (sum(held), len(held)) == (metrics.current_bytes, metrics.entries)
            assert found[key] is not None

    in_sqlite(tmp_path_factory.mktemp("bound") / "c.db", work, max_bytes=most)


def test_answers_outlive_the_process_until_their_time_is_over(tmp_path: Path) -> None:
    """Another opening finds what was put, not what has expired; prune removes that."""
    now = 1000.0

    async def put(backend: SqliteBackend) -> None:
        await backend.put_many({"short": b"1"}, ttl=10)
        await backend.put_many({"long": b"2"}, ttl=None)

    async def get(backend: SqliteBackend) -> None:
        assert await backend.get_many(["long", "short"]) == [b"2", None]
        assert await backend.prune() == 1
        assert await backend.prune() == 0

    in_sqlite(tmp_path / "c.db", put, wall=lambda: now)
    in_sqlite(tmp_path / "c.db", get, wall=lambda: now + 10)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_two_processes_share_a_file(tmp_path: Path) -> None:
    """What one writes the other reads, and the count of bytes holds for both."""

    async def main() -> None:
        path = tmp_path / "c.db"
        async with SqliteBackend(path, 10**6) as one, SqliteBackend(path, 10**6) as two:
            await asyncio.gather(*(side.put_many({f"{n}": b"v"}, ttl=None) for n in range(40) for side in (one, two)))
            assert await two.get_many(["3", "39"]) == [b"v", b"v"]
            await one.put_many({"last": b"v"}, ttl=None)
            assert await two.get_many(["last"]) == [b"v"]
            assert (await one.measure()).entries == 41

    asyncio.run(main())


def test_many_writers_go_into_few_transactions(tmp_path: Path) -> None:
    """Writes that come while another is made durable share the next flush, and each returns only once it is durable."""
    commits: list[int] = []

    class Counting(SqliteBackend):
        def _put(self, connection: Any, group: Any) -> None:
            commits.append(len(group))
            super()._put(connection, group)

    async def main() -> None:
        async with Counting(tmp_path / "c.db", 10**6) as backend:

            async def one(n: int) -> None:
                await backend.put_many({str(n): b"v"}, ttl=None)
                assert await backend.get_many([str(n)]) == [b"v"]

            await asyncio.gather(*(one(n) for n in range(200)))

    asyncio.run(main())
    assert sum(commits) == 200
    assert len(commits) < 20


def test_a_cancelled_writer_harms_nobody(tmp_path: Path) -> None:
    """Cancelling one who waits for a flush neither loses the others' writes nor its own."""

    async def work(backend: SqliteBackend) -> None:
        tasks = [asyncio.ensure_future(backend.put_many({str(n): b"v"}, ttl=None)) for n in range(5)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await backend.get_many([str(n) for n in range(5)]) == [b"v"] * 5

    in_sqlite(tmp_path / "c.db", work)


def test_the_newest_entries_never_make_room(tmp_path: Path) -> None:
    """So many answers as may be paid for and not delivered yet stay, even beyond the bound."""

    async def work(backend: SqliteBackend) -> None:
        for number in range(50):
            await backend.put_many({str(number): b"x" * 100}, ttl=None)
        found = await backend.get_many([str(number) for number in range(50)])
        assert [value is not None for value in found] == [False] * 40 + [True] * 10

    in_sqlite(tmp_path / "c.db", work, max_bytes=500, keep_newest=10)


payloads = st.binary(max_size=50)


@given(names, payloads, st.floats(0, 1e6), st.floats(0), st.data())
def test_any_doubt_is_a_miss(key: str, payload: bytes, expires: float, cost: float, data: st.DataObject) -> None:
    """A sealed value is read back under its key while it lives; a changed bit, another key or late hour, never."""
    sealed = seal(key, payload, expires, cost)
    assert unseal(key, sealed, expires - 1) == payload
    assert unseal(key, sealed, expires) is None
    assert unseal(key + "'", sealed, expires - 1) is None
    assert cost_of(sealed) == pytest.approx(min(cost, 3e38), rel=1e-6, abs=1e-40)
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    changed = bytearray(sealed)
    changed[bit // 8] ^= 1 << bit % 8
    assert unseal(key, bytes(changed), -1.0) is None
    rubbish = data.draw(st.binary(max_size=80))
    assert unseal(key, rubbish, 0.0) is None
    assert 0 <= cost_of(rubbish) < float("inf")
    assert unseal(key, sealed[: data.draw(st.integers(0, len(sealed) - 1))], expires - 1) is None
