"""One HTTP/1.1 connection as an asyncio protocol, around llhttp: a request at a time, a reply within its bounds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import cast

import httptools

from streamproc.errors import Ambiguous, ProviderError
from streamproc.llm.capped_body import CappedBody
from streamproc.llm.transport.transport import (
    MAX_ERROR_BYTES,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    Reply,
    disconnected,
    no_http,
    of_socket,
    stale,
)

_OK = 200


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
        self._reply: asyncio.Future[Reply] | None = None
        self._used = False
        self._parser = httptools.HttpResponseParser(self)

    def ask(self, request: bytes, most_bytes: int) -> asyncio.Future[Reply]:
        """Send a request; its reply is the future's result, or one of our errors its exception.

        Args:
            request: head and body.
            most_bytes: the most that is read of a good answer.
        """
        assert self._transport is not None, "it is connected"
        self._reply = reply = asyncio.get_running_loop().create_future()
        self._most_bytes = most_bytes
        self._headers: dict[str, str] = {}
        self._header_count = self._head_bytes = 0
        self._begun = self._framed = False
        self._body: CappedBody | None = None
        self._transport.write(request)
        return reply

    def close(self) -> None:
        """Drop the connection, whatever is on its way."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        if self._reply is None or self._reply.done():
            self.close()
            return
        self._begun = True
        if self._body is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._fail(error.__context__ if isinstance(error.__context__, ProviderError) else no_http())
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(no_http())
        else:
            if self._body is None and self._head_bytes > MAX_HEADERS * MAX_HEADER_BYTES:
                self._fail(no_http())

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        if self._reply is None or self._reply.done():
            return
        if self._body is not None and not self._framed and error is None:
            self._complete()  # its end is all that says where the body ends
        elif self._begun:
            self._fail(Ambiguous("the connection broke while the answer was on its way"))
        elif self._used:
            self._fail(stale())
        else:
            self._fail(of_socket(error) if isinstance(error, OSError) else disconnected())

    # What llhttp tells.

    def on_message_begin(self) -> None:
        """Make sure that somebody waits for what begins: it must never be taken for the next request's."""
        if self._reply is None or self._reply.done():
            raise no_http()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header."""
        self._header_count += 1
        if self._header_count > MAX_HEADERS or len(name) + len(value) > MAX_HEADER_BYTES:
            raise no_http()
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Get ready for the body."""
        status = self._parser.get_status_code()
        if status < _OK:  # another head follows
            return
        headers = self._headers
        self._framed = "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower()
        encoding = headers.get("content-encoding")
        if status == _OK:
            if (length := headers.get("content-length", "")).isdecimal() and int(length) > self._most_bytes:
                message = f"an answer of {length[:20]} bytes; at most {self._most_bytes} are read"
                raise Ambiguous(message, status=status)
            self._body = CappedBody(self._most_bytes, encoding)
        else:
            self._body = CappedBody(MAX_ERROR_BYTES)
            with suppress(ProviderError):
                self._body = CappedBody(MAX_ERROR_BYTES, encoding)

    def on_body(self, part: bytes) -> None:
        """Take in a part of the body. Of an error's a beginning will do."""
        assert self._body is not None, "its head came first"
        try:
            self._body.feed(part)
        except ProviderError:
            if self._parser.get_status_code() == _OK:
                raise
            self._complete()
            self.close()

    def on_message_complete(self) -> None:
        """Give the reply, or wait on where it only announced another."""
        if self._body is None:
            self._headers = {}
            return
        if not self._parser.should_keep_alive():
            self.usable = False
        self._complete()

    def _complete(self) -> None:
        reply, body, status = self._reply, self._body, self._parser.get_status_code()
        assert body is not None, "its head came first"
        if reply is None or reply.done():
            return
        try:
            content = body.whole() if status == _OK else body.so_far()
        except ProviderError as error:
            self._fail(error)
            return
        self._used = True
        self.idle_since = asyncio.get_running_loop().time()
        reply.set_result(Reply(status, self._headers, content))

    def _fail(self, error: BaseException) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)
        self.close()
