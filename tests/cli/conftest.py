"""The real command, called in this process, because starting an interpreter costs half a second."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest import mock

import pytest

from streamproc.cli.app import main
from streamproc.simulation import SimulatedServer, profile_named


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def command(tmp_path, monkeypatch) -> Command:
    """Run `streamproc ARGUMENTS` in an empty folder and an environment without settings, to its exit code."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "STREAMPROC_")):
            monkeypatch.delenv(name)

    def run(*arguments: object, **environ: str) -> Ended:
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.object(sys, "argv", ["streamproc", *map(str, arguments)]),
            mock.patch.dict(os.environ, environ),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, out.getvalue(), err.getvalue())

    return run


@contextlib.contextmanager
def served(server: SimulatedServer) -> Iterator[SimulatedServer]:
    """Serve on a thread with an event loop of its own while the block runs."""
    up, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with server:
            up.set()
            await stop.wait()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert up.wait(10)
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


@pytest.fixture(scope="session")
def endpoint() -> Iterator[SimulatedServer]:
    """An endpoint that answers at once; its figures add up over all tests of a process."""
    with served(SimulatedServer(profile_named("instant"))) as server:
        yield server


@pytest.fixture(scope="session")
def guarded_endpoint() -> Iterator[SimulatedServer]:
    """An endpoint that takes one key only."""
    with served(SimulatedServer(profile_named("instant"), api_key="sk-the-right-key")) as server:
        yield server
