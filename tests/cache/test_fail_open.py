"""A cache that fails is a cache that forgets: late, refused, or not asked at all, never an error and never a wait."""

from collections.abc import Mapping, Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.cache.fail_open import FailOpen
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.tiered import TieredBackend
from streamproc.errors import CacheUnavailable, StorageFailed
from streamproc.simulation.virtual_time import run_virtual

DEADLINE = 0.25


class Moody(MemoryBackend):
    """Does what its mood says: `well`, `refuses`, `hangs`, `full` (reads, but takes no writes)."""

    def __init__(self) -> None:
        super().__init__(10**6)
        self.mood = "well"
        self.asked = 0

    @property
    def name(self) -> str:
        return "server"

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        await self._feel("refuses", "hangs")
        return await super().get_many(keys)

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        await self._feel("refuses", "hangs", "full")
        await super().put_many(items, ttl=ttl)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._feel("refuses")
        await super().delete_many(keys)

    async def _feel(self, *bad: str) -> None:
        self.asked += 1
        if self.mood in bad:
            if self.mood == "hangs":
                await anyio.sleep_forever()
            raise StorageFailed("full") if self.mood == "full" else CacheUnavailable("refused")


moods = st.sampled_from(["well", "refuses", "hangs", "full"])
steps = st.lists(st.tuples(moods, st.sampled_from(["get", "put"]), st.sampled_from("ab"), st.integers(0, 7)))


@given(steps)
def test_it_never_raises_nor_waits_beyond_its_deadline_nor_invents(script: list[tuple[str, str, str, int]]) -> None:
    """Whatever the cache inside does, a lookup gives what was stored or nothing, and nothing takes longer than the
    deadline."""

    async def main() -> None:
        inner = Moody()
        cache = FailOpen(inner, DEADLINE, clock=anyio.current_time)
        written: dict[str, set[bytes]] = {"a": set(), "b": set()}
        for number, (mood, what, key, pause) in enumerate(script):
            inner.mood = mood
            began = anyio.current_time()
            if what == "put":
                written[key].add(str(number).encode())
                await cache.put_many({key: str(number).encode()}, ttl=None)
            else:
                (found,) = await cache.get_many([key])
                assert found is None or found in written[key]
            assert anyio.current_time() - began <= DEADLINE + 1e-9
            await anyio.sleep(pause)

    run_virtual(main())


def test_what_keeps_failing_is_left_alone_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """After three failures nobody asks for five seconds; then one does; a failure is logged once, a recovery once."""

    async def main() -> None:
        inner = Moody()
        cache = FailOpen(inner, DEADLINE, clock=anyio.current_time)
        await cache.put_many({"a": b"1"}, ttl=None)
        inner.mood, inner.asked = "hangs", 0
        for _ in range(20):
            assert await cache.get_many(["a"]) == [None]
        assert inner.asked == 3
        assert anyio.current_time() == pytest.approx(3 * DEADLINE)
        assert not cache.metrics().available
        await anyio.sleep(5)
        inner.mood = "well"
        assert await cache.get_many(["a"]) == [b"1"]
        metrics = cache.metrics()
        assert (metrics.available, metrics.errors) == (True, 3)

    with caplog.at_level("WARNING", "streamproc"):
        run_virtual(main())
    assert (caplog.text.count("cache.unavailable"), caplog.text.count("cache.recovered")) == (1, 1)


def test_a_cache_that_takes_no_writes_still_answers() -> None:
    """A full server refuses writes and still answers lookups: neither keeps callers from the other."""

    async def main() -> None:
        inner = Moody()
        cache = FailOpen(inner, DEADLINE, clock=anyio.current_time)
        await cache.put_many({"a": b"1"}, ttl=None)
        inner.mood = "full"
        for _ in range(10):
            await cache.put_many({"b": b"2"}, ttl=None)
        assert await cache.get_many(["a", "b"]) == [b"1", None]
        assert inner.asked == 1 + 3 + 1

    run_virtual(main())


def test_who_deletes_must_know_whether_it_was_done() -> None:
    """Deleting and clearing raise where lookups forget."""

    async def main() -> None:
        inner = Moody()
        inner.mood = "refuses"
        with pytest.raises(CacheUnavailable):
            await FailOpen(inner, DEADLINE).delete_many(["a"])

    run_virtual(main())


def test_memory_remains_while_the_server_is_away() -> None:
    """In front of a server that fails, the memory tier goes on giving what it has, and takes what is new."""

    async def main() -> None:
        inner = Moody()
        tiers = TieredBackend(MemoryBackend(10**6), FailOpen(inner, DEADLINE, clock=anyio.current_time))
        await tiers.put_many({"a": b"1"}, ttl=None)
        inner.mood = "refuses"
        await tiers.put_many({"b": b"2"}, ttl=None)
        assert await tiers.get_many(["a", "b", "c"]) == [b"1", b"2", None]
        metrics = tiers.metrics()
        assert metrics.errors == metrics.tiers["server"].errors == 2
        assert metrics.tiers["memory"].hits == metrics.hits == 2

    run_virtual(main())


def test_a_cancelled_caller_is_no_failure() -> None:
    """Callers that leave a slow cache say nothing about it, and a probe that leaves lets the next one try."""

    async def main() -> None:
        inner = Moody()
        cache = FailOpen(inner, DEADLINE, clock=anyio.current_time)
        inner.mood = "hangs"
        for _ in range(5):
            with anyio.move_on_after(0.1):
                await cache.get_many(["a"])
        assert cache.metrics() == MemoryBackend(1).metrics()
        for _ in range(3):
            await cache.get_many(["a"])
        await anyio.sleep(5)
        with anyio.move_on_after(0.1):
            await cache.get_many(["a"])
        inner.mood, inner.asked = "well", 0
        await cache.get_many(["a"])
        assert inner.asked == 1

    run_virtual(main())
