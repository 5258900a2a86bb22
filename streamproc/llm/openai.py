"""A client of any OpenAI-compatible endpoint: what is asked, and what a reply amounts to."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from streamproc.completions import Completion, Kind, Request
from streamproc.errors import Ambiguous, ConfigError, ProviderError
from streamproc.llm.answers import completion_from
from streamproc.llm.batch_answers import continuations_from, embeddings_from
from streamproc.llm.config import check_base_url
from streamproc.llm.errors import error_for
from streamproc.llm.rate_limits import LIMIT_HEADERS, RateLimits, told_limits, unsure_of_period
from streamproc.llm.transport.best import best_transport
from streamproc.llm.transport.transport import STALE, Reply
from streamproc.secret import SHORTEST_SECRET, SecretStr

MAX_ANSWER_BYTES = 16 << 20
MAX_EMBEDDING_BYTES = 256 << 10
"""What each text of a batch may add to the longest answer."""
_INPUT_FIELD: dict[Kind, str] = {"completions": "prompt", "embeddings": "input"}

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


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
        self._api_key = api_key
        self._transport = best_transport(base_url, api_key, _trusted(base_url, ca_file), max_connections)
        self.resent = 0
        self._stated: tuple[str | None, ...] = (None,) * len(LIMIT_HEADERS)
        self._unsure = False
        self._limits: RateLimits | None = None

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    async def complete(self, request: Request) -> Completion:
        """Ask once, and read the whole answer.

        Raises:
            ProviderError: what happened. Its text holds no header and no key.
        """
        if request.text is not None:
            return (await self.complete_many((request,)))[0]
        body = _encode({"model": request.model, "messages": request.messages, **request.parameters})
        return self._read(await self._post("/chat/completions", body, MAX_ANSWER_BYTES), completion_from)

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
        return self._read(await self._post(f"/{first.kind}", body, most), lambda body: read(body, texts))

    @property
    def limits(self) -> RateLimits | None:
        """The account's rate limits, as the endpoint told them last; `None` where it told none."""
        return self._limits

    def _listen(self, headers: Mapping[str, str]) -> None:
        """Read the account's limits where they were not read before; they rarely change."""
        stated = tuple(map(headers.get, LIMIT_HEADERS))
        if stated != self._stated or self._unsure:
            self._stated = stated
            self._unsure = unsure_of_period(headers)
            limits = told_limits(headers)
            if limits != self._limits:
                self._limits = limits

    async def _post(self, path: str, body: bytes, most_bytes: int) -> bytes:
        """Send, and once more on a connection of its own where the first was stale: that was hardly looked at."""
        reply = await self._attempt(path, body, most_bytes, fresh=False)
        if isinstance(reply, Ambiguous) and reply.code == STALE:
            self.resent += 1
            reply = await self._attempt(path, body, most_bytes, fresh=True)
        if isinstance(reply, ProviderError):
            raise reply
        self._listen(reply.headers)
        if reply.status == 200:
            return reply.body
        failure = error_for(reply.status, reply.headers, self._without_key(reply.body))
        del reply  # or its body, which may hold the key, would be among the error's frames
        raise failure

    async def _attempt(self, path: str, body: bytes, most_bytes: int, *, fresh: bool) -> Reply | ProviderError:
        """Send; give an error without the frames it came through, whose variables hold what was answered."""
        try:
            return await self._transport.post(path, body, most_bytes, fresh=fresh)
        except ProviderError as error:
            error.__cause__ = error.__context__ = None
            return error.with_traceback(None)

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


def _trusted(base_url: str, ca_file: str | None) -> ssl.SSLContext | None:
    """Give whom to trust; `None` for an address without TLS, as reading the system's authorities takes 20 ms."""
    if ca_file is None and urlsplit(base_url).scheme == "http":
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"llm.ca_file: cannot read {ca_file!r}: {error.strerror or error}") from error


def body_of(request: Request) -> dict[str, Any]:
    """Give the body that is sent for a request alone, as plain data; for people to look at."""
    asked: dict[str, Any] = {"messages": request.messages}
    if request.text is not None:
        asked = {_INPUT_FIELD[request.kind]: [request.text]}
    body: dict[str, Any] = msgspec.to_builtins({"model": request.model, **asked, **request.parameters})
    return body
