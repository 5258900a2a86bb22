"""The connection to a Redis or Valkey server: few, bounded waits, nothing repeated behind our back."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from streamproc.errors import ConfigError
from streamproc.secret import SecretStr, secrets_in_url

MAX_CONNECTIONS = 16
FAILURES: tuple[type[Exception], ...] = (RedisError, OSError)
"""What the client raises when the server cannot be asked, or refuses."""

_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}
_SCHEME = re.compile(r"\Avalkeys?(?=:)")
_LOOPBACK = re.compile(r"127(\.\d+){3}|::1")


def connect(url: SecretStr, timeout_seconds: float) -> Redis:
    """Make a client; it connects when it is first used.

    The client's own default would try a dead server three times, for some four seconds a command, and raise as soon as
    all connections are busy.

    Args:
        url: `redis://`, `rediss://` (TLS), `valkey://`, `valkeys://` or `unix://`, with the client's options as query.
        timeout_seconds: for connecting, for each answer, and for a free connection.

    Raises:
        ConfigError: the url is no address, or has an option that the client does not know.
    """
    problem = ""
    try:
        pool = BlockingConnectionPool.from_url(
            _SCHEME.sub(lambda found: _SCHEMES[found[0]], url.reveal()),
            max_connections=MAX_CONNECTIONS,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        problem = f"cache.url: {error}"
    if problem:  # raised out here: as a cause or context, that error would hold the url and perhaps a password
        raise ConfigError(problem)
    return Redis.from_pool(pool)


def unprotected_host(url: SecretStr) -> str | None:
    """Give the host to which a password would travel for everybody to read; `None` where it would not."""
    parts = urlsplit(url.reveal())
    host = parts.hostname
    plain = parts.scheme in {"redis", "valkey"} and bool(secrets_in_url(url.reveal()))
    return host if plain and host and not (host == "localhost" or _LOOPBACK.fullmatch(host)) else None
