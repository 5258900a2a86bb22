"""An aiocache cache over any of our back ends: a dict with losses, in namespaces that never touch."""

import asyncio
import enum
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiocache import Cache, cached, cached_stampede, multi_cached
from aiocache.lock import OptimisticLock, OptimisticLockError, RedLock
from aiocache.plugins import HitMissRatioPlugin
from aiocache.serializers import BaseSerializer, JsonSerializer, StringSerializer
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.cache.aiocache.frontend import BackendCache
from streamproc.cache.aiocache.key_locks import locks_of
from streamproc.cache.backend import CacheBackend
from streamproc.cache.envelope import seal
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.cache.tiered import TieredBackend
from streamproc.simulation.virtual_time import run_virtual

Make = Callable[[Path], CacheBackend]
MAKERS: dict[str, Make] = {
    "memory": lambda _: MemoryBackend(10**6),
    "sqlite": lambda folder: SqliteBackend(folder / "c.db", 10**6),
    "tiered": lambda folder: TieredBackend(MemoryBackend(10**6), SqliteBackend(folder / "c.db", 10**6)),
}


class Hesitant(MemoryBackend):
    """Lets everybody else go first whenever it is asked, as a back end on the network would."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        found = await super().get_many(keys)
        await asyncio.sleep(0.001)
        return found

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        await asyncio.sleep(0.001)
        await super().put_many(items, ttl=ttl)


def with_cache(work: Callable[[BackendCache], Coroutine[Any, Any, None]], **settings: Any) -> None:
    run_virtual(work(BackendCache(MemoryBackend(10**6), **settings)))


namespaces = st.sampled_from([None, "", "a", "ab"])
keys = st.sampled_from(["b", "bc", "1", 1, True])
values = st.sampled_from([1, "1", b"1", 1.0, True, [1, {"k": None}]])
ttls = st.sampled_from([None, 0, 10, 25.5])
step = st.one_of(
    st.tuples(st.just("set"), keys, values, ttls),
    st.tuples(st.just("add"), keys, values, ttls),
    st.tuples(st.just("multi set"), st.lists(st.tuples(keys, values), max_size=3), ttls),
    st.tuples(st.just("get"), st.lists(keys, max_size=4)),
    st.tuples(st.just("exists"), keys),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("increment"), keys, st.integers(-3, 3)),
    st.tuples(st.just("expire"), keys, ttls),
    st.tuples(st.just("clear")),
    st.tuples(st.just("wait"), st.sampled_from([5.0, 20.0])),
)


class Model:
    """What a cache must be: values and deadlines by namespace and key."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.held: dict[tuple[str, Any], tuple[Any, float | None]] = {}

    def living(self, place: tuple[str, Any]) -> tuple[Any, float | None] | None:
        entry = self.held.get(place)
        return entry if entry is not None and (entry[1] is None or self.now < entry[1]) else None

    def deadline(self, ttl: float | None) -> float | None:
        return self.now + ttl if ttl else None


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=60)
@given(script=st.lists(st.tuples(namespaces, step), max_size=30))
def test_it_is_a_dict_in_each_namespace(
    tmp_path_factory: pytest.TempPathFactory, name: str, script: list[tuple[str | None, tuple[Any, ...]]]
) -> None:
    """Over any back end every operation does what a dict of (namespace, key) would, deadlines included."""
    model = Model()

    async def main() -> None:
        async with MAKERS[name](tmp_path_factory.mktemp("cache")) as backend:
            cache = BackendCache(backend, wall=lambda: model.now)
            for namespace, (operation, *arguments) in script:
                await follow(cache, model, namespace, operation, arguments)

    asyncio.run(main())


async def follow(
    cache: BackendCache, model: Model, namespace: str | None, operation: str, arguments: list[Any]
) -> None:
    space = namespace or ""
    place = (space, arguments[0]) if arguments and not isinstance(arguments[0], list) else (space, None)
    entry = model.living(place)
    if operation == "set":
        _, value, ttl = arguments
        assert await cache.set(place[1], value, ttl=ttl, namespace=namespace) is True
        model.held[place] = (value, model.deadline(ttl))
    elif operation == "add":
        _, value, ttl = arguments
        if entry is None:
            assert await cache.add(place[1], value, ttl=ttl, namespace=namespace) is True
            model.held[place] = (value, model.deadline(ttl))
        else:
            with pytest.raises(ValueError, match="there already"):
                await cache.add(place[1], value, ttl=ttl, namespace=namespace)
    elif operation == "multi set":
        pairs, ttl = arguments
        assert await cache.multi_set(pairs, ttl=ttl, namespace=namespace) is True
        model.held.update({(space, key): (value, model.deadline(ttl)) for key, value in pairs})
    elif operation == "get":
        expected = [model.living((space, key)) for key in arguments[0]]
        found = await cache.multi_get(arguments[0], namespace=namespace)
        assert [(type(value), value) for value in found] == [
            (type(None), None) if entry is None else (type(entry[0]), entry[0]) for entry in expected
        ]
    elif operation == "exists":
        assert await cache.exists(place[1], namespace=namespace) is (entry is not None)
    elif operation == "delete":
        assert await cache.delete(place[1], namespace=namespace) == (entry is not None)
        model.held.pop(place, None)
    elif operation == "increment":
        delta = arguments[1]
        if entry is None or type(entry[0]) in {int, str}:
            total = delta + (0 if entry is None else int(entry[0]))
            assert await cache.increment(place[1], delta, namespace=namespace) == total
            model.held[place] = (total, None if entry is None else entry[1])
        else:
            with pytest.raises(TypeError, match="only an integer"):
                await cache.increment(place[1], delta, namespace=namespace)
    elif operation == "expire":
        ttl = arguments[1] or 0
        assert await cache.expire(place[1], ttl, namespace=namespace) is (entry is not None)
        if entry is not None:
            model.held[place] = (entry[0], model.deadline(ttl))
    elif operation == "clear":
        assert await cache.clear(namespace=namespace) is True
        model.held = {} if namespace is None else {at: held for at, held in model.held.items() if at[0] != space}
    else:
        model.now += arguments[0]


parts = st.text("a1:", max_size=4)


@settings(max_examples=300)
@given(parts, parts, parts, parts)
def test_a_key_has_one_namespace(namespace: str, key: str, other: str, others: str) -> None:
    """Two keys are stored under one name only if both they and their namespaces are equal; so they are cleared."""

    async def work(cache: BackendCache) -> None:
        await cache.set(key, 1, namespace=namespace)
        assert await cache.exists(others, namespace=other) is ((namespace, key) == (other, others))
        await cache.clear(namespace=other)
        assert await cache.exists(key, namespace=namespace) is (namespace != other)

    with_cache(work)


def test_a_cache_with_a_namespace_clears_only_its_own() -> None:
    """`clear()` leaves every other namespace alone; only a cache without one forgets everything."""

    async def main() -> None:
        backend = MemoryBackend(10**6)
        one, other = BackendCache(backend, namespace="a"), BackendCache(backend, namespace="ab")
        await one.set("bc", 1)
        assert await other.get("c") is None
        await other.set("c", 2)
        await one.clear()
        assert (await one.get("bc"), await other.get("c")) == (None, 2)
        await BackendCache(backend).clear()
        assert backend.metrics().entries == 0

    asyncio.run(main())


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(plain)
def test_plain_data_comes_back_with_its_types(value: Any) -> None:
    """What is read equals what was stored, down to 1, 1.0, True, "1" and b"1"."""

    async def work(cache: BackendCache) -> None:
        await cache.set("k", value)
        assert repr(await cache.get("k")) == repr(value)

    with_cache(work)


class Text(str):
    """A str that carries more than its text."""


class Colour(enum.IntEnum):
    RED = 1


class Shade(enum.Enum):
    DARK = "d"


DEEP: list[Any] = []
for _ in range(10**4):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {1, 2},
        object(),
        Text("t"),
        Colour.RED,
        datetime.now(UTC),
        2**64,
        "\ud800",
        [1, (2,)],
        {(1, 2): 3},
        DEEP,
        Counter(a=1),
    ],
    ids=[
        "tuple",
        "set",
        "object",
        "str subclass",
        "enum",
        "date",
        "large int",
        "surrogate",
        "nested",
        "key",
        "deep",
        "dict subclass",
    ],
)
def test_what_would_come_back_as_something_else_is_refused(value: object) -> None:
    """Anything but plain data raises TypeError and leaves what was there."""

    async def work(cache: BackendCache) -> None:
        await cache.set("k", "before")
        with pytest.raises(TypeError, match="only plain data"):
            await cache.set("k", value)
        assert await cache.get("k") == "before"

    with_cache(work)


def test_nobody_changes_what_is_stored() -> None:
    """Neither the writer's object nor a reader's is the one in the cache."""

    async def work(cache: BackendCache) -> None:
        mine = {"list": [1]}
        await cache.set("k", mine)
        mine["list"].append(2)
        (await cache.get("k"))["list"].append(3)
        assert await cache.get("k") == {"list": [1]}

    with_cache(work)


def test_none_reads_as_a_miss_and_leaves_nothing_behind() -> None:
    """A stored None gives the default, but it exists, blocks `add`, and its deletion counts and frees it."""

    async def work(cache: BackendCache) -> None:
        await cache.set("k", None)
        assert await cache.get("k", default=7) == 7
        assert await cache.exists("k")
        with pytest.raises(ValueError, match="there already"):
            await cache.add("k", 1)
        assert await cache.delete("k") == 1
        assert (await cache.raw("metrics")).entries == 0

    with_cache(work)


def test_reading_before_writing_is_atomic() -> None:
    """Of callers at once, through two caches over one back end, no increment is lost and one add, one CAS succeeds."""

    async def main() -> None:
        backend = Hesitant(10**6)
        caches = [BackendCache(backend), BackendCache(backend)] * 10
        await asyncio.gather(*(cache.increment("n") for cache in caches), caches[0].set("other", 1))
        assert await caches[0].get("n") == 20
        added = await asyncio.gather(*(cache.add("a", 1) for cache in caches), return_exceptions=True)
        assert added.count(True) == 1
        token = await caches[0]._gets(caches[0].build_key("a"))
        swapped = await asyncio.gather(*(cache.set("a", n + 2, _cas_token=token) for n, cache in enumerate(caches)))
        assert swapped.count(True) == 1
        released = await asyncio.gather(*(cache._redlock_release(cache.build_key("n"), 20) for cache in caches))
        assert sum(released) == 1
        expired = await asyncio.gather(caches[0].expire("a", 60), caches[1].set("a", "newest"))
        assert expired == [True, True]
        assert await caches[0].get("a") == "newest"
        await asyncio.gather(caches[0].increment("m"), caches[1].multi_set([("m", 100)]))
        assert await caches[0].get("m") in {100, 101}
        crossing = (caches[n % 2].multi_set([("x", n), ("y", n)][:: 1 - n % 2 * 2]) for n in range(10))
        await asyncio.gather(*crossing, *(cache.delete("x") for cache in caches))
        assert len(locks_of(backend)._locks) == 0

    run_virtual(main())


def test_a_counter_keeps_its_deadline() -> None:
    """`increment` neither prolongs nor removes a deadline, `expire` sets a new one, and 0 removes it."""
    now = 0.0

    async def work(cache: BackendCache) -> None:
        nonlocal now
        await cache.set("n", 1, ttl=10)
        now = 6.0
        assert await cache.increment("n") == 2
        now = 10.0
        assert await cache.get("n") is None
        assert await cache.increment("n") == 1
        assert await cache.expire("n", 5)
        now = 14.9
        assert await cache.expire("n", 0)
        now = 1e9
        assert await cache.get("n") == 1
        with pytest.raises(ValueError, match="ttl must be >= 0, got -1"):
            await cache.set("n", 1, ttl=-1)

    with_cache(work, wall=lambda: now)


class Boxed(BaseSerializer):
    """Wraps each value, as a format with a version would."""

    def dumps(self, value: Any) -> Any:
        return {"v": 1, "value": value}

    def loads(self, value: Any) -> Any:
        return None if value is None else value["value"]


@pytest.mark.parametrize(
    "serializer", [None, JsonSerializer(), StringSerializer(), Boxed()], ids=["none", "json", "str", "boxed"]
)
def test_counting_works_under_any_serializer(serializer: Any) -> None:
    """What was set and what only increment made can be counted and read back."""

    async def work(cache: BackendCache) -> None:
        await cache.set("n", 2)
        assert [await cache.increment("n", 3), await cache.increment("m", 4)] == [5, 4]
        assert [int(await cache.get("n")), int(await cache.get("m"))] == [5, 4]

    with_cache(work, serializer=serializer)


def test_the_default_deadline_is_the_caches() -> None:
    """A call that names no ttl has the cache's; one that says None has none."""
    now = 0.0

    async def work(cache: BackendCache) -> None:
        nonlocal now
        await cache.set("short", 1)
        await cache.set("long", 1, ttl=None)
        now = 5.0
        assert await cache.multi_get(["short", "long"]) == [None, 1]

    with_cache(work, ttl=5, wall=lambda: now)


def test_what_is_not_the_keys_own_value_is_a_miss() -> None:
    """Damaged bytes, another key's bytes and foreign bytes are neither given nor counted as there."""

    async def work(cache: BackendCache) -> None:
        await cache.set("a", 1)
        (sealed,) = await cache.raw("get_many", [cache.build_key("a")])
        for wrong in (sealed[:-1], b"", b"foreign"):
            await cache.raw("delete_many", [cache.build_key("a")])
            await cache._backend.put_many({cache.build_key("a"): wrong}, ttl=None)
            assert await cache.get("a") is None
            assert not await cache.exists("a")
        await cache._backend.put_many({cache.build_key("b"): sealed}, ttl=None)
        assert await cache.get("b") is None
        for payload in (b"\x91" * 10**5, b"\xc1", b""):
            sealed = seal(cache.build_key("c"), payload, None)
            await cache._backend.put_many({cache.build_key("c"): sealed}, ttl=None)
            assert await cache.get("c") is None
        with pytest.raises(AttributeError, match="not a public method"):
            await cache.raw("__class__")

    with_cache(work)


def test_keys_are_strings_and_integers_inside_their_namespace() -> None:
    """The int 1 is True, as in a dict, and no str; a built key stays in its namespace; another type is refused."""

    async def told_apart(cache: BackendCache) -> None:
        await cache.multi_set([(1, "int"), ("1", "str"), ("int:1", "text"), (Shade.DARK, "dark")])
        assert await cache.multi_get([True, "1", "int:1", 1, "d", 0]) == ["int", "str", "text", "int", "dark", None]

    with_cache(told_apart)

    async def work(cache: BackendCache) -> None:
        await cache.set("k", 1, namespace="a")
        await cache.set("k", 2, namespace="b")
        assert await cache.multi_get(["other"], namespace="a") == [1]
        await cache.clear(namespace="a")
        assert (await cache.get("k", namespace="a"), await cache.get("k", namespace="b")) == (None, 2)

    with_cache(work, key_builder=lambda key, namespace: "same")

    async def refused(cache: BackendCache) -> None:
        with pytest.raises(TypeError, match="a key must be a str or an int, got tuple"):
            await cache.get(("a", "b"))

    with_cache(refused)


@pytest.mark.parametrize("name", MAKERS)
def test_decorators_work(tmp_path: Path, name: str) -> None:
    """`cached` and `multi_cached` compute each value once, and `Cache(...)` makes the class."""

    async def main() -> None:
        async with MAKERS[name](tmp_path) as backend:
            asked: list[Any] = []

            @cached(cache=BackendCache, backend=backend, namespace="one")
            async def square(number: int) -> int:
                asked.append(number)
                return number**2

            @multi_cached("numbers", cache=BackendCache, backend=backend, namespace="many")
            async def squares(numbers: list[int]) -> dict[int, int]:
                asked.extend(numbers)
                return {number: number**2 for number in numbers}

            assert [await square(3), await square(3), await square(4)] == [9, 9, 16]
            assert await squares(numbers=[1, 2]) == {1: 1, 2: 4}
            assert await squares(numbers=[1, 2, 3]) == {1: 1, 2: 4, 3: 9}
            assert asked == [3, 4, 1, 2, 3]
            assert await Cache(BackendCache, backend=backend, namespace="many").get(3) == 9

    asyncio.run(main())


def test_locks_and_plugins_work() -> None:
    """A stampede computes once, a lock is released, a conflict is seen, and a plug-in counts."""

    async def main() -> None:
        backend = Hesitant(10**6)
        computed = 0

        @cached_stampede(lease=30, cache=BackendCache, backend=backend, plugins=[HitMissRatioPlugin()])
        async def slow() -> int:
            nonlocal computed
            computed += 1
            await asyncio.sleep(5)
            return computed

        assert await asyncio.gather(*(slow() for _ in range(8))) == [1] * 8
        assert slow.cache.hit_miss_ratio["total"] == 16
        cache = BackendCache(backend, namespace="a")
        async with RedLock(cache, "k", lease=30):
            assert await cache.exists("k-lock")
        assert not await cache.exists("k-lock")
        await cache.set("k", True)
        async with OptimisticLock(cache, "k") as lock:
            await cache.set("k", 1)
            with pytest.raises(OptimisticLockError):
                await lock.cas(2)

    run_virtual(main())


def test_deadlines_outlive_an_event_loop() -> None:
    """A cache that is used by one loop after another keeps its values and its deadlines."""
    now = 0.0
    cache = BackendCache(Hesitant(10**6), wall=lambda: now)

    async def write() -> None:
        await asyncio.gather(*(cache.set("k", n, ttl=10) for n in range(3)), cache.increment("n"))

    async def read() -> Any:
        await asyncio.gather(cache.increment("n"), cache.increment("n"))
        return await cache.multi_get(["k", "n"])

    asyncio.run(write())
    assert asyncio.run(read()) == [2, 3]
    now = 10.0
    assert asyncio.run(read()) == [None, 5]


def test_an_operation_makes_no_task() -> None:
    """With the default timeout nothing runs beside the caller."""

    async def main() -> None:
        made: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, work, **options: made.append(work) or asyncio.Task(work, loop=loop))
        cache = BackendCache(MemoryBackend(10**6))
        await cache.set("k", math.pi)
        assert await cache.get("k") == math.pi
        assert made == []

    asyncio.run(main())
