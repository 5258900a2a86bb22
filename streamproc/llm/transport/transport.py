"""The role of a transport: one POST, its bytes out and its bytes back, and every failure as one of our errors."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from streamproc.errors import Ambiguous, NotSent, ProviderError, ProviderStop

MAX_ERROR_BYTES = 1 << 20
MAX_HEADER_BYTES = 16 << 10
MAX_HEADERS = 500
CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 4.0
"""Kept connections are dropped after so long without use: servers commonly close theirs after 5."""
STALE_SECONDS = 1.0
STALE = "stale_connection"
"""The code of a request whose connection, used before, was closed before any answer: the server had let go of it."""


class Reply(Struct, frozen=True, gc=False):
    """What came back.

    Attributes:
        status: the HTTP status.
        headers: with lower-case names; of several with one name, any.
        body: whole and inflated where the status is 200; of any other a beginning may be all there is.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Carries requests to one endpoint. `open` comes before the first request, `aclose` after the last."""

    async def open(self) -> None:
        """Get ready."""

    async def post(self, path: str, body: bytes, most_bytes: int, *, fresh: bool = False) -> Reply:
        """Send a body of JSON, and read the whole reply.

        Args:
            path: what follows the endpoint's address, with its slash.
            body: the JSON.
            most_bytes: an answer with more is not read.
            fresh: on a connection that nobody has used before.

        Raises:
            NotSent: no connection, so the request never left.
            Ambiguous: it left, and no whole reply came; with the code `STALE` where it was hardly looked at.
            ProviderStop: the address cannot be used, or nobody there can be trusted.
        """

    async def aclose(self) -> None:
        """Close every connection. Harmless when called twice."""


def invalid_address() -> ProviderStop:
    """Give the error for an address that no name service would take."""
    return ProviderStop("llm.base_url is not a usable address", code="invalid_url")


def untrusted(host: str, reason: object) -> ProviderStop:
    """Give the error for a handshake that failed."""
    return ProviderStop(f"no trusted connection to {host}: {reason}. Check llm.base_url and llm.ca_file", code="tls")


def late_connection() -> NotSent:
    """Give the error for a connection that was not there in time."""
    return NotSent(f"no connection within {CONNECT_SECONDS:g} s", code="connect_timeout")


def no_http() -> Ambiguous:
    """Give the error for a reply that is none."""
    return Ambiguous("the answer is not HTTP: a bad status line, or headers beyond every measure", status=200)


def stale(seconds: float) -> Ambiguous:
    """Give the error for a kept connection that was closed so long after a request had been sent on it.

    A server that lets go of a connection does so at once; one that takes its time may have begun to work.
    """
    if seconds > STALE_SECONDS:
        return disconnected()
    return Ambiguous("a connection that was used before was closed before an answer came", code=STALE)


def disconnected() -> Ambiguous:
    """Give the error for a new connection that was closed before an answer came."""
    return Ambiguous("the connection was closed before an answer came", code="disconnected")


def of_socket(error: OSError, where: str = "") -> ProviderError:
    """Give the error for a failure of the operating system.

    Args:
        error: what it said.
        where: the address, with ` to ` before it, where the connection could not even be made.
    """
    code = "tls" if isinstance(error, ssl.SSLError) else errno.errorcode.get(error.errno or 0, "os_error").lower()
    if where or error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS}:
        return NotSent(f"no connection{where}: {error.strerror or error}", code=code)
    return Ambiguous(f"the connection broke: {error.strerror or type(error).__name__}", code=code)
