"""A transport over aiohttp.

Settings follow what was measured of it: its pool must never be the limit (waiting in it counts as the request's own
time), redirects turn a POST into a GET or carry it to a stranger, it inflates without a bound, and its exceptions hold
the request's headers, so none of them is ever a cause or context of ours.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from contextlib import suppress
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import aiohttp
from multidict import CIMultiDict

from streamproc.errors import Ambiguous, ProviderError
from streamproc.llm.capped_body import CappedBody
from streamproc.llm.transport.transport import (
    CONNECT_SECONDS,
    KEEPALIVE_SECONDS,
    MAX_ERROR_BYTES,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    Reply,
    disconnected,
    invalid_address,
    late_connection,
    no_http,
    of_socket,
    stale,
    untrusted,
)
from streamproc.secret import SecretStr

LARGE_BODY_BYTES = 1 << 20
_reused: ContextVar[bool] = ContextVar("_reused", default=False)
"""Whether the connection of this task's request has carried another before."""


class _Connector(aiohttp.TCPConnector):
    """Tells who gets a connection whether it was used before."""

    def __init__(self, limit: int, tls: ssl.SSLContext | bool) -> None:
        super().__init__(limit=limit, keepalive_timeout=KEEPALIVE_SECONDS, ssl=tls)
        self._known: WeakSet[Any] = WeakSet()

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        connection = await super().connect(*arguments, **options)
        _reused.set(connection.protocol in self._known)
        self._known.add(connection.protocol)
        return connection


class AiohttpTransport:
    """Keep connections in aiohttp's pool.

    Args:
        base_url: the endpoint's address.
        api_key: sent as a bearer token; empty for none.
        tls: whom to trust; `None` for aiohttp's own choice, where the address has no TLS.
        max_connections: most connections at once; at least as many as there are concurrent calls.
    """

    def __init__(self, base_url: str, api_key: SecretStr, tls: ssl.SSLContext | None, max_connections: int) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._tls: ssl.SSLContext | bool = tls or True  # as aiohttp has it
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the sessions."""
        self._session = self._made(_Connector(self._max_connections, self._tls))
        self._fresh = self._made(aiohttp.TCPConnector(limit=0, force_close=True, ssl=self._tls))

    def _made(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        headers = CIMultiDict({"Content-Type": "application/json", "Accept-Encoding": "identity"})
        headers["User-Agent"] = "streamproc"
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key.reveal()}"
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            trust_env=False,
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )

    async def post(self, path: str, body: bytes, most_bytes: int, *, fresh: bool = False) -> Reply:
        """Send a body of JSON, and read the whole reply, see `Transport`."""
        session = self._fresh if fresh else self._session
        assert session is not None, "open() comes first"
        answering = False
        now = asyncio.get_running_loop().time
        began_at = now()
        _reused.set(False)
        try:
            data = body if len(body) < LARGE_BODY_BYTES else io.BytesIO(body)  # aiohttp sends large bytes in one go
            async with session.post(self._base_url + path, data=data, allow_redirects=False) as response:
                answering = True
                content = await _read(response, most_bytes)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, headers, content)
        except aiohttp.ClientError as error:
            mapped = _map(error, stale_after=now() - began_at if _reused.get() and not answering else None)
        except UnicodeError:  # of the host's name
            mapped = invalid_address()
        except OSError as error:  # the socket itself, outside what aiohttp wraps
            mapped = of_socket(error)
        raise mapped

    async def aclose(self) -> None:
        """Close every connection."""
        sessions = self._session, self._fresh
        self._session = self._fresh = None
        for session in sessions:
            if session is not None:
                await session.close()


async def _read(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """Read a body to its end, or to the cap. Of an error's body a beginning will do; its status counts all the same."""
    if response.status != 200:
        body = CappedBody(MAX_ERROR_BYTES)
        with suppress(ProviderError):
            body = CappedBody(MAX_ERROR_BYTES, response.headers.get("Content-Encoding"))
            await _fill(body, response)
        return body.so_far()
    if (response.content_length or 0) > most_bytes:
        raise Ambiguous(f"an answer of {response.content_length} bytes; at most {most_bytes} are read", status=200)
    body = CappedBody(most_bytes, response.headers.get("Content-Encoding"))
    await _fill(body, response)
    return body.whole()


async def _fill(body: CappedBody, response: aiohttp.ClientResponse) -> None:
    while part := await response.content.readany():  # empty at the end
        body.feed(part)


def _map(error: aiohttp.ClientError, *, stale_after: float | None) -> ProviderError:
    """Turn aiohttp's exceptions into ours; the subclasses come before their bases.

    Args:
        error: one of them.
        stale_after: seconds since it was sent, on a connection that was used before and brought no answer.
    """
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return untrusted(error.host, error.os_error)
        case aiohttp.ClientConnectorError():
            return of_socket(error.os_error, f" to {error.host}:{error.port}")
        case aiohttp.ConnectionTimeoutError():
            return late_connection()
        case aiohttp.InvalidURL():
            return invalid_address()
        case aiohttp.ClientResponseError():
            return no_http()
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() if stale_after is not None:
            return stale(stale_after)
        case aiohttp.ServerDisconnectedError():
            return disconnected()
        case _:
            return Ambiguous(f"the connection broke while the answer was on its way ({type(error).__name__})")
