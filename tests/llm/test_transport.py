"""The client against servers that misbehave on the wire: what each fault is taken for, and that no key gets out."""

import asyncio
import gzip
import json
import logging
import ssl
import traceback
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
import trustme

from streamproc.completions import Completion, Message, Request
from streamproc.errors import Ambiguous, BadAnswer, ConfigError, NotSent, ProviderError, ProviderStop, Unavailable
from streamproc.llm.openai import MAX_ANSWER_BYTES, OpenAICompleter
from streamproc.secret import SecretStr

pytestmark = pytest.mark.usefixtures("transport")

KEY = "CANARY hunter2 5d1f9c".replace(" ", "-")
REQUEST = Request(deployment="d", model="m", messages=(Message("user", "hello"),), parameters={"temperature": 0})
ANSWER = json.dumps(
    {
        "model": "m-1",
        "choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
).encode()
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def reply(body: bytes, status: str = "200 OK", headers: str = "", length: int | None = None) -> Serve:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = f"Content-Length: {len(body) if length is None else length}\r\n" if length != -1 else ""
        writer.write(f"HTTP/1.1 {status}\r\n{size}{headers}\r\n".encode() + body)

    return serve


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def garbage(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\x01 what is this\r\n\r\n")


async def chunk_cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nabc")


async def ask(serve: Serve, seen: list[bytes] | None = None, times: int = 1) -> Completion:
    """Ask a server that answers `serve` to each request it has read."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for _ in range(times):
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
                )
                body = await reader.readexactly(length)
                if seen is not None:
                    seen.append(head + body)
                await serve(reader, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, OpenAICompleter(f"http://127.0.0.1:{port}/v1", SecretStr(KEY), max_connections=4) as completer:
        for _ in range(times):
            completion = await completer.complete(REQUEST)
        return completion


def failure(serve: Serve) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        asyncio.run(ask(serve))
    shown = "".join(traceback.format_exception(raised.value)) + repr(vars(raised.value)) + repr(raised.value.args)
    chain: BaseException | None = raised.value
    while chain is not None:
        assert not isinstance(chain, aiohttp.ClientError), "aiohttp's exceptions hold the request's headers"
        shown += repr(chain)
        chain = chain.__cause__ or chain.__context__
    assert KEY not in shown
    return raised.value


BIG = gzip.compress(b" " * (MAX_ANSWER_BYTES + 10))


@pytest.mark.parametrize(
    ("serve", "kind"),
    [
        (reset, Ambiguous),
        (garbage, Ambiguous),
        (chunk_cut, Ambiguous),
        (reply(ANSWER, length=len(ANSWER) + 50), Ambiguous),
        (reply(ANSWER[:40], length=-1), Ambiguous),
        (reply(b""), BadAnswer),
        (reply(b"<html>log in here</html>", headers="Content-Type: text/html\r\n"), BadAnswer),
        (reply(b'{"choices": []}'), BadAnswer),
        (reply(b"\xff\xfe{"), Ambiguous),
        (reply(b"[" * 100_000), Ambiguous),
        (reply(b'{"error": {"code": 502, "message": "upstream"}}'), Unavailable),
        (reply(BIG, headers="Content-Encoding: gzip\r\n"), Ambiguous),
        (reply(gzip.compress(ANSWER)[:-9], headers="Content-Encoding: gzip\r\n"), Ambiguous),
        (reply(ANSWER, headers="Content-Encoding: gzip\r\n"), Ambiguous),
        (reply(ANSWER, headers="Content-Encoding: br\r\n"), Ambiguous),
        (reply(b"", length=MAX_ANSWER_BYTES + 1), Ambiguous),
        (reply(ANSWER, headers="X-Long: " + "x" * 20_000 + "\r\n"), Ambiguous),
        (reply(ANSWER, headers="X-Many: x\r\n" * 501), Ambiguous),
        (reply(BIG, "401 Unauthorized", "Content-Encoding: gzip\r\n"), ProviderStop),
        (reply(b" " * (2 << 20), "503 Service Unavailable"), Unavailable),
        (reply(b"", "302 Found", "Location: http://example.invalid/\r\n"), ProviderStop),
        (reply(b"", "307 Temporary Redirect", "Location: http://example.invalid/\r\n"), ProviderStop),
        (reply(f'{{"error": {{"message": "bad key {KEY}"}}}}'.encode(), "401 Unauthorized"), ProviderStop),
        (reply(b"oops", "500 Internal Server Error"), Unavailable),
    ],
)
def test_each_fault_is_taken_for_what_it_is(serve: Serve, kind: type[ProviderError]) -> None:
    """Every fault on the wire becomes one class of ours, which says what to do; the key is in none of it."""
    assert type(failure(serve)) is kind


@pytest.mark.fault(27)
def test_what_never_left_is_known_as_such(unused_tcp_port: int) -> None:
    """A refused connection and an unknown host are not sent: retried for free."""

    async def main(url: str) -> None:
        async with OpenAICompleter(url, SecretStr(KEY), max_connections=1) as completer:
            await completer.complete(REQUEST)

    for url in (f"http://127.0.0.1:{unused_tcp_port}/v1", "http://no-such-host.invalid/v1"):
        with pytest.raises(NotSent) as raised:
            asyncio.run(main(url))
        assert KEY not in repr(raised.value)


@pytest.fixture
def unused_tcp_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.fault(28)
def test_a_certificate_that_nobody_vouches_for_stops_the_run() -> None:
    """TLS is checked; a server that cannot prove itself gets no request, and the run stops."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    seen: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(100))
        writer.close()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of a failed handshake
        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with server, OpenAICompleter(f"https://localhost:{port}/v1", SecretStr(KEY), max_connections=1) as client:
            await client.complete(REQUEST)

    with pytest.raises(ProviderStop, match=r"llm\.ca_file"):
        asyncio.run(main())
    assert not any(seen)


def test_a_request_carries_the_body_and_the_key_and_nothing_else() -> None:
    """What goes out is the model, the messages and the parameters; connections are used again."""
    seen: list[bytes] = []
    completion = asyncio.run(ask(reply(ANSWER), seen, times=2))
    assert (completion.text, completion.usage.prompt_tokens) == ("hi", 3)
    head, _, body = seen[1].partition(b"\r\n\r\n")
    assert json.loads(body) == {"model": "m", "messages": [{"role": "user", "content": "hello"}], "temperature": 0}
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1")
    assert f"Authorization: Bearer {KEY}".encode() in head
    assert b"Cookie" not in head


@pytest.mark.promise("P17")
def test_nothing_is_logged_about_a_request(caplog: pytest.LogCaptureFixture) -> None:
    """At debug level neither the key nor the body reach the log."""
    with caplog.at_level(logging.DEBUG):
        asyncio.run(ask(reply(ANSWER)))
    assert KEY not in caplog.text
    assert "hello" not in caplog.text


@pytest.mark.promise("P17")
def test_a_secret_shows_itself_to_nobody() -> None:
    """Printing, formatting and pickling a secret give nothing away."""
    import pickle

    secret = SecretStr(KEY)
    assert KEY not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(ConfigError, match="ca_file"):
        OpenAICompleter("https://h/v1", secret, max_connections=1, ca_file="/no/such.pem")


@pytest.mark.promise("P17")
def test_an_echoed_key_of_any_shape_is_struck_out() -> None:
    """A provider that repeats the key, in an error or inside a 200, does not get it into a message."""
    for serve in (
        reply(f"invalid token {KEY}".encode(), "401 Unauthorized"),
        reply(f'{{"error": "no such token: {KEY}"}}'.encode(), "400 Bad Request"),
        reply(f'{{"error": {{"code": 400, "message": "token {KEY}"}}}}'.encode()),
    ):
        assert KEY not in failure(serve).message


@pytest.mark.parametrize("key", ["two\nlines", "ünïcode", "tab\t"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    """A variable that holds a line break or the like is a mistake, said so without showing it."""
    with pytest.raises(ConfigError, match="no key has") as raised:
        OpenAICompleter("https://h/v1", SecretStr(key), max_connections=1)
    assert key not in str(raised.value)
