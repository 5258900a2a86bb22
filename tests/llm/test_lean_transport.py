"""The lean transport over real sockets: what it keeps, what it lets go of, and how it names whom it asks."""

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from streamproc.errors import Ambiguous, ProviderError, ProviderStop
from streamproc.llm.transport.lean import LeanTransport
from streamproc.llm.transport.transport import STALE, STALE_SECONDS, Reply
from streamproc.secret import SecretStr

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
MEBIBYTE = 1 << 20


async def serve(answer: Answer, work: Callable[[LeanTransport], Awaitable[None]], host: str = "127.0.0.1") -> None:
    """Serve requests, whatever comes of them, while a transport does its work; connections are left to the client."""

    handlers: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                (length,) = (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
                await reader.readexactly(length)
                await answer(head, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        transport = LeanTransport(f"http://{host}:{port}/v1", SecretStr("key"), None)
        try:
            await work(transport)
        finally:
            await transport.aclose()
            await asyncio.gather(*handlers)  # they end by themselves; cancelled, asyncio's streams would complain


def good(body: bytes, headers: str = "", version: str = "1.1") -> Answer:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/{version} 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)

    return answer


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


pytestmark = pytest.mark.parametrize("transport", ["lean", "lean on uvloop"], indirect=True)


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize(("headers", "version"), [("Connection: close\r\n", "1.1"), ("", "1.0")])
def test_a_connection_that_the_server_will_not_keep_is_closed_by_us(headers: str, version: str) -> None:
    """A server that says it closes, and does not, costs no descriptor."""

    async def work(transport: LeanTransport) -> None:
        await transport.post("/x", b"{}", 100)
        await asyncio.sleep(0.05)
        before = descriptors()
        for _ in range(20):
            assert (await transport.post("/x", b"{}", 100)).body == b"hello"
        await asyncio.sleep(0.05)
        assert descriptors() <= before + 2  # the last one's, on its way

    asyncio.run(serve(good(b"hello", headers, version), work))


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("headers", ["", "Connection: close\r\n"])
def test_an_answer_is_held_by_nobody_but_who_asked(headers: str) -> None:
    """Connections that are kept, or were closed, hold none of their last answers, though no garbage is collected."""

    async def work(transport: LeanTransport) -> None:
        async def ask() -> None:
            await transport.post("/x", b"{}", 2 * MEBIBYTE)

        await asyncio.gather(*(ask() for _ in range(20)))
        gc.collect()
        tracemalloc.start()
        gc.disable()
        try:
            for _ in range(2):
                await asyncio.gather(*(ask() for _ in range(20)))
            await asyncio.sleep(0.1)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            gc.enable()
            tracemalloc.stop()
        assert held < 5 * MEBIBYTE

    asyncio.run(serve(good(bytes(MEBIBYTE), headers), work))


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Control: a\x01b\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\n",
    ],
)
def test_a_sloppy_reply_is_read_as_aiohttp_reads_it(head: bytes) -> None:
    """What was paid for is not lost for a server's spelling."""

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(head + b"hi" + (b"\r\n0\r\n\r\n" if b"chunked" in head else b""))

    async def work(transport: LeanTransport) -> None:
        assert (await transport.post("/x", b"{}", 100)).body == b"hi"

    asyncio.run(serve(answer, work))


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize(
    ("seconds", "code"), [(0.0, STALE), (STALE_SECONDS + 0.2, "disconnected")], ids=["at once", "later"]
)
def test_only_a_connection_that_is_closed_at_once_was_stale(seconds: float, code: str) -> None:
    """A server that drops a kept connection as soon as it is used had let go of it; later, it may have worked."""
    asked = 0

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await good(b"hello")(head, writer)
        else:
            await asyncio.sleep(seconds)
            writer.transport.abort()

    async def work(transport: LeanTransport) -> None:
        await transport.post("/x", b"{}", 100)
        with pytest.raises(Ambiguous) as raised:
            await transport.post("/x", b"{}", 100)
        assert raised.value.code == code

    asyncio.run(serve(answer, work))


@pytest.mark.usefixtures("transport")
def test_a_name_that_is_not_ascii_is_written_as_name_services_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host header and name service get the name of IDNA 2008, with the port apart; a name that cannot be is refused."""
    heads: list[bytes] = []
    looked_up: list[str] = []

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        await good(b"hello")(head, writer)

    async def ask(transport: LeanTransport) -> Reply:
        loop = asyncio.get_running_loop()
        local = await loop.getaddrinfo("127.0.0.1", transport._port, type=1)

        async def getaddrinfo(host: str, port: int, **_: int) -> list:
            looked_up.append(host)
            return local

        class Loop:
            def __getattr__(self, name: str) -> object:
                return getaddrinfo if name == "getaddrinfo" else getattr(loop, name)

        monkeypatch.setattr("streamproc.llm.transport.lean.asyncio.get_running_loop", lambda: Loop())
        try:
            return await transport.post("/x", b"{}", 100)
        finally:
            monkeypatch.undo()

    async def work(transport: LeanTransport) -> None:
        assert (await ask(transport)).body == b"hello"
        port = transport._port
        assert looked_up == ["xn--strae-oqa.de"]
        assert f"Host: xn--strae-oqa.de:{port}\r\n".encode() in heads[0]

    asyncio.run(serve(answer, work, host="straße.de"))

    async def refused() -> None:
        with pytest.raises(ProviderStop):
            await LeanTransport("http://a⒈b/v1", SecretStr(""), None).post("/x", b"{}", 100)

    asyncio.run(refused())


@pytest.mark.usefixtures("transport")
def test_a_request_that_is_given_up_takes_its_connection_with_it() -> None:
    """Cancelled at any moment, a request leaves no connection that another could use, and no descriptor."""

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
        await asyncio.sleep(0.01)
        writer.write(b"llo")

    async def work(transport: LeanTransport) -> None:
        before = descriptors()
        for step in range(30):
            task = asyncio.create_task(transport.post("/x", b"{}", 100))
            await asyncio.sleep(step / 2000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            try:
                assert (await transport.post("/x", b"{}", 100)).body == b"hello"
            except ProviderError as error:
                raise AssertionError(step) from error
        await transport.aclose()
        await asyncio.sleep(0.05)
        assert descriptors() <= before + 2

    asyncio.run(serve(answer, work))
