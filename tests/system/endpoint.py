"""The endpoint as a process of its own, so that what it billed outlives whoever asked.

`python -m tests.system.endpoint LEDGER PROFILE`, the profile as JSON; it prints its address, and ends with its input.
The client is `Endpoint`.
"""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

import msgspec

from streamproc.simulation import Profile, SimulatedServer
from tests.system.nursery import PYTHON, ROOT

PATIENCE_SECONDS = 20.0


class Endpoint:
    """Runs the endpoint. Use it in a `with` block.

    Attributes:
        url: its address.

    Args:
        ledger: the file of its bill; several endpoints may share it.
        profile: fields of a `Profile`.
    """

    def __init__(self, ledger: Path, **profile: Any) -> None:
        self.ledger = ledger
        self._profile = {"name": "simulated", "output_mu": 3.0, "output_sigma": 0.6, **profile}

    def __enter__(self) -> Self:
        command = [*PYTHON, "-m", "tests.system.endpoint", str(self.ledger), json.dumps(self._profile)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the endpoint did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def wait_until(self, figure: str, least: int) -> None:
        """Wait until one of its figures is that high."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.figures()[figure] < least:
            assert time.monotonic() < deadline, f"{figure} did not reach {least}: {self.figures()}"
            time.sleep(0.01)

    def figures(self) -> dict[str, Any]:
        """Give its own figures, as of now."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/simulation") as answer:
            return json.load(answer)


async def serve(ledger: Path, profile: Profile) -> None:
    """Serve until standard input ends."""
    async with SimulatedServer(profile, ledger=ledger) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Profile)))
