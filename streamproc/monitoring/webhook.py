"""Alerts by HTTP to an address of the operator's, which may be wrong, slow, gone, or somebody's trick."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from streamproc._closing import Closing
from streamproc._log import log
from streamproc.errors import ConfigError
from streamproc.monitoring.addresses import kind_of
from streamproc.monitoring.alerting import ResourceAlert
from streamproc.secret import SecretStr

TIMEOUT_SECONDS = 5.0
MOST_WAITING = 64
READ_BUFFER_BYTES = 1 << 14
"""An answer's body is not read; aiohttp takes in up to twice this, and a read of the socket, before it is closed."""

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host's name and a port."""

_ENDS_IN_A_NUMBER = re.compile(r"(?:^|\.)(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?$")


class Webhook(Closing):
    """Post alerts as JSON, one after another, on a task of its own. Use it as an async context manager.

    It is itself what `on_alert` takes. Each alert is sent once: its host is looked up, every address that is found is
    checked, and the connection goes to one of just these; redirects are not followed. Whatever goes wrong is logged and
    counted, and nothing of it is raised. Leaving the block sends what waits, for at most `timeout_seconds`.

    Args:
        url: where to; a secret, of which nothing but the host is logged.
        allow_private: whether this may be this machine or a private network, there also over plain HTTP.
        name: what to call the address in messages, such as the variable that held it.
        timeout_seconds: how long one alert may take in all.
        most_waiting: alerts that wait to be sent; beyond this the oldest is dropped and counted.
        lookup: finds addresses.
        tls: whom to trust; the system's authorities if not given.

    Attributes:
        delivered: alerts that were answered with success.
        failed: alerts that were not.
        dropped: alerts that were never sent, as too many waited or the time was up.

    Raises:
        ConfigError: the address is none, or one that is never allowed. The message does not hold it.
    """

    def __init__(
        self,
        url: str | SecretStr,
        *,
        allow_private: bool = False,
        name: str = "the webhook's address",
        timeout_seconds: float = TIMEOUT_SECONDS,
        most_waiting: int = MOST_WAITING,
        lookup: Lookup | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._secret = url if isinstance(url, SecretStr) else SecretStr(url)
        found = _checked(self._secret.reveal(), allow_private=allow_private)
        if isinstance(found, str):  # raised out here, where no variable but the caller's own holds the address
            raise ConfigError(f"{name} {found}")
        self._host, self._port = found.raw_host or "", found.port or 0
        self._allowed = {"private"} if found.scheme == "http" else {"public", *(["private"] if allow_private else [])}
        self._timeout = timeout_seconds
        self._most_waiting = most_waiting
        self._lookup = lookup or _look_up
        self._tls = tls or ssl.create_default_context()
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.delivered = self.failed = self.dropped = 0

    async def __aenter__(self) -> Self:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="streamproc-webhook")
        return self

    async def aclose(self) -> None:
        """Send what waits, for at most `timeout_seconds`; take nothing more. Harmless when called twice."""
        self._closing = True
        self._arrived.set()
        task, self._task = self._task, None
        if task is not None:
            try:
                await asyncio.wait([task], timeout=self._timeout)
            finally:
                task.cancel()
            await asyncio.wait([task])
        self.dropped += len(self._waiting)
        self._waiting.clear()

    def __call__(self, alert: ResourceAlert) -> None:
        """Have an alert sent. Never waits and never raises."""
        if self._closing:
            self.dropped += 1
            return
        if len(self._waiting) >= self._most_waiting:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(_body(alert))
        self._arrived.set()

    @property
    def waiting(self) -> int:
        """How many alerts wait to be sent."""
        return len(self._waiting)

    async def _run(self) -> None:
        while True:
            while self._waiting:
                await self._deliver(self._waiting.popleft())
            if self._closing:
                return
            self._arrived.clear()
            await self._arrived.wait()

    async def _deliver(self, body: bytes) -> None:
        """Send one alert, and count how that went."""
        reason: str | None = "the run ended first"
        try:
            async with asyncio.timeout(self._timeout):
                reason = await self._post(body)
        except TimeoutError:
            reason = f"no answer within {self._timeout:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:  # their texts may hold the whole address
            reason = type(error).__name__
        finally:
            if reason is None:
                self.delivered += 1
            else:
                self.failed += 1
                log.warning("alert.undelivered", host=self._host, reason=reason)

    async def _post(self, body: bytes) -> str | None:
        """Send one alert; give why it did not arrive, or `None` if it did."""
        addresses = await self._addresses()
        refused = next((each for each in addresses if kind_of(each) not in self._allowed), None)
        if refused is not None or not addresses:
            return f"the host leads to {refused}, which is not allowed" if refused else "the host has no address"
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(addresses),
            use_dns_cache=False,
            ssl=self._tls,
            force_close=True,
            socket_factory=_only_to(addresses),
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Content-Type": "application/json", "User-Agent": "streamproc"},
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                read_bufsize=READ_BUFFER_BYTES,
                trust_env=False,
            ) as session,
            session.post(URL(self._secret.reveal()), data=body, allow_redirects=False) as response,
        ):
            if 200 <= response.status < 300:
                return None
            redirected = ", and redirects are not followed" if 300 <= response.status < 400 else ""
            return f"it answered {response.status}{redirected}"

    async def _addresses(self) -> Sequence[str]:
        return [self._host] if _is_address(self._host) else await self._lookup(self._host, self._port)


def _checked(url: str, *, allow_private: bool) -> URL | str:
    """Give the address in parts, or what is wrong with it: one parser reads it for the check and the connection."""
    try:
        parsed = URL(url)
        host, port = parsed.raw_host or "", parsed.port or 0
    except ValueError:
        return "is no address"
    if not host or not port or any(character.isspace() for character in url):
        return "is no address"
    if parsed.scheme != "https" and not (parsed.scheme == "http" and allow_private):
        return "must begin with https://; http:// is for private addresses, with allow_private"
    if _is_address(host):
        kind = kind_of(host)
        if kind == "never" or (kind == "private" and not allow_private):
            return f"leads to {host}, which is not allowed"
    elif _ENDS_IN_A_NUMBER.search(host):
        return "has a number for a host that is no address in its usual form"
    return parsed


def _is_address(host: str) -> bool:
    return ":" in host or bool(re.fullmatch(r"\d+(\.\d+){3}", host))


def _body(alert: ResourceAlert) -> bytes:
    """Put an alert into JSON; `text` is what chat services show."""
    return msgspec.json.encode(
        {
            "text": f"[{alert.level} {alert.state}] {alert.message}",
            "metric": alert.metric,
            "level": alert.level,
            "state": alert.state,
            "repeated": alert.repeated,
            "value": alert.value,
            "threshold": alert.threshold,
            "lasted_seconds": alert.at - alert.since,
            "message": alert.message,
            "time": datetime.now(UTC),
        }
    )


async def _look_up(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Pinned(AbstractResolver):
    """Knows only what was found before."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


def _only_to(addresses: Sequence[str]) -> Callable[[Any], socket.socket]:
    """Make sockets for connections to these addresses and no other: the last check, whatever was decided before."""

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, target = info
        if target[0] not in addresses:
            raise PermissionError("this address was not checked")
        return socket.socket(family, kind, protocol)

    return make
