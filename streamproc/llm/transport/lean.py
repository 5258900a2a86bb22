"""A transport of our own over asyncio and llhttp, for a third of the CPU that a general client takes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from urllib.parse import quote, urlsplit

from aiohappyeyeballs import start_connection

from streamproc.errors import NotSent
from streamproc.llm.transport.connection import Connection
from streamproc.llm.transport.transport import (
    CONNECT_SECONDS,
    KEEPALIVE_SECONDS,
    Reply,
    invalid_address,
    late_connection,
    of_socket,
    untrusted,
)
from streamproc.secret import SecretStr

HEAD_START_SECONDS = 0.25
"""Of one address before the next is tried beside it (RFC 8305)."""
_PORTS = {"http": 80, "https": 443}


class LeanTransport:
    """Keep connections and reuse the one that was used last; how many there are is for the callers to bound.

    Args:
        base_url: the endpoint's address.
        api_key: sent as a bearer token; empty for none.
        tls: whom to trust; of no use for an address without TLS.
    """

    def __init__(self, base_url: str, api_key: SecretStr, tls: ssl.SSLContext | None) -> None:
        parts = urlsplit(base_url)
        self._host = _in_ascii(parts.hostname or "")
        self._port = parts.port or _PORTS[parts.scheme]
        self._tls = tls if parts.scheme == "https" else None
        self._path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=-._~")
        named = f"[{self._host}]" if ":" in self._host else self._host
        host = named if self._port == _PORTS[parts.scheme] else f"{named}:{self._port}"
        lines = [
            f"Host: {host}",
            "Content-Type: application/json",
            "Accept-Encoding: identity",
            "User-Agent: streamproc",
        ]
        if api_key:
            lines.append(f"Authorization: Bearer {api_key.reveal()}")
        self._lines = "\r\n".join(lines)
        self._heads: dict[str, bytes] = {}
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()

    async def open(self) -> None:
        """Nothing is opened before it is needed."""

    async def post(self, path: str, body: bytes, most_bytes: int, *, fresh: bool = False) -> Reply:
        """Send a body of JSON, and read the whole reply, see `Transport`."""
        if not self._host:
            raise invalid_address()
        connection = None if fresh else self._kept()
        if connection is None:
            connection = await self._connect()
        try:
            return await connection.ask(self._head(path) + b"%d\r\n\r\n" % len(body) + body, most_bytes)
        except BaseException:
            connection.close()
            raise
        finally:
            if connection.usable:
                self._idle.append(connection)
            else:
                self._drop(connection)

    def _kept(self) -> Connection | None:
        """Give the connection that was used last, and drop those that the server may be about to close."""
        oldest = asyncio.get_running_loop().time() - KEEPALIVE_SECONDS
        while self._idle and (self._idle[0].idle_since < oldest or not self._idle[0].usable):
            self._drop(self._idle.popleft())
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            self._drop(connection)
        return None

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()

    async def _connect(self) -> Connection:
        loop, name = asyncio.get_running_loop(), self._host if self._tls else None
        where = f" to {self._host}:{self._port}"
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                addresses = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                made = await start_connection(addresses, happy_eyeballs_delay=HEAD_START_SECONDS, loop=loop)
                _, connection = await loop.create_connection(Connection, sock=made, ssl=self._tls, server_hostname=name)
        except TimeoutError:
            mapped: Exception = late_connection()
        except ssl.SSLError as error:
            mapped = untrusted(self._host, error)
        except UnicodeError:
            mapped = invalid_address()
        except OSError as error:
            mapped = of_socket(error, where)
        except RuntimeError as error:  # uvloop's, where a socket was closed under it
            mapped = NotSent(f"no connection{where}: {error}")
        else:
            self._open.add(connection)
            return connection
        raise mapped

    def _head(self, path: str) -> bytes:
        head = self._heads.get(path)
        if head is None:
            text = f"POST {self._path}{path} HTTP/1.1\r\n{self._lines}\r\nContent-Length: "
            head = self._heads[path] = text.encode("latin-1")
        return head

    async def aclose(self) -> None:
        """Close every connection."""
        for connection in list(self._open):
            connection.close()
        self._open.clear()
        self._idle.clear()
        await asyncio.sleep(0)  # an aborted transport closes its socket at the loop's next turn


def _in_ascii(host: str) -> str:
    """Give a host's name as name services and certificates have it (IDNA 2008); empty where there is no such name."""
    if host.isascii():
        return host
    import idna  # a large table, for few

    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return ""
