"""A server that hangs up, says nothing, or takes no connection: one attempt, and no wait beyond the timeout."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from streamproc.cache.redis.backend import RedisBackend
from streamproc.errors import CacheUnavailable

PATIENCE = 0.1


async def fails(port: int) -> None:
    """Look up, which must fail long before the client's own ten seconds are over."""
    async with asyncio.timeout(3), RedisBackend(f"redis://127.0.0.1:{port}/0", timeout_seconds=PATIENCE) as backend:
        with pytest.raises(CacheUnavailable):
            await backend.get_many(["k"])


@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_command_is_tried_once_and_waited_for_no_longer_than_allowed(hangs_up: bool) -> None:
    """Whether the server closes the connection or never answers: a lookup fails after one connection."""

    async def main() -> None:
        connections: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)
            if not hangs_up:
                await reader.read()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            await fails(server.sockets[0].getsockname()[1])
            await asyncio.sleep(0)
        assert len(connections) == 1

    asyncio.run(main())


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that no further one is made."""
    with socket.socket() as listening, socket.socket() as queued:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        queued.connect(listening.getsockname())
        yield int(listening.getsockname()[1])


def test_connecting_is_waited_for_no_longer_than_allowed(full_port: int) -> None:
    """A server that takes no connection costs a lookup the timeout, and not what the system would wait."""
    asyncio.run(fails(full_port))
