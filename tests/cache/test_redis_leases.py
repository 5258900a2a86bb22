"""Leases on a real server: one holder at a time, and nobody touches another's."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamproc.cache.redis.backend import RedisBackend
from tests.redis_server import RedisServer

steps = st.lists(
    st.tuples(st.sampled_from(["take", "renew", "release", "run out"]), st.sampled_from(["mine", "theirs"])),
    max_size=12,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=steps)
def test_a_lease_has_one_holder_and_obeys_nobody_else(redis_server: RedisServer, script: list[tuple[str, str]]) -> None:
    """Two tokens take, renew and release one lease, which may run out at any time: it is given while nobody holds it,
    renewed and released only in its holder's name."""

    async def main() -> None:
        holder: str | None = None
        redis_server.ask("FLUSHALL")
        async with RedisBackend(redis_server.url, timeout_seconds=5, lease_seconds=1000) as backend:
            leases = backend.leases
            assert leases is not None
            for step, token in script:
                if step == "take":
                    assert await leases.take("k", token) == (holder is None)
                    holder = holder or token
                elif step == "renew":
                    assert await leases.renew("k", token) == (holder == token)
                elif step == "release":
                    await leases.release("k", token)
                    holder = None if holder == token else holder
                else:
                    redis_server.ask("FLUSHALL")
                    holder = None
                assert redis_server.ask("DBSIZE") == b":%d\r\n" % (holder is not None)

    asyncio.run(main())


def test_only_its_holder_prolongs_a_lease(redis_server: RedisServer) -> None:
    """A renewal sets the time anew in the holder's name, and leaves it in any other's."""

    async def main() -> None:
        async with RedisBackend(redis_server.url, timeout_seconds=5, lease_seconds=1000) as backend:
            leases = backend.leases
            assert leases is not None
            await leases.take("k", "mine")
            redis_server.ask("PEXPIRE", "streamproc-lease:default:k", "60000")
            assert not await leases.renew("k", "theirs")
            assert int(redis_server.ask("PTTL", "streamproc-lease:default:k")[1:]) <= 60_000
            assert await leases.renew("k", "mine")
            assert int(redis_server.ask("PTTL", "streamproc-lease:default:k")[1:]) > 900_000

    asyncio.run(main())
