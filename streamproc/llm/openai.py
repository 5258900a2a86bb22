"""A client of any OpenAI-compatible endpoint, over aiohttp.

Settings follow what was measured of aiohttp: its pool must never be the limit (waiting in it counts as the request's
own time), redirects turn a POST into a GET or carry it to a stranger, kept-alive connections must be dropped before the
server drops them, it inflates without a bound, and its exceptions hold the request's headers, so none of them is ever a
cause or context of ours.
"""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

import aiohttp
import msgspec
from multidict import CIMultiDict

from streamproc.completions import Completion, Kind, Request
from streamproc.errors import Ambiguous, ConfigError, ProviderError, ProviderStop
from streamproc.llm.answers import completion_from
from streamproc.llm.batch_answers import continuations_from, embeddings_from
from streamproc.llm.capped_body import CappedBody
from streamproc.llm.config import check_base_url
from streamproc.llm.errors import error_for
from streamproc.llm.rate_limits import LIMIT_HEADERS, RateLimits, told_limits, unsure_of_period
from streamproc.llm.wire_errors import CONNECT_SECONDS, STALE, mapped, mapped_os
from streamproc.secret import SHORTEST_SECRET, SecretStr

LARGE_BODY_BYTES = 1 << 20
MAX_ANSWER_BYTES = 16 << 20
MAX_EMBEDDING_BYTES = 256 << 10
"""What each text of a batch may add to the longest answer."""
MAX_ERROR_BYTES = 1 << 20
MAX_HEADER_BYTES = 16 << 10
MAX_HEADERS = 500
KEEPALIVE_SECONDS = 4.0  # servers commonly close idle connections after 5

_INPUT_FIELD: dict[Kind, str] = {"completions": "prompt", "embeddings": "input"}

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_reused: ContextVar[bool] = ContextVar("_reused", default=False)
"""Whether the connection of this task's request has carried another before."""


class _Connector(aiohttp.TCPConnector):
    """Tells who gets a connection whether it was used before."""

    def __init__(self, limit: int, tls: ssl.SSLContext) -> None:
        super().__init__(limit=limit, keepalive_timeout=KEEPALIVE_SECONDS, ssl=tls)
        self._known: WeakSet[Any] = WeakSet()

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        connection = await super().connect(*arguments, **options)
        _reused.set(connection.protocol in self._known)
        self._known.add(connection.protocol)
        return connection


class OpenAICompleter:
    """Ask `POST <base_url>/chat/completions`, `/completions` or `/embeddings`. Use it as an async context manager.

    Args:
        base_url: the endpoint's address, usually ending in `/v1`.
        api_key: sent as a bearer token; empty for an endpoint that asks for none.
        max_connections: most connections at once; at least as many as there are concurrent calls.
        ca_file: certificate authorities in PEM, in place of the system's.

    Attributes:
        resent: requests that were sent again, each once and at once, because their connection turned out to be stale.

    Raises:
        ConfigError: the address is none, or the certificates cannot be read.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr,
        *,
        max_connections: int,
        ca_file: str | None = None,
    ) -> None:
        check_base_url(base_url)
        if not api_key.reveal().isprintable() or not api_key.reveal().isascii():
            raise ConfigError("llm.api_key_env: the variable holds characters that no key has, such as a line break")
        self._chat_url = base_url.rstrip("/") + "/chat/completions"
        self._urls = {kind: f"{base_url.rstrip('/')}/{kind}" for kind in _INPUT_FIELD}
        self._api_key = api_key
        self._max_connections = max_connections
        try:
            self._tls = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise ConfigError(f"llm.ca_file: cannot read {ca_file!r}: {error.strerror or error}") from error
        self._session: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self.resent = 0
        self._stated: tuple[str | None, ...] = (None,) * len(LIMIT_HEADERS)
        self._unsure = False
        self._limits: RateLimits | None = None

    async def __aenter__(self) -> Self:
        self._session = self._open(_Connector(self._max_connections, self._tls))
        self._fresh = self._open(aiohttp.TCPConnector(limit=0, force_close=True, ssl=self._tls))
        return self

    def _open(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
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

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sessions = self._session, self._fresh
        self._session = self._fresh = None
        for session in sessions:
            if session is not None:
                await session.close()

    async def complete(self, request: Request) -> Completion:
        """Ask once, and read the whole answer.

        Raises:
            ProviderError: what happened. Its text holds no header and no key.
        """
        if request.text is not None:
            return (await self.complete_many((request,)))[0]
        body = _encode({"model": request.model, "messages": request.messages, **request.parameters})
        return self._read(await self._post(self._chat_url, body, MAX_ANSWER_BYTES), completion_from)

    async def complete_many(self, requests: Sequence[Request]) -> list[Completion]:
        """Ask once for the embeddings or the continuations of many texts, see `BatchCompleter`.

        Raises:
            ProviderError: what happened. Its text holds no header and no key.
        """
        first = requests[0]
        texts = [request.text or "" for request in requests]
        body = _encode({"model": first.model, _INPUT_FIELD[first.kind]: texts, **first.parameters})
        most = MAX_ANSWER_BYTES + len(texts) * MAX_EMBEDDING_BYTES
        read = embeddings_from if first.kind == "embeddings" else continuations_from
        return self._read(await self._post(self._urls[first.kind], body, most), lambda body: read(body, texts))

    @property
    def limits(self) -> RateLimits | None:
        """The account's rate limits, as the endpoint told them last; `None` where it told none."""
        return self._limits

    def _listen(self, headers: Mapping[str, str]) -> None:
        """Read the account's limits where they were not read before; they rarely change."""
        stated = tuple(headers.get(name) for name in LIMIT_HEADERS)
        if stated != self._stated or self._unsure:
            self._stated = stated
            self._unsure = unsure_of_period(headers)
            limits = told_limits(_lower(headers))
            if limits != self._limits:
                self._limits = limits

    async def _post(self, url: str, body: bytes, most_bytes: int) -> bytes:
        """Send, and once more on a connection of its own where the first was stale: that was hardly looked at."""
        assert self._session is not None, "use it as an async context manager"
        assert self._fresh is not None
        answer = await self._attempt(self._session, url, body, most_bytes)
        if isinstance(answer, Ambiguous) and answer.code == STALE:
            self.resent += 1
            answer = await self._attempt(self._fresh, url, body, most_bytes)
        if isinstance(answer, ProviderError):
            raise answer
        return answer

    async def _attempt(
        self, session: aiohttp.ClientSession, url: str, body: bytes, most_bytes: int
    ) -> bytes | ProviderError:
        """Send; give an error without the frames it came through, whose variables hold what was answered."""
        try:
            return await self._send(session, url, body, most_bytes)
        except ProviderError as error:
            error.__cause__ = error.__context__ = None
            return error.with_traceback(None)

    async def _send(self, session: aiohttp.ClientSession, url: str, body: bytes, most_bytes: int) -> bytes:
        answering = False
        _reused.set(False)
        try:
            data = body if len(body) < LARGE_BODY_BYTES else io.BytesIO(body)  # aiohttp sends large bytes in one go
            async with session.post(url, data=data, allow_redirects=False) as response:
                answering = True
                status, headers = response.status, response.headers
                answer = await _read(response, most_bytes)
                self._listen(headers)
        except aiohttp.ClientError as error:
            failure = mapped(error, stale=_reused.get() and not answering)
        except UnicodeError:  # of the host's name
            failure = ProviderStop("llm.base_url is not a usable address", code="invalid_url")
        except OSError as error:  # the socket itself, outside what aiohttp wraps
            failure = mapped_os(error)
        else:
            if status == 200:
                return answer
            raise error_for(status, _lower(headers), self._without_key(answer))
        raise failure

    def _read(self, answer: bytes, read: Callable[[bytes], T]) -> T:
        with suppress(ProviderError):
            return read(answer)
        answer = self._without_key(answer)
        return read(answer)  # raises it again, with nothing to hide in it

    def _without_key(self, body: bytes) -> bytes:
        """Strike out the key, whatever its shape, from a body that goes into an error: some providers echo it."""
        key = self._api_key.reveal().encode()
        if len(key) < SHORTEST_SECRET:
            return body
        return body.replace(key, b"[redacted]").replace(key.replace(b"/", b"\\/"), b"[redacted]")  # as PHP writes it


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


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def body_of(request: Request) -> dict[str, Any]:
    """Give the body that is sent for a request alone, as plain data; for people to look at."""
    asked: dict[str, Any] = {"messages": request.messages}
    if request.text is not None:
        asked = {_INPUT_FIELD[request.kind]: [request.text]}
    body: dict[str, Any] = msgspec.to_builtins({"model": request.model, **asked, **request.parameters})
    return body
