"""A Redis server that is refused, frozen, full, read-only, emptied or restarted: misses, never an error or a lie."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from streamproc.cache.backends import build_backend
from streamproc.cache.config import CacheConfig
from streamproc.cache.manager import CacheManager
from streamproc.cache.redis.backend import RedisBackend
from tests.redis_server import RedisServer, free_port

Cache = CacheManager[str]
ROOT = Path(__file__).parents[2]


def with_cache(url: str, work: Callable[[Cache], Awaitable[None]]) -> None:
    """Use a cache as configuration makes it, but with a memory tier too small to hold anything."""

    async def main() -> None:
        config = CacheConfig(backend="redis", url=url, max_size_mb=1e-6)
        async with CacheManager(config, build_backend(config), str) as cache:
            await work(cache)

    asyncio.run(main())


async def answer(number: int) -> str:
    await asyncio.sleep(0)
    return f"answer {number}"


@pytest.mark.fault(26)
def test_a_server_that_is_not_there_costs_nothing() -> None:
    """Refused connections: every lookup is a miss, every write is passed over, and after three failures nobody asks."""

    async def work(cache: Cache) -> None:
        began = time.perf_counter()
        for n in range(300):
            assert await cache.get(f"{n}") is None
            await cache.set(f"{n}", "v")
            assert await cache.get_or_compute(f"{n}", lambda n=n: answer(n)) == f"answer {n}"  # type: ignore[misc]
        assert time.perf_counter() - began < 5
        metrics = cache.metrics()
        assert (metrics.misses, metrics.hits, metrics.available) == (600, 0, False)
        assert metrics.errors == 9  # three lookups, three writes, three leases

    with_cache(f"redis://127.0.0.1:{free_port()}/0", work)


@pytest.mark.fault(25)
def test_a_full_server_takes_nothing_and_answers_still(own_redis: RedisServer) -> None:
    """Out of memory without eviction: writes are passed over and counted, what is there is still found."""

    async def work(cache: Cache) -> None:
        await cache.set("before", "kept")
        own_redis.ask("CONFIG", "SET", "maxmemory", "1")
        for n in range(50):
            await cache.set(f"{n}", "v")
        assert await cache.get_many(["before", "0", "49"]) == ["kept", None, None]
        assert cache.metrics().errors == 3

    with_cache(own_redis.url, work)


@pytest.mark.fault(25)
def test_a_replica_after_a_failover_answers_and_takes_nothing(own_redis: RedisServer) -> None:
    """READONLY is a failed write, not an error of the caller."""

    async def work(cache: Cache) -> None:
        await cache.set("before", "kept")
        own_redis.ask("REPLICAOF", "127.0.0.1", "1")
        await cache.set("after", "v")
        assert await cache.get_many(["before", "after"]) == ["kept", None]

    with_cache(own_redis.url, work)


@pytest.mark.fault(26)
def test_a_server_that_is_emptied_or_restarted_forgets_and_goes_on(own_redis: RedisServer) -> None:
    """FLUSHALL and a restart in the middle of lookups and writes: what is found is right, and all is well after."""

    async def work(cache: Cache) -> None:
        async def traffic(worker: int) -> None:
            random_ = random.Random(worker)
            for _ in range(60):
                n = random_.randrange(40)
                found = await cache.get(f"{n}")
                assert found in {None, f"answer {n}"}
                await cache.set(f"{n}", f"answer {n}")

        async with asyncio.TaskGroup() as group:
            for worker in range(20):
                group.create_task(traffic(worker))
            await asyncio.sleep(0.01)
            own_redis.ask("FLUSHALL")
            await asyncio.sleep(0.01)
            own_redis.kill()
            own_redis.start()

    with_cache(own_redis.url, work)
    with_cache(own_redis.url, alive)


async def alive(cache: Cache) -> None:
    await cache.set("after", "v")
    assert await cache.get("after") == "v"


def test_a_cancelled_lookup_never_leaves_its_answer_to_the_next(redis_server: RedisServer) -> None:
    """Lookups cancelled at random moments over few connections: nobody ever gets the answer to another's question."""

    async def main() -> None:
        random_ = random.Random(7)
        async with RedisBackend(redis_server.url, timeout_seconds=5) as backend:
            await backend.put_many({f"{n}": f"value {n}".encode() for n in range(50)}, ttl=None)

            async def look_up(n: int) -> None:
                assert await backend.get_many([f"{n}", f"{n + 1}"]) == [
                    f"value {n}".encode(),
                    f"value {n + 1}".encode(),
                ]

            for _ in range(30):
                tasks = [asyncio.ensure_future(look_up(random_.randrange(49))) for _ in range(40)]
                for _ in range(random_.randrange(12)):
                    await asyncio.sleep(0)
                for task in random_.sample(tasks, 15):
                    task.cancel()
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    assert result is None or isinstance(result, asyncio.CancelledError)

    asyncio.run(main())


def test_more_callers_than_connections_wait_their_turn(redis_server: RedisServer) -> None:
    """Five hundred lookups at once over sixteen connections: all are answered, none is refused."""

    async def main() -> None:
        async with RedisBackend(redis_server.url, timeout_seconds=5) as backend:
            await backend.put_many({"k": b"v"}, ttl=None)
            assert await asyncio.gather(*(backend.get_many(["k"]) for _ in range(500))) == [[b"v"]] * 500
        assert redis_server.ask("INFO", "clients")

    asyncio.run(main())


@pytest.mark.fault(26)
@pytest.mark.slow
def test_a_frozen_server_is_waited_for_no_longer_than_the_deadline(own_redis: RedisServer) -> None:
    """SIGSTOP: each of the first three lookups takes the deadline, later ones nothing; thawed, it is used again."""

    async def work(cache: Cache) -> None:
        await cache.set("before", "kept")
        own_redis.pause()
        longest = 0.0
        began = time.perf_counter()
        for n in range(200):
            at = time.perf_counter()
            assert await cache.get("before") is None
            assert await cache.get_or_compute(f"{n}", lambda n=n: answer(n)) == f"answer {n}"  # type: ignore[misc]
            longest = max(longest, time.perf_counter() - at)
        assert longest < 5 * 0.25 + 0.5  # a lookup, two more in the flight, a lease, a write
        assert time.perf_counter() - began < 5
        own_redis.resume()
        await asyncio.sleep(5.2)
        assert await cache.get("before") == "kept"
        assert await cache.get("199") is None

    with_cache(own_redis.url, work)


PROCESS = """
import asyncio, sys
from streamproc.cache.config import CacheConfig
from streamproc.cache.manager import CacheManager

async def main(url, log, seconds, lease):
    async def compute():
        with open(log, "a") as file:
            file.write("computed\\n")
        await asyncio.sleep(seconds)
        return "the answer"

    config = CacheConfig(backend="redis", url=url, lease_seconds=lease, timeout_seconds=2)
    async with CacheManager(config, kind=str) as cache:
        print("ready", flush=True)
        sys.stdin.readline()
        results = await asyncio.gather(*(cache.get_or_compute("k", compute) for _ in range(5)))
        print(*results, sep=",", flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
"""


def begin(url: str, log: Path, seconds: float, lease: float) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, url, str(log), str(seconds), str(lease)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_three_processes_with_five_callers_each_compute_once(
    own_redis: RedisServer, tmp_path: Path, seconds: float
) -> None:
    """One key, three processes, five callers each, a real server: exactly one computation, fifteen equal results."""
    log = tmp_path / "computed"
    processes = [begin(own_redis.url, log, seconds, lease=0.5) for _ in range(3)]
    for process in processes:
        go(process)
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert output == ",".join(["the answer"] * 5) + "\n"
        assert process.returncode == 0
    assert log.read_text() == "computed\n"


@pytest.mark.slow
def test_a_process_killed_while_it_computes_is_replaced(own_redis: RedisServer, tmp_path: Path) -> None:
    """kill -9 of the holder: another process computes once the lease has run out, and not before."""
    log = tmp_path / "computed"
    first, second = (begin(own_redis.url, log, seconds, lease=1.0) for seconds in (1000.0, 0.0))
    go(first)
    while not log.exists():
        time.sleep(0.01)
    go(second)
    time.sleep(2)
    assert log.read_text() == "computed\n"  # the holder lives, and renews
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    output, _ = second.communicate(timeout=30)
    assert output.startswith("the answer")
    assert log.read_text() == "computed\n" * 2
