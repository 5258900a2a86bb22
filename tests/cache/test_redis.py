"""A real Redis server behind the cache: what is asked of it, and what is never asked."""

import asyncio
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamproc.cache.aiocache.backend import AiocacheBackend, whole_seconds
from streamproc.cache.config import CacheConfig
from streamproc.cache.manager import CacheManager
from streamproc.cache.redis.backend import RedisBackend
from streamproc.errors import CacheUnavailable, ConfigError
from tests.cache.laws import check_dict, listed_operations, operations
from tests.redis_server import RedisServer


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=listed_operations)
def test_the_server_is_a_dict(redis_server: RedisServer, script: list[tuple[str, Any]]) -> None:
    """The server gives back what was put, in the order that was asked; clearing leaves another namespace alone."""

    async def main() -> None:
        async with RedisBackend(redis_server.url) as backend, RedisBackend(redis_server.url, "defaul") as other:
            await backend.clear()
            await other.put_many({"a": b"theirs", "t:a": b"theirs"}, ttl=None)
            model = await check_dict(backend, script)
            assert await other.get_many(["a", "t:a"]) == [b"theirs", b"theirs"]
            figures = await backend.measure()
            assert (figures.entries, figures.current_bytes) == (
                sum(value != b"" for value in model.values()),
                sum(map(len, model.values())),
            )

    asyncio.run(main())


def commands(server: RedisServer) -> dict[str, int]:
    """Give how often each command was called."""
    text = server.ask("INFO", "commandstats").decode()
    return {name: int(calls) for name, calls in re.findall(r"cmdstat_([a-z|]+):calls=(\d+)", text)}


def test_a_batch_is_one_command_and_a_crowd_of_writers_few_round_trips(own_redis: RedisServer) -> None:
    """A lookup of a batch is one MGET; writes that come together go together, each with its time to live, spread."""

    async def main() -> None:
        async with RedisBackend(own_redis.url) as backend:
            await asyncio.gather(*(backend.put_many({f"{n}": b"v"}, ttl=100.0) for n in range(200)))
            assert await backend.get_many([f"{n}" for n in range(300)]) == [b"v"] * 200 + [None] * 100
            await backend.put_many({"for ever": b"v", "soon": b"v"}, ttl=None)
            await backend.put_many({"soon": b"v"}, ttl=0.0001)
            await asyncio.sleep(0.01)
            assert await backend.get_many(["soon"]) == [None]

    asyncio.run(main())
    calls = commands(own_redis)
    assert (calls["mget"], calls["set"]) == (2, 203)
    assert not {"multi", "exec"} & calls.keys()  # a batch is no transaction: nobody else has to wait for it
    assert len({own_redis.ask("PTTL", f"streamproc:default:{n}") for n in range(200)}) > 20
    for n in range(200):
        left = int(own_redis.ask("PTTL", f"streamproc:default:{n}")[1:])
        assert 80_000 < left <= 100_000
    assert own_redis.ask("KEYS", "streamproc:default:for*").endswith(b"streamproc:default:for ever\r\n")


def test_nothing_that_stops_or_empties_a_shared_server_is_ever_sent(own_redis: RedisServer) -> None:
    """Clearing 3,000 entries uses SCAN and UNLINK, never KEYS, FLUSHDB or FLUSHALL, and what is not ours stays."""
    own_redis.ask("SET", "theirs", "1")

    async def main() -> None:
        async with RedisBackend(own_redis.url) as backend:
            await backend.put_many({f"{n}": b"v" for n in range(3000)}, ttl=None)
            await backend.clear()
            assert (await backend.measure()).entries == 0

    asyncio.run(main())
    assert own_redis.ask("DBSIZE") == b":1\r\n"
    assert not {"keys", "flushdb", "flushall", "del"} & commands(own_redis).keys()


def test_many_keys_are_asked_for_once_and_a_few_at_a_time(own_redis: RedisServer) -> None:
    """Of 1,200 keys each is looked up once and removed, by commands of at most 500 keys."""
    keys = [f"{n}" for n in range(1200)]

    async def main() -> None:
        async with RedisBackend(own_redis.url, timeout_seconds=5) as backend:
            await backend.put_many(dict.fromkeys(keys, b"v"), ttl=None)
            assert await backend.get_many(keys) == [b"v"] * 1200
            assert b"keyspace_hits:1200\r\nkeyspace_misses:0\r\n" in own_redis.ask("INFO", "stats")
            await backend.delete_many(keys)
            assert await backend.get_many(keys) == [None] * 1200

    asyncio.run(main())
    calls = commands(own_redis)
    assert (calls["mget"], calls["unlink"]) == (6, 3)
    assert own_redis.ask("DBSIZE") == b":0\r\n"


@pytest.mark.parametrize("prefix", ["a*", "a?", "a[bc]", "a\\", "a^", "[^x]"])
def test_a_prefix_is_no_pattern(redis_server: RedisServer, prefix: str) -> None:
    """What SCAN would take for a pattern is the beginning of keys like any other text."""

    async def main() -> None:
        async with RedisBackend(redis_server.url, timeout_seconds=5) as backend:
            kept = ["a", "ab", "abc", "ac", "b"]
            await backend.put_many(dict.fromkeys([*kept, prefix, prefix + "b"], b"v"), ttl=None)
            await backend.delete_prefix(prefix)
            assert await backend.get_many([prefix, prefix + "b", *kept]) == [None] * 2 + [b"v"] * 5

    asyncio.run(main())


def test_closing_sends_what_lingers(redis_server: RedisServer) -> None:
    """A value that is put while the cache is closed is on the server when both have returned."""

    async def main() -> None:
        backend = RedisBackend(redis_server.url, timeout_seconds=5)
        await backend.open()
        writing = asyncio.ensure_future(backend.put_many({"k": b"v"}, ttl=None))
        await asyncio.sleep(0)
        await backend.aclose()
        assert redis_server.ask("GET", "streamproc:default:k") == b"$1\r\nv\r\n"
        await writing

    asyncio.run(main())


@given(st.binary(max_size=60))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_others_put_under_our_keys_is_a_miss(redis_server: RedisServer, planted: bytes) -> None:
    """Bytes of another program, a value of another key, another type of entry: never a value, never an error."""

    async def main() -> None:
        backend = RedisBackend(redis_server.url)
        async with CacheManager(CacheConfig(), backend, dict[str, int]) as cache:
            await cache.set("other", {"n": 1})
            (sealed,) = await backend.get_many(["other"])
            assert sealed is not None
            await backend.put_many({"foreign": planted, "swapped": sealed, "cut": sealed[:-1]}, ttl=None)
            assert await cache.get_many(["foreign", "swapped", "cut", "other"]) == [None, None, None, {"n": 1}]

    asyncio.run(main())


def test_an_entry_of_another_type_is_a_miss(redis_server: RedisServer) -> None:
    """A list under our key, made by another program, is a miss like any other."""
    redis_server.ask("RPUSH", "streamproc:default:k", "x")

    async def main() -> None:
        async with RedisBackend(redis_server.url) as backend:
            assert await backend.get_many(["k"]) == [None]

    asyncio.run(main())


def test_what_it_is_not_open_for_it_says() -> None:
    """Before opening there is no server to ask, and no lease."""

    async def main() -> None:
        backend = RedisBackend("redis://127.0.0.1:1/0")
        assert backend.leases is None
        with pytest.raises(CacheUnavailable, match="not open"):
            await backend.get_many(["k"])
        with pytest.raises(CacheUnavailable, match="not open"):
            await backend.measure()

    asyncio.run(main())


@settings(max_examples=15)
@given(script=operations)
def test_any_cache_of_aiocaches_is_a_back_end(script: list[tuple[str, Any]]) -> None:
    """aiocache's own memory cache behind our interface behaves as ours does."""
    from aiocache import SimpleMemoryCache

    async def main() -> None:
        async with AiocacheBackend(SimpleMemoryCache(namespace="ours:")) as backend:
            await check_dict(backend, script)

    asyncio.run(main())


def test_what_another_program_stored_as_no_bytes_is_a_miss() -> None:
    """A text or a number in a cache of aiocache's is no value of ours."""
    from aiocache import SimpleMemoryCache

    async def main() -> None:
        cache = SimpleMemoryCache(namespace="ours:")
        backend = AiocacheBackend(cache)
        for key, value in {"text": "v", "number": 1, "ours": b"v"}.items():
            await cache.set(key, value)
        assert await backend.get_many(["text", "number", "ours"]) == [None, None, b"v"]

    asyncio.run(main())


@given(st.floats(0, 1e12))
def test_a_time_to_live_in_whole_seconds_is_never_too_short(ttl: float) -> None:
    """Rounded up, at least a second, and at most thirty days, which Memcached still takes for a length of time."""
    seconds = whole_seconds(ttl)
    assert seconds == int(seconds)
    assert 1 <= seconds <= 2_592_000
    assert ttl <= seconds < max(1, ttl) + 1 or seconds == 2_592_000 <= ttl


def test_a_cache_without_a_namespace_is_not_cleared() -> None:
    """Clearing would empty the whole server, so it is refused."""
    from aiocache import SimpleMemoryCache

    async def main() -> None:
        with pytest.raises(ConfigError, match="no namespace"):
            await AiocacheBackend(SimpleMemoryCache()).clear()

    asyncio.run(main())


def test_aiocache_switched_off_is_a_cache_that_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    """AIOCACHE_DISABLE=1 makes aiocache answer nothing at all; that counts as misses."""
    from aiocache import SimpleMemoryCache

    async def main() -> None:
        backend = AiocacheBackend(SimpleMemoryCache(namespace="ours:"))
        await backend.put_many({"a": b"1"}, ttl=None)
        monkeypatch.setenv("AIOCACHE_DISABLE", "1")
        assert await backend.get_many(["a", "b"]) == [None, None]

    asyncio.run(main())
