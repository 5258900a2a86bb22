"""The connection to a Redis or Valkey server: few, bounded waits, nothing repeated behind our back."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from streamproc.errors import ConfigError

MAX_CONNECTIONS = 16
FAILURES: tuple[type[Exception], ...] = (RedisError, OSError)
"""What the client raises when the server cannot be asked, or refuses."""

_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}


def connect(url: str, timeout_seconds: float) -> Redis:
    """Make a client; it connects when it is first used.

    The client's own default would try a dead server three times, for some four seconds a command, and raise as soon as
    all connections are busy.

    Args:
        url: `redis://`, `rediss://` (TLS), `valkey://`, `valkeys://` or `unix://`, with the client's options as query.
        timeout_seconds: for connecting, for each answer, and for a free connection.

    Raises:
        ConfigError: the url is no address, or has an option that the client does not know.
    """
    scheme, colon, rest = url.partition(":")
    try:
        pool = BlockingConnectionPool.from_url(
            _SCHEMES.get(scheme, scheme) + colon + rest,
            max_connections=MAX_CONNECTIONS,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise ConfigError(f"cache.url: {error}") from None  # the cause would hold the url, and perhaps a password
    return Redis.from_pool(pool)
