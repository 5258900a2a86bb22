"""An OpenAI-compatible endpoint without latency, in another process, so cheap that the client is what is measured.

It answers any POST on a kept-alive connection with one fixed chat completion, and looks at nothing but lengths.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.machine import HOME, beside

ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"bench","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"positive"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":24,"completion_tokens":1,"total_tokens":25}}'
)
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
_LENGTH = b"content-length:"


class FixedAnswer(asyncio.Protocol):
    """Answer each request as soon as its last byte is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        while (end := received.find(b"\r\n\r\n")) >= 0:
            head = received[:end].lower()
            at = head.find(_LENGTH)
            stop = end + 4 + (int(head[at + len(_LENGTH) :].split(b"\r", 1)[0]) if at >= 0 else 0)
            if len(received) < stop:
                break
            received = received[stop:]
            self._transport.write(_RESPONSE)
        self._received = received


async def serve() -> None:
    """Listen on a free port, tell it on standard output, and serve until killed."""
    server = await asyncio.get_running_loop().create_server(FixedAnswer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def running_endpoint() -> Iterator[str]:
    """Run the endpoint beside this process; give its base URL."""
    with beside():
        command = [sys.executable, "-m", "bench.endpoint"]
        process = subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    asyncio.run(serve())
