"""How long a process takes from its start to its first request, seen from the endpoint's side."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Sequence

from bench.machine import HOME

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.05
"""Between looks at whether it has ended; a connection is seen at once."""


def first_request(command_for: Callable[[str], Sequence[str]]) -> float:
    """Start a process, wait for the first request it sends, kill it, and give the seconds from start to request.

    Args:
        command_for: gives the command for an endpoint's base URL. Nothing it asks there is answered.

    Raises:
        RuntimeError: it ended, or the patience did, before it sent one.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(POLL_SECONDS)
        command = command_for(f"http://127.0.0.1:{server.getsockname()[1]}/v1")
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                while not _requested(server):
                    if process.poll() is not None or time.perf_counter() - began > PATIENCE_SECONDS:
                        break
                else:
                    return time.perf_counter() - began
            finally:
                process.kill()
            assert process.stdout is not None
            said = process.stdout.read().decode(errors="replace")
    raise RuntimeError(f"no request came from {command}; it said: {said[-2000:]}")


def _requested(server: socket.socket) -> bool:
    try:
        connection, _ = server.accept()
    except TimeoutError:
        return False
    with connection:
        connection.settimeout(PATIENCE_SECONDS)
        return connection.recv(65536).startswith(b"POST ")
