"""One HTTP/1.1 connection as an asyncio protocol: a request at a time."""

from __future__ import annotations

import asyncio
from typing import cast

from streamproc.errors import Ambiguous
from streamproc.llm.transport.exchange import Exchange
from streamproc.llm.transport.transport import Reply, disconnected, of_socket, stale


class Connection(asyncio.Protocol):
    """A connection to the endpoint. Bytes that nobody asked for, or that are no HTTP, end it.

    Attributes:
        usable: whether it can carry another request.
        idle_since: when its last reply ended, in seconds of the event loop's clock.
    """

    def __init__(self) -> None:
        self.usable = True
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._used = False

    def ask(self, request: bytes, most_bytes: int) -> asyncio.Future[Reply]:
        """Send a request; its reply is the future's result, or one of our errors its exception.

        Args:
            request: head and body.
            most_bytes: the most that is read of a good answer.
        """
        assert self._transport is not None, "it is connected"
        exchange = self._exchange = Exchange(most_bytes, asyncio.get_running_loop().time())
        self._transport.write(request)
        return exchange.reply

    def close(self) -> None:
        """Drop the connection, whatever is on its way."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.close()
            return
        exchange.feed(data)
        if exchange.reply.done():
            self._ended(exchange)

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        exchange = self._exchange
        if exchange is not None:
            if error is None:
                exchange.end()
            if not exchange.reply.done():
                exchange.fail(self._lost(exchange, error))
            self._ended(exchange)
        self._transport = None

    def _lost(self, exchange: Exchange, error: Exception | None) -> Exception:
        if exchange.begun:
            return Ambiguous("the connection broke while the answer was on its way")
        if self._used:
            return stale(asyncio.get_running_loop().time() - exchange.sent_at)
        return of_socket(error) if isinstance(error, OSError) else disconnected()

    def _ended(self, exchange: Exchange) -> None:
        self._exchange = None
        if exchange.keep and self.usable:
            self._used = True
            self.idle_since = asyncio.get_running_loop().time()
        else:
            self.close()
        exchange.forget()
