"""The webhook against real servers on this machine that are slow, gone, endless, or somebody's trick."""

import asyncio
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from streamproc import AlertsConfig, ResourceAlert
from streamproc.errors import ConfigError
from streamproc.monitoring import webhook as module
from streamproc.monitoring.configured_webhook import webhook_from
from streamproc.monitoring.webhook import Webhook
from streamproc.simulation.virtual_time import run_virtual

ALERT = ResourceAlert(
    metric="memory",
    level="critical",
    value=960.0,
    threshold=950.0,
    state="firing",
    since=3.0,
    at=10.0,
    message="too much",
)
CANARY = "CANARY-hunter2"
Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]
TLS = ssl.create_default_context()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Reads requests, and answers as told.

    Attributes:
        port: where it listens.
        seen: heads and bodies of the requests so far.
    """

    def __init__(self, answer: bytes | Serve = OK, tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._tls = tls
        self.port = 0
        self.seen: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                head = await reader.readuntil(b"\r\n\r\n")
                (length,) = (
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
                )
                self.seen.append((head, await reader.readexactly(length)))
                if callable(self._answer):
                    await self._answer(writer)
                else:
                    writer.write(self._answer)
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        finally:
            writer.transport.abort()


def finds(*answers: str) -> Callable[[str, int], Coroutine[Any, Any, Sequence[str]]]:
    """A resolver that gives one list of addresses after another, with blanks between addresses."""
    left = list(answers)

    async def lookup(_: str, __: int) -> Sequence[str]:
        return left.pop(0).split()

    return lookup


async def post(url: str, *, count: int = 1, **options: Any) -> Webhook:
    async with Webhook(url, **{"allow_private": True, "timeout_seconds": 2.0, **options}) as webhook:
        for _ in range(count):
            webhook(ALERT)
    assert webhook.delivered + webhook.failed + webhook.dropped == count
    assert webhook.waiting == 0
    return webhook


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(vars(entry)["reason"]) for entry in caplog.records if entry.message == "alert.undelivered"]


def test_an_alert_arrives_as_json() -> None:
    """One request with everything about the alert, and a line that chat services show."""

    async def main() -> None:
        async with Server() as server:
            webhook = await post(f"http://127.0.0.1:{server.port}/hook?team=a")
            assert webhook.delivered == 1
            ((head, body),) = server.seen
        assert head.startswith(b"POST /hook?team=a HTTP/1.1\r\n")
        told = json.loads(body)
        assert told.pop("time").endswith("Z")
        assert told == {
            "text": "[critical firing] too much",
            "metric": "memory",
            "level": "critical",
            "state": "firing",
            "repeated": False,
            "value": 960.0,
            "threshold": 950.0,
            "lasted_seconds": 7.0,
            "message": "too much",
        }

    asyncio.run(main())


def test_over_tls_to_the_address_that_was_checked() -> None:
    """The connection goes to the address that was found, and the certificate is held against the name."""
    authority = trustme.CA()
    server_tls, client_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("hook.example").configure_cert(server_tls)
    authority.configure_trust(client_tls)

    async def main() -> None:
        async with Server(tls=server_tls) as server:
            right, wrong = f"https://hook.example:{server.port}/", f"https://other.example:{server.port}/"
            assert (await post(right, lookup=finds("127.0.0.1"), tls=client_tls)).delivered == 1
            assert (await post(wrong, lookup=finds("127.0.0.1"), tls=client_tls)).failed == 1
            assert (await post(right, lookup=finds("127.0.0.1"))).failed == 1
            assert len(server.seen) == 1

    asyncio.run(main())


@pytest.mark.fault(58)
def test_a_name_that_leads_elsewhere_at_the_second_lookup(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each alert is looked up once, and goes where that says; an address that is private the second time is refused,
    and nothing is sent there."""
    monkeypatch.setattr(module, "kind_of", lambda address: "public" if address == "127.0.0.1" else "private")
    authority = trustme.CA()
    server_tls, client_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("hook.example").configure_cert(server_tls)
    authority.configure_trust(client_tls)

    async def main() -> None:
        async with Server(tls=server_tls) as server:
            url = f"https://hook.example:{server.port}/"
            lookup = finds("127.0.0.1", "127.0.0.2", "127.0.0.1 10.0.0.1", "127.0.0.1")
            webhook = await post(url, count=4, lookup=lookup, tls=client_tls, allow_private=False)
            assert (webhook.delivered, webhook.failed) == (2, 2)
            assert server.connections == 2

    asyncio.run(main())
    assert reasons(caplog) == [
        "the host leads to 127.0.0.2, which is not allowed",
        "the host leads to 10.0.0.1, which is not allowed",
    ]


@pytest.mark.fault(58)
@pytest.mark.parametrize("addresses", ["169.254.169.254", "::ffff:169.254.169.254", "127.0.0.1 fe80::1", "0.0.0.0", ""])
def test_metadata_is_refused_even_where_private_is_allowed(addresses: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the name leads to, nothing is sent to addresses of the cloud's own, and nothing where one of several is
    such."""

    async def main() -> None:
        async with Server() as server:
            webhook = await post(f"http://hook.example:{server.port}/", lookup=finds(addresses))
            assert (webhook.failed, server.connections) == (1, 0)

    asyncio.run(main())
    assert "not allowed" in reasons(caplog)[0] or "no address" in reasons(caplog)[0]


@pytest.mark.fault(58)
def test_plain_http_never_leaves_the_private_network(caplog: pytest.LogCaptureFixture) -> None:
    """An http:// name that leads to a public address is refused: the alert would be readable on the way."""

    async def main() -> None:
        assert (await post("http://hook.example/", lookup=finds("8.8.8.8"))).failed == 1

    asyncio.run(main())
    assert reasons(caplog) == ["the host leads to 8.8.8.8, which is not allowed"]


@pytest.mark.fault(58)
def test_redirects_are_not_followed(caplog: pytest.LogCaptureFixture) -> None:
    """A redirect to the cloud's metadata, or anywhere, is a failure, and one request is all there is."""

    async def main() -> None:
        async with Server() as target:
            for place in ("http://169.254.169.254/latest/meta-data/", f"http://127.0.0.1:{target.port}/"):
                for status in ("302 Found", "307 Temporary Redirect"):
                    answer = f"HTTP/1.1 {status}\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
                    async with Server(answer) as server:
                        webhook = await post(f"http://127.0.0.1:{server.port}/")
                        assert (webhook.failed, len(server.seen)) == (1, 1)
            assert target.connections == 0

    asyncio.run(main())
    assert reasons(caplog)[0] == "it answered 302, and redirects are not followed"


async def hang(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.fault(58)
@pytest.mark.parametrize("serve", [hang, drip])
def test_a_slow_server_holds_nobody_up(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Telling never waits; what has no answer in time is given up, and what waits at the end is dropped in time. On
    virtual time."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Server(serve) as server:
            async with Webhook(
                f"http://127.0.0.1:{server.port}/", allow_private=True, most_waiting=3, tls=TLS
            ) as webhook:
                for _ in range(20):
                    webhook(ALERT)
                assert (loop.time(), webhook.waiting, webhook.dropped) == (0, 3, 17)
                await asyncio.sleep(6)
                assert (webhook.delivered, webhook.failed, webhook.waiting) == (0, 1, 1)
            assert loop.time() == pytest.approx(11)
            assert (webhook.delivered, webhook.failed, webhook.dropped, webhook.waiting) == (0, 3, 17, 0)
            webhook(ALERT)
            assert (webhook.waiting, webhook.dropped) == (0, 18)

    run_virtual(main())
    assert reasons(caplog) == ["no answer within 5 s", "no answer within 5 s", "the run ended first"]


@pytest.mark.fault(58)
def test_a_server_that_is_down(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listens, a reset, an error and garbage are failures with a reason; the next alert is sent all the same."""

    async def main() -> None:
        async def reset(writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with Server() as server:
            pass
        assert (await post(f"http://127.0.0.1:{server.port}/", count=2)).failed == 2
        for answer in (reset, b"what is this", b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"):
            async with Server(answer) as server:
                assert (await post(f"http://127.0.0.1:{server.port}/", count=2)).failed == 2

    asyncio.run(main())
    assert reasons(caplog)[-1] == "it answered 500"


@pytest.mark.fault(58)
def test_an_endless_answer_is_not_read() -> None:
    """An answer without end counts by its status; the connection is closed, and next to nothing of it was taken in."""
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async def main() -> None:
        async with Server(endless) as server:
            assert (await post(f"http://127.0.0.1:{server.port}/")).delivered == 1

    asyncio.run(main())
    assert sent < 32 << 20  # what the system's buffers took in


@pytest.mark.fault(58)
@given(st.integers(1, 6), st.integers(0, 20))
def test_the_newest_wait_and_the_others_are_counted(most: int, told: int) -> None:
    """However many alerts come, no more than the bound wait, and each one that does not is counted."""
    webhook = Webhook("https://hook.example/", most_waiting=most, tls=TLS)
    for _ in range(told):
        webhook(ALERT)
    assert webhook.waiting == min(most, told)
    assert webhook.dropped == max(0, told - most)


@pytest.mark.promise("P17")
def test_nothing_of_the_address_but_its_host_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """User, password, path and query are secrets, whatever goes wrong and however much is logged."""
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        async with Server(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n") as server:
            at = f"{CANARY}:{CANARY}@127.0.0.1:{server.port}/{CANARY}?key={CANARY}"
            await post(f"http://{at}")
        await post(f"http://{at}")
        await post(f"https://u:{CANARY}@hook.example/{CANARY}?{CANARY}", lookup=finds("169.254.169.254"))

    asyncio.run(main())
    shown = caplog.text + "".join(repr(vars(entry)) for entry in caplog.records)
    assert "hook.example" in shown
    assert CANARY not in shown


@pytest.mark.fault(58)
@pytest.mark.parametrize(
    ("url", "rule"),
    [
        (f"ftp://hook.example/{CANARY}", "must begin with https://"),
        (f"http://hook.example/{CANARY}", "must begin with https://"),
        (f"https://127.0.0.1/{CANARY}", "leads to 127.0.0.1, which is not allowed"),
        (f"https://[::ffff:169.254.169.254]/{CANARY}", "which is not allowed"),
        (f"https://2130706433/{CANARY}", "number for a host"),
        (f"https://127.1/{CANARY}", "number for a host"),
        (f"https://0x7f000001/{CANARY}", "number for a host"),
        (f"https://0177.0.0.1/{CANARY}", "leads to 0177.0.0.1, which is not allowed"),
        (f"https://{CANARY}@/x", "is no address"),
        (f"https://hook.example:0/{CANARY}", "is no address"),
        (f"https://hook.example/ {CANARY}", "is no address"),
        (f"https://good.example\\@{CANARY}/", "is no address"),
        (f"{CANARY}", "is no address"),
        ("", "ALERTS_URL is not set"),
    ],
)
def test_addresses_that_are_never_allowed(url: str, rule: str) -> None:
    """What is no address, or can only be a mistake or a trick, is refused at the start, without showing it."""
    with pytest.raises(ConfigError) as refused:
        webhook_from(AlertsConfig(webhook_url_env="ALERTS_URL"), {"ALERTS_URL": url}.get)
    assert rule in str(refused.value)
    assert "ALERTS_URL" in str(refused.value)
    assert CANARY not in str(refused.value)


def test_the_configuration() -> None:
    """No variable, no webhook; a variable's name, its address; and an address in the name's place is not shown."""
    assert webhook_from(AlertsConfig(), {}.get) is None
    assert webhook_from(AlertsConfig(webhook_url_env="U"), {"U": " https://hook.example/x\n"}.get) is not None
    assert (
        webhook_from(AlertsConfig(webhook_url_env="U", allow_private=True), {"U": "http://127.0.0.1/"}.get) is not None
    )
    with pytest.raises(ConfigError) as refused:
        AlertsConfig(webhook_url_env=f"https://hook.example/{CANARY}")
    assert "must be the NAME" in str(refused.value)
    assert CANARY not in str(refused.value)
