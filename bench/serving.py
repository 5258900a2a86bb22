"""A simulated endpoint in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.machine import ENDPOINT_CORE, pin
from streamproc.simulation import SimulatedServer, profile_named


@contextmanager
def serving(profile: str) -> Iterator[str]:
    """Run an endpoint with a profile beside this process; give its base URL."""
    process = subprocess.Popen([sys.executable, "-m", "bench.serving", profile], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


async def serve(profile: str) -> None:
    """Tell the address on standard output, and serve until killed."""
    async with SimulatedServer(profile_named(profile)) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    pin(ENDPOINT_CORE)
    asyncio.run(serve(sys.argv[1]))
