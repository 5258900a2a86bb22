"""The manager believes nothing that it cannot check, shares nothing that can be changed, and counts right."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamproc.cache.config import CacheConfig
from streamproc.cache.envelope import seal
from streamproc.cache.manager import CacheManager
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.tiered import TieredBackend
from streamproc.completions import Usage
from streamproc.errors import ConfigError, NotStorable
from streamproc.simulation.virtual_time import run_virtual
from tests.cache.laws import names
from tests.redis_server import RedisServer

HOUR = 3600.0
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.text(max_size=5), st.binary(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.dictionaries(names, plain, max_size=4)),
        st.tuples(st.just("get"), st.lists(names, max_size=6)),
        st.tuples(st.just("compute"), st.tuples(names, plain)),
        st.tuples(st.just("delete"), names),
        st.tuples(st.just("wait"), st.integers(0, 4000)),
        st.tuples(st.just("clear"), st.none()),
    ),
    max_size=20,
)


@pytest.mark.parametrize("tiers", [False, True])
@settings(max_examples=60)
@given(script=steps)
def test_it_is_a_dict_whose_entries_die_after_their_time(tiers: bool, script: list[tuple[str, Any]]) -> None:
    """Whatever is done in whatever order: a lookup gives what was last stored and is not yet an hour old, in the order
    asked; a computation runs exactly if there is nothing; hits and misses add up to lookups; what a caller does with
    his copy changes nobody else's."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        clock = loop.time
        memory = MemoryBackend(10**6)
        backend = TieredBackend(MemoryBackend(2000), memory) if tiers else memory
        cache: CacheManager[Any] = CacheManager(CacheConfig(ttl_hours=1), backend, wall=clock)
        model: dict[str, tuple[Any, float]] = {}
        lookups = 0

        def alive(key: str) -> bool:
            return key in model and clock() < model[key][1]

        def kept(value: Any) -> Any:
            return msgspec.msgpack.decode(msgspec.msgpack.encode(value))

        for step, argument in script:
            if step == "set":
                await cache.set_many(argument)
                model.update({key: (kept(value), clock() + HOUR) for key, value in argument.items()})
            elif step == "get":
                found = await cache.get_many(argument)
                assert found == [model[key][0] if alive(key) else None for key in argument]
                lookups += len(argument)
                for value in found:
                    if isinstance(value, list):
                        value.append("mine")
            elif step == "compute":
                key, value = argument
                ran: list[int] = []

                async def compute(value: Any = value, ran: list[int] = ran) -> Any:
                    ran.append(1)
                    return value

                expected = model[key][0] if alive(key) else kept(value)
                assert bool(ran) is False
                assert await cache.get_or_compute(key, compute) == expected
                assert len(ran) == (0 if alive(key) else 1)
                lookups += 1
                if ran:
                    model[key] = kept(value), clock() + HOUR
            elif step == "delete":
                await cache.delete(argument)
                model.pop(argument, None)
            elif step == "wait":
                await asyncio.sleep(argument)
            else:
                await cache.clear()
                model.clear()
        metrics = cache.metrics()
        assert metrics.hits + metrics.misses == lookups
        await cache.aclose()

    run_virtual(main())


@given(st.one_of(st.binary(max_size=60), st.just(b"\x91" * 100_000), st.just(b"\xc7\x05\x2aevil!")))
def test_forged_bytes_are_a_miss_or_plain_data(payload: bytes) -> None:
    """Whoever may write to the store may forge an envelope: what comes out then is plain data or a miss, and never an
    error, however deep it is nested."""

    async def main() -> None:
        backend = MemoryBackend(10**6)
        cache: CacheManager[Any] = CacheManager(CacheConfig(), backend)
        await backend.put_many({"k": seal("k", payload, None)}, ttl=None)
        try:
            expected = msgspec.msgpack.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            expected = None
        found = await cache.get("k")
        assert found == expected or isinstance(expected, msgspec.msgpack.Ext) or found != found  # NaN
        typed: CacheManager[Usage] = CacheManager(CacheConfig(), backend, Usage)
        assert isinstance(await typed.get("k"), Usage | None)

    asyncio.run(main())


def test_the_manager_gives_typed_values_in_order() -> None:
    """Hits and misses come in the order of the keys; a value of another type is a miss; figures add up."""

    async def main() -> None:
        backend = MemoryBackend(10**6)
        now = 50.0
        async with CacheManager(CacheConfig(ttl_hours=1), backend, Usage, wall=lambda: now) as cache:
            await cache.set_many({"a": Usage(1, 2), "b": Usage(3, 4)})
            assert await cache.get_many(["b", "x", "a", "b"]) == [Usage(3, 4), None, Usage(1, 2), Usage(3, 4)]
            metrics = cache.metrics()
            assert (metrics.hits, metrics.misses, metrics.entries) == (3, 1, 2)
            assert (metrics.hit_ratio, metrics.miss_ratio) == (0.75, 0.25)
            await cache.delete("a")
            assert await cache.get("a") is None
            other = CacheManager(CacheConfig(), backend, list[int], wall=lambda: now)
            assert await other.get("b") is None
            now += 3600
            assert await cache.get("b") is None
            await cache.clear()
            assert cache.metrics().entries == 0

    asyncio.run(main())


class Slow(MemoryBackend):
    """Looks up at once, and says so a second later. Notes how long what it keeps may be kept."""

    def __init__(self) -> None:
        super().__init__(10**6)
        self.ttls: list[float | None] = []

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        found = await super().get_many(keys)
        await anyio.sleep(1)
        return found

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        self.ttls.append(ttl)
        await super().put_many(items, ttl=None)


def test_what_expires_during_a_lookup_is_a_miss() -> None:
    """A value is alive when it is given, not when it was asked for; the back end hears how long it may be kept."""

    async def main() -> None:
        backend = Slow()
        cache = CacheManager(CacheConfig(ttl_hours=1), backend, int, wall=anyio.current_time)
        await cache.set("k", 1)
        assert backend.ttls == [HOUR]
        await anyio.sleep(HOUR - 2)
        assert await cache.get("k") == 1
        await anyio.sleep(0.5)
        assert await cache.get("k") is None

    run_virtual(main())


def test_what_has_landed_between_a_miss_and_a_computation_is_not_computed_again() -> None:
    """A caller whose lookup was under way while another's computation ended gets what that stored."""

    async def main() -> None:
        cache = CacheManager(CacheConfig(), Slow(), list[int], wall=anyio.current_time)
        begun: list[int] = []

        async def compute() -> list[int]:
            begun.append(1)
            await anyio.sleep(3)
            return list(begun)

        async def call(at: float) -> list[int]:
            await anyio.sleep(at)
            return await cache.get_or_compute("k", compute)

        assert await asyncio.gather(call(0), call(3.5), call(4.5)) == [[1]] * 3
        assert begun == [1]

    run_virtual(main())


halves = st.lists(st.text(st.characters(categories=["Cs", "L"]), max_size=4), min_size=1, max_size=5, unique=True)


@pytest.mark.parametrize("backend", ["memory", "sqlite", "redis"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=halves)
def test_any_str_is_a_key(redis_server: RedisServer, tmp_path: Path, backend: str, keys: list[str]) -> None:
    """Half of a surrogate pair, which UTF-8 cannot hold, makes a key like any other, and spoils no other write."""
    address = {"redis": {"url": redis_server.url}, "sqlite": {"path": str(tmp_path / "c.db")}}.get(backend, {})

    async def main() -> None:
        config = msgspec.convert({"backend": backend, **address}, CacheConfig)
        async with CacheManager(config, kind=int) as writer, CacheManager(config, kind=int) as reader:
            cache = writer if backend == "memory" else reader
            await writer.clear()
            await asyncio.gather(*(writer.set(key, number) for number, key in enumerate(keys)))
            assert await cache.get_many(keys) == list(range(len(keys)))
            assert await cache.get_or_compute("\udfff new", partial(asyncio.sleep, 0, 7)) == 7
            await writer.delete(keys[0])
            assert await writer.get_many(keys) == [None, *range(1, len(keys))]
            assert writer.metrics().errors == 0

    asyncio.run(main())


def test_a_key_s_other_name_is_no_other_key() -> None:
    """Should somebody call a key what another is stored as, each still gets nothing but its own value."""

    async def main() -> None:
        async with CacheManager(CacheConfig(), kind=int) as cache:
            await cache.set("\ud800", 1)
            assert await cache.get("surrogates:eda080") is None
            assert await cache.get("\ud800") == 1

    asyncio.run(main())


@pytest.mark.parametrize("value", [object(), "half \ud800", 2**70, {"deep": ["\udfff"]}])
def test_what_cannot_be_encoded_is_refused_by_name_and_nothing_else_is(value: object) -> None:
    """Such a value raises, whoever stores it and however; what was there before stays, what comes after is kept."""

    async def compute() -> object:
        return value

    async def main() -> None:
        async with CacheManager[object](CacheConfig()) as cache:
            await cache.set("k", "before")
            for attempt in (cache.set_many({"k": value, "l": 1}), cache.get_or_compute("m", compute)):
                with pytest.raises(NotStorable, match="only plain data can be stored"):
                    await attempt
            assert await cache.get_many(["k", "l", "m"]) == ["before", None, None]

    asyncio.run(main())


def test_the_default_manager_needs_no_file(tmp_path: Path) -> None:
    """Without a back end the configuration makes one; sqlite needs a path."""

    async def main() -> None:
        async with CacheManager[Any](CacheConfig()) as cache:
            await cache.set("k", {"plain": [1, None, "x"]})
            assert await cache.get("k") == {"plain": [1, None, "x"]}
        async with CacheManager[Any](CacheConfig(backend="sqlite", path=str(tmp_path / "c.db"))) as kept:
            await kept.set("k", 1)
        async with CacheManager[Any](CacheConfig(backend="sqlite", path=str(tmp_path / "c.db"))) as again:
            assert await again.get("k") == 1

    asyncio.run(main())
    with pytest.raises(ConfigError, match="needs a path"):
        CacheManager(CacheConfig(backend="sqlite"))
    assert [path.name for path in tmp_path.iterdir()] == ["c.db"]
