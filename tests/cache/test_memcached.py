"""A real Memcached behind the cache, through aiocache: the bridge is not for Redis alone."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import aiomcache
import pytest
from aiocache import MemcachedCache
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamproc.cache.aiocache.backend import AiocacheBackend
from streamproc.cache.config import CacheConfig
from streamproc.cache.fail_open import FailOpen
from streamproc.cache.manager import CacheManager
from tests.cache.laws import check_dict
from tests.redis_server import free_port

pytestmark = pytest.mark.slow

FAILURES = (OSError, aiomcache.exceptions.ClientException, aiomcache.exceptions.ValidationException)
keys = st.sampled_from([f"{n:064x}" for n in range(5)])
operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.dictionaries(keys, st.binary(max_size=20), max_size=4)),
        st.tuples(st.just("get"), st.lists(keys, max_size=6)),
        st.tuples(st.just("delete"), st.lists(keys, max_size=3)),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server of this module's own."""
    number = free_port()
    process = subprocess.Popen(["memcached", "-l", "127.0.0.1", "-p", str(number), "-u", "nobody", "-m", "16"])
    time.sleep(0.5)
    assert process.poll() is None
    yield number
    process.kill()
    process.wait()


def backend(port: int, namespace: str = "ours") -> AiocacheBackend:
    return AiocacheBackend(MemcachedCache(port=port, namespace=namespace), "memcached", FAILURES)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=operations, number=st.integers(0, 2**32))
def test_the_server_is_a_dict(port: int, script: list[tuple[str, Any]], number: int) -> None:
    """What was put is given back, in the order that was asked, as bytes."""

    async def main() -> None:
        async with backend(port, f"ours{number}:") as cache:
            await cache.delete_many([f"{n:064x}" for n in range(5)])
            await check_dict(cache, script)

    asyncio.run(main())


def test_answers_are_kept_for_as_long_as_any_run_wishes(port: int) -> None:
    """A time to live of months, which Memcached would take for a date, keeps a value and does not drop it."""

    async def main() -> None:
        for hours in (0.01, 24, 10_000):
            async with CacheManager(CacheConfig(ttl_hours=hours), backend(port), dict[str, int]) as cache:
                await cache.set("k", {"n": 1})
                assert await cache.get("k") == {"n": 1}
                with pytest.raises(ValueError, match="namespace"):
                    await cache.clear()

    asyncio.run(main())


def test_a_server_that_is_not_there_is_a_cache_that_forgets() -> None:
    """Refused connections and values that the server would not take are misses behind `FailOpen`."""

    async def main() -> None:
        async with FailOpen(backend(free_port()), 0.5) as cache:
            await cache.put_many({"k": b"v"}, ttl=10)
            assert await cache.get_many(["k"]) == [None]
            assert cache.metrics().errors == 2

    asyncio.run(main())


def test_a_value_too_large_for_the_server_is_not_kept(port: int) -> None:
    """Two megabytes are refused by the server; that is a failed write, and no error of the caller."""

    async def main() -> None:
        async with FailOpen(backend(port), 2.0) as cache:
            await cache.put_many({"k": b"v" * 2_000_000}, ttl=10)
            assert await cache.get_many(["k"]) == [None]

    asyncio.run(main())
