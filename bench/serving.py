"""A simulated endpoint in a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from bench.machine import HOME, beside
from streamproc.simulation import Profile, SimulatedServer, profile_named


@contextmanager
def serving(profile: str, **changes: float) -> Iterator[str]:
    """Run an endpoint with a profile, and some of its fields changed, beside this process; give its base URL."""
    command = [sys.executable, "-m", "bench.serving", profile, json.dumps(changes)]
    with beside():
        process = subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


async def serve(profile: Profile) -> None:
    """Tell the address on standard output, and serve until killed."""
    async with SimulatedServer(profile) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(replace(profile_named(sys.argv[1]), **json.loads(sys.argv[2]))))
