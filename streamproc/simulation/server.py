"""The simulated endpoint over HTTP: OpenAI's completions and embeddings, with faults on a real socket."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path
from types import TracebackType

import anyio
import msgspec
from aiohttp import web

from streamproc.simulation import wire
from streamproc.simulation.engine import Answer, Declined, Engine, Spoiled, TextAnswers
from streamproc.simulation.profiles import Profile
from streamproc.simulation.question import MalformedRequest
from streamproc.simulation.tally import Figures, Ledger
from streamproc.simulation.texts import TextKind

_JSON = {"Content-Type": "application/json"}
_HTML = {"Content-Type": "text/html"}
_METHODS = {
    "/v1/chat/completions": "POST",
    "/v1/completions": "POST",
    "/v1/embeddings": "POST",
    "/v1/models": "GET",
    "/simulation": "GET",
}
_TEXT_KINDS: dict[str, TextKind] = {"/v1/completions": "completions", "/v1/embeddings": "embeddings"}
_NO_LINGER = struct.pack("ii", 1, 0)
_SHUTDOWN_SECONDS = 0.01  # aiohttp takes 0 for "without limit"


class SimulatedServer:
    """Serve one simulated endpoint while the `async with` block runs; enter it once.

    `POST /v1/chat/completions`, `/v1/completions`, `/v1/embeddings` and `GET /v1/models` are OpenAI's;
    `GET /simulation` gives the `Figures` as JSON and needs no key. Leaving the block closes every connection at
    once, answered or not.

    Args:
        profile: how the endpoint behaves.
        host: the address to listen on.
        port: 0 takes a free one.
        seed: of the lengths of the answers and of the faults.
        api_key: demanded as a bearer token; any other is answered 401. `None` takes everybody.
        ledger: a file that gets one line for each billed request; see `Ledger`.

    Raises:
        OSError: on entering, when the address is taken.
        StorageFailed: on entering, when the ledger cannot be opened.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        api_key: str | None = None,
        ledger: Path | None = None,
    ) -> None:
        self._profile = profile
        self._host = host
        self._port = port
        self._seed = seed
        self._authorization = None if api_key is None else f"Bearer {api_key}"
        self._ledger_path = ledger

    async def __aenter__(self) -> SimulatedServer:
        self._ledger = None if self._ledger_path is None else Ledger(self._ledger_path)
        self._engine = Engine(self._profile, self._seed, ledger=self._ledger)
        # A handler is cancelled when its client leaves: then the engine stops working for it.
        server = web.Server(self._handle, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port, backlog=1024).start()
        except OSError:
            await self._close()
            raise
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._close()

    @property
    def url(self) -> str:
        """The address that an OpenAI client takes as its base, ending in `/v1`."""
        return f"http://{self._host}:{self._port}/v1"

    def figures(self) -> Figures:
        """Give what the endpoint did so far."""
        return self._engine.figures()

    async def _close(self) -> None:
        await self._runner.cleanup()
        if self._ledger is not None:
            self._ledger.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if (method := _METHODS.get(path)) is None:
            return self._error(404, f"there is nothing at {path}", "not_found")
        if request.method != method:
            return self._error(405, f"{path} takes {method}, got {request.method}", "method_not_allowed")
        if path == "/simulation":
            return web.Response(body=wire.encode_json(self.figures()), headers=_JSON)
        if self._authorization is not None and request.headers.get("Authorization") != self._authorization:
            return self._error(401, "the API key is not the one this endpoint demands", "invalid_api_key")
        if path == "/v1/models":
            return web.Response(body=wire.encode_models(self._profile.name), headers=_JSON)
        return await self._complete(request)

    async def _complete(self, request: web.BaseRequest) -> web.StreamResponse:
        payload = await request.content.read()  # not request.read(), which refuses more than 1 MiB
        try:
            answer = await self._answer(request.path, msgspec.json.decode(payload))
        except msgspec.DecodeError as error:
            return self._error(400, f"the body must be JSON: {error}", "invalid_json")
        except MalformedRequest as error:
            return self._error(400, str(error), "invalid_request", counted=True)
        except Declined as error:
            hint = wire.retry_after_header(error.reply.retry_after) | self._budget_headers()
            return self._error(error.reply.status, str(error), error.reply.code, hint, counted=True)
        except Spoiled as spoiled:
            return await self._spoil(request, spoiled)
        return web.Response(body=_encode(answer), headers=_JSON | self._budget_headers())

    async def _answer(self, path: str, body: object) -> Answer | TextAnswers:
        kind = _TEXT_KINDS.get(path)
        return await (self._engine.answer(body) if kind is None else self._engine.answer_texts(body, kind))

    async def _spoil(self, request: web.BaseRequest, spoiled: Spoiled) -> web.StreamResponse:
        if spoiled.fault == "hang":
            await anyio.sleep_forever()
        if spoiled.fault == "html":
            return web.Response(body=wire.HTML_PAGE, headers=_HTML)
        if spoiled.fault == "truncate_body" and spoiled.answer is not None:
            return await self._send_half(request, spoiled.answer)
        return self._reset(request)

    async def _send_half(self, request: web.BaseRequest, answer: Answer | TextAnswers) -> web.StreamResponse:
        body = _encode(answer)
        response = web.StreamResponse(headers=_JSON | {"Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    def _reset(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            # Without lingering it sends RST, as a crashed server does; otherwise it looks like a polite end.
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            request.transport.abort()
        return web.Response()

    def _error(
        self,
        status: int,
        message: str,
        code: str,
        headers: dict[str, str] | None = None,
        *,
        counted: bool = False,
    ) -> web.Response:
        if not counted:
            self._engine.tally.requests += 1
            self._engine.tally.reject(status)
        body = wire.encode_error(status, message, code)
        return web.Response(status=status, body=body, headers=_JSON | (headers or {}))

    def _budget_headers(self) -> dict[str, str]:
        return wire.budget_headers(self._engine.budget(), anyio.current_time())


def _encode(answer: Answer | TextAnswers) -> bytes:
    now = int(time.time())
    return wire.encode_completion(answer, now) if isinstance(answer, Answer) else wire.encode_texts(answer, now)
