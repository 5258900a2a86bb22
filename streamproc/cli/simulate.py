"""`streamproc simulate`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from streamproc.errors import ConfigError
from streamproc.simulation import SimulatedServer, profile_named


def serve(port: int, profile: str, seed: int, api_key: str | None, ledger: Path | None) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        ConfigError: no such profile, or the port is taken.
    """
    server = SimulatedServer(profile_named(profile), port=port, seed=seed, api_key=api_key, ledger=ledger)
    try:
        asyncio.run(_serve(server, profile))
    except OSError as error:
        raise ConfigError(f"--port {port}: cannot listen: {error.strerror or error}") from error


async def _serve(server: SimulatedServer, profile: str) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with server:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        sys.stdout.write(f"simulated endpoint ({profile}) at {server.url}\n")
        sys.stdout.flush()
        await stopped.wait()
    figures = server.figures()
    sys.stdout.write(f"{figures.requests} requests, {figures.billed} billed, {figures.billed_again} of these again\n")
