"""The endpoint of `bench.endpoint`, in a process of its own, that counts how often it was asked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.endpoint import FixedAnswer
from bench.machine import ENDPOINT_CORE, pin


class Endpoint:
    """The endpoint, seen from outside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._counted = 0
        self.base_url = f"http://127.0.0.1:{self._answer()}/v1"

    def asked(self) -> int:
        """Tell how often it was asked since this was asked last."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        before, self._counted = self._counted, self._answer()
        return self._counted - before

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def counting_endpoint() -> Iterator[Endpoint]:
    """Run the endpoint beside this process."""
    command = [sys.executable, "-m", "bench.peers.counting"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Endpoint(process)
        finally:
            process.kill()


async def _serve() -> None:
    counted = 0

    class Counted(FixedAnswer):
        def data_received(self, data: bytes) -> None:
            nonlocal counted
            counted += data.count(b"POST /")
            super().data_received(data)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Counted, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(sys.stdin, lambda: (sys.stdin.readline(), print(counted, flush=True)))
    await server.serve_forever()


if __name__ == "__main__":
    pin(ENDPOINT_CORE)
    asyncio.run(_serve())
