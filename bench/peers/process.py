"""A contender in its process, seen from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from bench.peers.contenders import Contender
from bench.peers.counting import Endpoint
from bench.peers.environments import ROOT, python_of
from bench.peers.loopback_only import SILENT
from bench.peers.work import Job, check

CONCURRENCY = 64
_KEPT = ("HOME", "LANG", "PATH", "TMPDIR")
"""What of this process's environment a contender sees: nothing that could configure it, and no key."""


class Run(Struct, frozen=True):
    """What one run took: seconds on the wall and of CPU in its process, and how often the endpoint was asked."""

    wall: float
    cpu: float
    asked: int


class Process:
    """A contender that is ready to work.

    Attributes:
        versions: of its packages.
    """

    def __init__(self, popen: subprocess.Popen[str], title: str, endpoint: Endpoint) -> None:
        self._popen = popen
        self._title = title
        self._endpoint = endpoint
        self.versions: dict[str, str] = json.loads(self._told())

    def run(self, source: Path, rows: int, cached: bool) -> Run:
        """Do the work once.

        Raises:
            RuntimeError: it was not done, or somebody else than the endpoint was to be asked.
        """
        with tempfile.TemporaryDirectory(prefix="streamproc-peers-") as folder:
            sink = Path(folder) / "out.jsonl"
            self._endpoint.asked()
            assert self._popen.stdin is not None
            job = Job(self._endpoint.base_url, str(source), str(sink), CONCURRENCY, cached)
            self._popen.stdin.write(json.dumps(job) + "\n")
            self._popen.stdin.flush()
            wall, cpu, tried = json.loads(self._told())
            check(sink, rows)
        if tried:
            raise RuntimeError(f"{self._title} tried to reach {sorted(set(tried))}")
        return Run(wall, cpu, self._endpoint.asked())

    def _told(self) -> str:
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._title} has ended; what it said stands above")
        return line


@contextmanager
def started(contender: Contender, endpoint: Endpoint) -> Iterator[Process]:
    """Start a contender in its environment; it ends with the context."""
    name = contender.environment
    python = sys.executable if name is None else str(python_of(name))
    command = [python, "-m", "bench.peers.worker", contender.module, *contender.packages]
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | SILENT
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=environment) as popen:
        try:
            yield Process(popen, contender.title, endpoint)
        finally:
            popen.kill()
