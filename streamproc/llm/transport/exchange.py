"""One request's reply on its way: what llhttp tells of it, within bounds."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httptools

from streamproc.errors import Ambiguous, ProviderError
from streamproc.llm.capped_body import CappedBody
from streamproc.llm.transport.transport import MAX_ERROR_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, Reply, no_http

_OK = 200


class Exchange:
    """Take in the bytes of a reply, with a parser of its own: nothing of another can get into it.

    Once it has ended it holds nothing but its reply, which is gone with whoever asked: connections live long.

    Args:
        most_bytes: the most that is read of a good answer.
        sent_at: when the request was sent, in seconds of the event loop's clock.

    Attributes:
        reply: the result, or one of our errors.
        begun: whether a byte has come.
        keep: whether the server keeps the connection; known once it has ended.
    """

    __slots__ = (
        "_body",
        "_framed",
        "_head_bytes",
        "_header_count",
        "_headers",
        "_most_bytes",
        "_parser",
        "begun",
        "keep",
        "reply",
        "sent_at",
    )

    def __init__(self, most_bytes: int, sent_at: float) -> None:
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.sent_at = sent_at
        self.begun = self.keep = False
        self._most_bytes = most_bytes
        self._headers: dict[str, str] = {}
        self._header_count = self._head_bytes = 0
        self._framed = False
        self._body: CappedBody | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(  # as aiohttp reads replies: these may have been paid for
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    def feed(self, data: bytes) -> None:
        """Take in what has arrived."""
        assert self._parser is not None, "it has not ended"
        self.begun = True
        if self._body is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self.fail(error.__context__ if isinstance(error.__context__, ProviderError) else no_http())
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(no_http())
        else:
            if self._body is None and self._head_bytes > MAX_HEADERS * MAX_HEADER_BYTES:
                self.fail(no_http())

    def end(self) -> None:
        """Learn that no more will come, and the connection was closed in order."""
        if self._body is not None and not self._framed:
            self._complete()  # its end is all that says where the body ends

    def fail(self, error: BaseException) -> None:
        """End with an error, unless it has ended. The connection carries no other request then."""
        self.keep = False
        if not self.reply.done():
            self.reply.set_exception(error)

    def forget(self) -> None:
        """Let go of the parser, and it of this: what is left waits for no collector of garbage."""
        self._parser = self._body = None

    # What llhttp tells.

    def on_message_begin(self) -> None:
        """Make sure that somebody waits for what begins: it must never be taken for the next request's."""
        if self.reply.done():
            raise no_http()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header."""
        self._header_count += 1
        if self._header_count > MAX_HEADERS or len(name) + len(value) > MAX_HEADER_BYTES:
            raise no_http()
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Get ready for the body."""
        status = self._status
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
        if self._body is None:
            return  # cut short already
        try:
            self._body.feed(part)
        except ProviderError:
            if self._status == _OK:
                raise
            self._complete()

    def on_message_complete(self) -> None:
        """Give the reply, or wait on where it only announced another."""
        if self.reply.done():
            return
        if self._body is None:
            self._headers = {}
            return
        assert self._parser is not None, "it has not ended"
        self.keep = self._parser.should_keep_alive()
        self._complete()

    @property
    def _status(self) -> int:
        assert self._parser is not None, "it has not ended"
        return self._parser.get_status_code()

    def _complete(self) -> None:
        body, status = self._body, self._status
        if self.reply.done():
            return
        assert body is not None, "its head came first"
        try:
            content = body.whole() if status == _OK else body.so_far()
        except ProviderError as error:
            self.fail(error)
            return
        self._body = None
        self.reply.set_result(Reply(status, self._headers, content))
