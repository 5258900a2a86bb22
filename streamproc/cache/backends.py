"""From configuration to back end: which tiers there are, and which of them may fail."""

from __future__ import annotations

from pathlib import Path

from streamproc.cache.backend import CacheBackend, LastingBackend
from streamproc.cache.config import CacheConfig
from streamproc.cache.envelope import cost_of
from streamproc.cache.fail_open import FailOpen
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.cache.tiered import TieredBackend
from streamproc.errors import ConfigError

FRONT_BYTES = 32_000_000
"""Most memory for the tier in front of a lasting back end."""

SQLITE_DEADLINE_SECONDS = 5.0
"""How long a convenience cache may wait for its file: for a slow disk, or another process that holds the lock."""


def build_backend(config: CacheConfig) -> CacheBackend:
    """Make the back end of a cache that is only a convenience: when it fails it forgets.

    Raises:
        ConfigError: backend sqlite without a path, or redis without its client installed.
    """
    if config.backend == "redis":
        return _tiers(config, FailOpen(redis_backend(config), config.timeout_seconds))
    if config.backend != "sqlite":
        return _memory(config, config.max_bytes)
    if config.path is None:
        raise ConfigError("path: backend sqlite needs a path")
    return _tiers(config, FailOpen(SqliteBackend(Path(config.path), config.max_bytes), SQLITE_DEADLINE_SECONDS))


def build_journal(config: CacheConfig, path: Path, keep_newest: int = 1) -> CacheBackend:
    """Make the back end that keeps a run's paid answers: what it has taken it keeps, or the run stops.

    Args:
        config: bounds.
        path: the file.
        keep_newest: entries that never make room; as many as may be paid for and not delivered yet.
    """
    return _tiers(config, SqliteBackend(path, config.max_bytes, keep_newest=keep_newest))


def redis_backend(config: CacheConfig) -> LastingBackend:
    """Make the back end on a Redis or Valkey server, bare: it fails when the server does.

    Raises:
        ConfigError: its client is not installed.
    """
    try:
        from streamproc.cache.redis.backend import RedisBackend
    except ModuleNotFoundError as error:
        raise ConfigError(f"backend redis needs {error.name}: pip install 'streamproc[redis]'") from error
    assert config.url is not None, "the configuration has been checked"
    return RedisBackend(config.url, config.namespace, config.timeout_seconds, config.lease_seconds)


def _tiers(config: CacheConfig, back: CacheBackend) -> CacheBackend:
    return TieredBackend(_memory(config, min(config.max_bytes, FRONT_BYTES)), back)


def _memory(config: CacheConfig, max_bytes: int) -> CacheBackend:
    return MemoryBackend(max_bytes, config.policy, cost_of)
