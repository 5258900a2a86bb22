"""One connection of the lean transport, fed by hand: whatever arrives, and in whatever pieces."""

import asyncio
import gzip
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamproc.errors import ProviderError
from streamproc.llm.transport.connection import Connection
from streamproc.llm.transport.transport import Reply

MOST = 1000
WHOLE = {
    "length": (b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n",
        *(200, b"hello"),
    ),
    "after 100": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        *(200, b"hello"),
    ),
    "gzip": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
        % (len(gzip.compress(b"hello", mtime=0)), gzip.compress(b"hello", mtime=0)),
        *(200, b"hello"),
    ),
    "error": (b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nwait", 503, b"wait"),
    "nothing": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
}


class Wire:
    """What a connection writes to, in place of a socket."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True


def asked() -> tuple[Connection, Wire, "asyncio.Future[Reply]"]:
    """Give a connection that waits for a reply."""
    connection, wire = Connection(), Wire()
    connection.connection_made(cast("asyncio.Transport", wire))
    return connection, wire, connection.ask(b"request", MOST)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(at) if stop > start]


@given(name=st.sampled_from(sorted(WHOLE)), cuts=st.lists(st.integers(0, 500), max_size=20), twice=st.booleans())
@example(name="chunked", cuts=list(range(500)), twice=True)
def test_a_reply_is_the_same_in_whatever_pieces_it_comes(name: str, cuts: list[int], twice: bool) -> None:
    """Where the network cuts a reply makes no difference, and a connection that gave one whole can give another."""
    data, status, body = WHOLE[name]

    async def main() -> None:
        connection, _, reply = asked()
        for _ in range(1 + twice):
            for piece in pieces_of(data, cuts):
                assert not reply.done()
                connection.data_received(piece)
            assert (reply.result().status, reply.result().body) == (status, body)
            assert connection.usable
            reply = connection.ask(b"another", MOST)

    asyncio.run(main())


@given(name=st.sampled_from(sorted(WHOLE)), more=st.sampled_from(sorted(WHOLE)), size=st.integers(1, 500))
def test_a_connection_with_a_reply_that_nobody_asked_for_is_done(name: str, more: str, size: int) -> None:
    """What follows a reply never becomes the next request's: the connection carries no other."""

    async def main() -> None:
        connection, wire, reply = asked()
        connection.data_received(WHOLE[name][0] + WHOLE[more][0][:size])
        assert reply.result().body == WHOLE[name][2]
        assert reply.result().headers.get("x-a") == ("b" if name == "length" else None)
        assert wire.aborted
        assert not connection.usable

        connection, wire, reply = asked()
        connection.data_received(WHOLE[name][0])
        connection.data_received(WHOLE[more][0][:size])
        assert wire.aborted
        assert not connection.usable

    asyncio.run(main())


@given(
    start=st.sampled_from([b"", *(data for data, _, _ in WHOLE.values())]),
    keep=st.integers(0, 200),
    then=st.binary(max_size=200),
    cuts=st.lists(st.integers(0, 500), max_size=5),
    ended=st.sampled_from([None, "closed", "reset"]),
)
def test_whatever_arrives_is_a_reply_or_one_of_our_errors(
    start: bytes, keep: int, then: bytes, cuts: list[int], ended: str | None
) -> None:
    """Any bytes in any pieces give a reply within its bounds or a provider's error, and raise nothing else."""

    async def main() -> None:
        connection, _, reply = asked()
        for piece in pieces_of(start[:keep] + then, cuts):
            connection.data_received(piece)
        if ended is not None:
            connection.connection_lost(ConnectionResetError() if ended == "reset" else None)
            assert reply.done()
            assert not connection.usable
        if reply.done() and (error := reply.exception()) is not None:
            assert isinstance(error, ProviderError)
            assert not connection.usable
        elif reply.done():
            assert reply.result().status != 200 or len(reply.result().body) <= MOST

    asyncio.run(main())


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 103 H\r\n\r\n"])
def test_a_head_without_end_is_cut_off(head: bytes) -> None:
    """Headers have a bound, whether they are many, long, or heads of replies that never come."""

    async def main() -> None:
        connection, wire, reply = asked()
        piece = head if head.endswith(b"\r\n\r\n") else b"x" * 10_000 if head.endswith(b": ") else b"X: y\r\n" * 1000
        connection.data_received(head)
        fed = 0
        while not reply.done():
            connection.data_received(piece)
            fed += len(piece)
            assert fed < 20 << 20
        assert isinstance(reply.exception(), ProviderError)
        assert wire.aborted

    asyncio.run(main())
