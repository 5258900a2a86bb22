"""The back ends that the peers' suites run on: by name, what makes one in a folder of its own."""

import atexit
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

from redis_server import RedisServer

from streamproc.cache.backend import CacheBackend
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.redis.backend import RedisBackend
from streamproc.cache.sqlite.backend import SqliteBackend


@functools.cache
def redis_url() -> str:
    """Start a server, once in a process and for as long as it lives, and give its address."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    server = RedisServer(Path(folder.name))
    server.start()
    atexit.register(server.kill)
    return server.url


BACK_ENDS: dict[str, Callable[[Path], CacheBackend]] = {
    "memory": lambda _: MemoryBackend(10**6),
    "sqlite": lambda folder: SqliteBackend(folder / "cache.db", 10**6),
    "redis": lambda _: RedisBackend(redis_url(), timeout_seconds=5),
}
