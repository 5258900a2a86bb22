"""What an endpoint can do to its callers, by name. Shares no code with streamproc: bytes, written by hand.

Each entry of `MISBEHAVIOURS` says whether the request is billed all the same, and acts on an `Exchange`.
"""

import asyncio
import gzip
import json
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any

GIB = 1 << 30
PIECE = b" " * (1 << 20)
TRICKLE_SECONDS = 0.1
HTML = b"<!doctype html><html><head><title>%s</title></head><body>nginx</body></html>"
MONEY = (
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "enforced_spend_limit_reached",
)


@dataclass
class Exchange:
    """One request, and the way to answer it.

    Attributes:
        prompt: the user's last message.
        number: the first whole number in it; -1 if there is none.
        reused: whether the connection has carried a request before.
        wait: seconds that a refusal asks for, where it asks for any.
        location: where a redirect leads.
        keep: whether the connection is kept for another request.
        asked: seconds that the caller was asked to wait; `None` where it was not.
    """

    prompt: str
    number: int
    reused: bool
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    wait: float = 1.0
    location: str = "http://127.0.0.1:1/v1/chat/completions"
    keep: bool = True
    asked: float | None = None

    def completion(self, **changes: Any) -> dict[str, Any]:
        """Give a proper answer, its text the first sentence of the prompt."""
        message = {"role": "assistant", "content": self.prompt.partition(".")[0]} | changes.pop("message", {})
        choice = {"index": 0, "message": message, "finish_reason": changes.pop("finish_reason", "stop")}
        words = len(self.prompt.split())
        return {
            "id": f"chatcmpl-{self.number}",
            "object": "chat.completion",
            "model": "oracle",
            "choices": [choice],
            "usage": {"prompt_tokens": words, "completion_tokens": 2, "total_tokens": words + 2},
        } | changes

    async def left(self, seconds: float) -> bool:
        """Wait for the caller to leave; tell whether it did within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                return not await self.reader.read(1)
        except TimeoutError:
            return False

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int = 200, length: int | None = None, **headers: str) -> None:
        """Send status line and headers; without a length the body ends with the connection, unless it is chunked."""
        lines = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        elif "Transfer_Encoding" not in headers:
            lines.append("Connection: close")
            self.keep = False
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def respond(self, status: int, body: bytes, **headers: str) -> None:
        """Send a whole response, in one piece."""
        lines = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)

    async def chunk(self, data: bytes) -> None:
        """Send a chunk of a chunked body."""
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))


Act = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True)
class Misbehaviour:
    """One of them: what it does, and whether the request is billed."""

    act: Act
    bills: bool = False


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


def _error(code: Any = None, kind: Any = None, message: str = "It went wrong.") -> bytes:
    return _json({"error": {"code": code, "type": kind, "message": message}})


def _refusing(status: int, body: bytes = b"", **headers: str) -> Misbehaviour:
    async def act(exchange: Exchange) -> None:
        await exchange.respond(status, body, **headers)

    return Misbehaviour(act)


def _waiting(headers: Callable[[float], dict[str, str]], status: int = 429) -> Misbehaviour:
    async def act(exchange: Exchange) -> None:
        exchange.asked = exchange.wait
        await exchange.respond(status, _error("rate_limit_exceeded", "requests"), **headers(exchange.wait))

    return Misbehaviour(act)


def _date(seconds: float, skew: float) -> dict[str, str]:
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=skew)
    due = now + timedelta(seconds=round(seconds))
    return {"Date": format_datetime(now, usegmt=True), "Retry_After": format_datetime(due, usegmt=True)}


def _with(**changes: Any) -> Misbehaviour:
    async def act(exchange: Exchange) -> None:
        await exchange.respond(200, _json(exchange.completion(**changes)))

    return Misbehaviour(act, bills=True)


def _rewritten(rewrite: Callable[[bytes], bytes]) -> Misbehaviour:
    async def act(exchange: Exchange) -> None:
        await exchange.respond(200, rewrite(_json(exchange.completion())))

    return Misbehaviour(act, bills=True)


def _saying(odd: str) -> Misbehaviour:
    """Answer with an odd text, written as JSON escapes where it cannot be UTF-8."""

    async def act(exchange: Exchange) -> None:
        await exchange.respond(200, _json(exchange.completion(message={"content": odd})))

    return Misbehaviour(act, bills=True)


def _success(body: bytes, *, bills: bool) -> Misbehaviour:
    async def act(exchange: Exchange) -> None:
        await exchange.respond(200, body)

    return Misbehaviour(act, bills)


async def answer(exchange: Exchange) -> None:
    """Answer as is proper."""
    await exchange.respond(200, _json(exchange.completion()))


async def _reset(exchange: Exchange) -> None:
    exchange.keep = False
    connection = exchange.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.writer.transport.abort()


async def _close(exchange: Exchange) -> None:
    exchange.keep = False


async def _reset_if_reused(exchange: Exchange) -> None:
    await (_reset if exchange.reused else answer)(exchange)


async def _close_if_reused(exchange: Exchange) -> None:
    await (_close if exchange.reused else answer)(exchange)


def _cut(framing: str, after: Act) -> Misbehaviour:
    """Send half of an answer and end the connection; framed by `length`, in chunks (`chunked`), or by its end alone."""

    async def act(exchange: Exchange) -> None:
        body = _json(exchange.completion())
        half = body[: len(body) // 2]
        if framing == "chunked":
            await exchange.head(Transfer_Encoding="chunked")
            await exchange.chunk(half)
        else:
            await exchange.head(length=len(body) if framing == "length" else None)
            await exchange.send(half)
        await after(exchange)

    return Misbehaviour(act, bills=True)


async def _trickle_headers(exchange: Exchange) -> None:
    exchange.keep = False
    await exchange.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    await _trickle(exchange)


async def _trickle_body(exchange: Exchange) -> None:
    exchange.keep = False
    await exchange.head(length=100_000)
    await _trickle(exchange)


async def _trickle(exchange: Exchange) -> None:
    while not await exchange.left(TRICKLE_SECONDS):
        await exchange.send(b" ")


async def _hang(exchange: Exchange) -> None:
    exchange.keep = False
    await exchange.left(1e9)


async def _hang_in_body(exchange: Exchange) -> None:
    await exchange.head(length=1000)
    await _hang(exchange)


async def _gib_with_length(exchange: Exchange) -> None:
    await exchange.head(length=GIB)
    for _ in range(GIB // len(PIECE)):
        await exchange.send(PIECE)


async def _gib_chunked(exchange: Exchange) -> None:
    await exchange.head(Transfer_Encoding="chunked")
    for _ in range(GIB // len(PIECE)):
        await exchange.chunk(PIECE)
    await exchange.chunk(b"")


async def _gib_to_the_end(exchange: Exchange) -> None:
    await exchange.head()
    for _ in range(GIB // len(PIECE)):
        await exchange.send(PIECE)


@cache
def _packed(wbits: int) -> bytes:
    """Compress a quarter of a GiB of spaces, to some 250 kB."""
    packer = zlib.compressobj(6, wbits=wbits)
    return b"".join([packer.compress(PIECE) for _ in range(256)]) + packer.flush()


def _bomb(wbits: int, encoding: str, status: int = 200) -> Misbehaviour:
    async def act(exchange: Exchange) -> None:
        await exchange.respond(status, _packed(wbits), Content_Encoding=encoding)

    return Misbehaviour(act, bills=status == 200)


def _compressed(pack: Callable[[bytes], bytes], encoding: str) -> Misbehaviour:
    async def act(exchange: Exchange) -> None:
        await exchange.respond(200, pack(_json(exchange.completion())), Content_Encoding=encoding)

    return Misbehaviour(act, bills=True)


async def _long_header(exchange: Exchange) -> None:
    await exchange.respond(200, _json(exchange.completion()), X_Long="x" * 9000)


async def _many_headers(exchange: Exchange) -> None:
    many = {f"X_{number}": "x" * 100 for number in range(10_000)}
    await exchange.respond(200, _json(exchange.completion()), **many)


async def _endless_headers(exchange: Exchange) -> None:
    exchange.keep = False
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    line = b"X-Endless: " + b"x" * 1000 + b"\r\n"
    while True:
        await exchange.send(line * 100)


def _redirect(status: int) -> Misbehaviour:
    async def act(exchange: Exchange) -> None:
        await exchange.respond(status, b"", Location=exchange.location)

    return Misbehaviour(act)


_CONTEXT = "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens."
_CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_TEXT = b'"content": "'

MISBEHAVIOURS: dict[str, Misbehaviour] = {
    "answer": Misbehaviour(answer, bills=True),
    # The run's affair.
    "401": _refusing(401, _error("invalid_api_key", None, "Incorrect API key provided.")),
    "402": _refusing(402, _error(402, None, "Insufficient credits.")),
    "403": _refusing(403, _error("unsupported_country_region_territory")),
    "404": _refusing(404, b"404 page not found"),
    "404-model": _refusing(404, _error("model_not_found", "invalid_request_error", "The model does not exist.")),
    **{f"429-{name}": _refusing(429, _error(name, name), Retry_After="1") for name in MONEY},
    "302": _redirect(302),
    "307": _redirect(307),
    # The record's affair.
    "400": _refusing(400, _error("bad_value", "invalid_request_error")),
    "400-context": _refusing(400, _error("context_length_exceeded", "invalid_request_error", _CONTEXT)),
    "400-context-int": _refusing(
        400, _json({"object": "error", "message": _CONTEXT, "type": "BadRequestError", "code": 400})
    ),
    "400-filter": _refusing(400, _error("content_filter", None, "The prompt triggered the content policy.")),
    "413": _refusing(413, HTML % b"413 Request Entity Too Large"),
    "422": _refusing(422, b'{"detail": [{"loc": ["body"], "msg": "field required"}]}'),
    # For now only.
    "402-retry-after": _waiting(lambda seconds: {"Retry_After": str(round(seconds))}, 402),
    "408": _refusing(408),
    "409": _refusing(409, _error("conflict")),
    "425": _refusing(425),
    "500": _refusing(500, _error("server_error")),
    "502": _refusing(502, _error("bad_gateway")),
    "502-html": _refusing(502, HTML % b"502 Bad Gateway"),
    "503": _refusing(503, _error("unavailable")),
    "503-html": _refusing(503, HTML % b"503 Service Temporarily Unavailable"),
    "503-retry-after": _waiting(lambda seconds: {"Retry_After": f"{seconds:g}"}, 503),
    "504": _refusing(504, HTML % b"504 Gateway Time-out"),
    "529": _refusing(529, _json({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})),
    "429": _refusing(429, _error("rate_limit_exceeded", "requests")),
    "429-seconds": _waiting(lambda seconds: {"Retry_After": str(round(seconds))}),
    "429-float": _waiting(lambda seconds: {"Retry_After": f"{seconds:.3f}"}),
    "429-ms": _waiting(lambda seconds: {"Retry_After_Ms": str(round(seconds * 1000)), "Retry_After": "77"}),
    "429-date": _waiting(lambda seconds: _date(seconds, 0)),
    "429-skewed-date": _waiting(lambda seconds: _date(seconds, -86_400)),
    "429-nan": _refusing(429, _error("rate_limit_exceeded"), Retry_After="NaN"),
    "429-negative": _refusing(429, _error("rate_limit_exceeded"), Retry_After="-1"),
    "429-huge": _refusing(429, _error("rate_limit_exceeded"), Retry_After="1e9"),
    # Success without an answer.
    "error-in-200": _success(_error(502, None, "Upstream failed."), bills=True),
    "empty": _success(b"", bills=False),
    "no-choices": _with(choices=[]),
    "null-content": _with(message={"content": None}),
    "html": _success(HTML % b"Log in", bills=False),
    # Answers that are not whole.
    "length": _with(finish_reason="length"),
    "content-filter": _with(finish_reason="content_filter"),
    "tool-calls": _with(message={"content": None, "tool_calls": [_CALL]}, finish_reason="tool_calls"),
    "unknown-reason": _with(finish_reason="new_reason"),
    # Answers that cannot be read, or only just.
    "cut-json": _rewritten(lambda body: body[: len(body) // 2]),
    "bad-utf8": _rewritten(lambda body: body.replace(_TEXT, _TEXT + b"\xff\xfe")),
    "bom": _rewritten(lambda body: b"\xef\xbb\xbf" + body),
    "nan": _rewritten(lambda body: body.replace(b'"prompt_tokens": ', b'"nan": NaN, "prompt_tokens": ')),
    "duplicate-keys": _rewritten(lambda body: body.replace(_TEXT, b'"content": "no", ' + _TEXT)),
    "brackets": _success(b"[" * 100_000, bills=True),
    # Odd characters.
    "surrogate": _saying("half \ud800 a pair"),
    "nul": _saying("a\0b"),
    "u2028": _saying("a\u2028b\u2029c\u0085d"),
    "10mb": _saying("long " * 2_000_000),
    "controls": _saying("".join(map(chr, range(1, 32))) + "\x7f\x9b\x1b[31m\x1b]0;title\x07\r\n"),
    # Bombs.
    "1gib-length": Misbehaviour(_gib_with_length, bills=True),
    "1gib-chunked": Misbehaviour(_gib_chunked, bills=True),
    "1gib-to-the-end": Misbehaviour(_gib_to_the_end, bills=True),
    "gzip-bomb": _bomb(31, "gzip"),
    "deflate-bomb": _bomb(15, "deflate"),
    "gzip-bomb-500": _bomb(31, "gzip", 500),
    "gzip": _compressed(gzip.compress, "gzip"),
    "deflate": _compressed(zlib.compress, "deflate"),
    "br": _compressed(bytes, "br"),
    "9kb-header": Misbehaviour(_long_header, bills=True),
    "10000-headers": Misbehaviour(_many_headers, bills=True),
    "endless-headers": Misbehaviour(_endless_headers, bills=True),
    # Connections.
    "reset": Misbehaviour(_reset),
    "close": Misbehaviour(_close),
    "reset-if-reused": Misbehaviour(_reset_if_reused),
    "close-if-reused": Misbehaviour(_close_if_reused),
    "cut-length": _cut("length", _close),
    "cut-chunked": _cut("chunked", _close),
    "cut-to-the-end": _cut("end", _close),
    "reset-length": _cut("length", _reset),
    "reset-chunked": _cut("chunked", _reset),
    "slow-headers": Misbehaviour(_trickle_headers, bills=True),
    "slow-body": Misbehaviour(_trickle_body, bills=True),
    "hang": Misbehaviour(_hang, bills=True),
    "hang-in-body": Misbehaviour(_hang_in_body, bills=True),
    # Absurd accounts.
    "no-usage": _with(usage=None),
    "negative-usage": _with(usage={"prompt_tokens": -5, "completion_tokens": -1}),
    "huge-usage": _with(usage={"prompt_tokens": 10**30, "completion_tokens": 10**18}),
    "text-usage": _with(usage={"prompt_tokens": "many", "completion_tokens": []}),
    "same-id": _with(id="chatcmpl-1"),
}
"""By name. `reset-if-reused` and `close-if-reused` answer properly on a new connection, which is billed by them."""
