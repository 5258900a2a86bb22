"""For all tests: Hypothesis without a deadline, as real time says nothing about a law; real Redis servers; figures."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import settings

from streamproc.llm.transport import best
from tests.faults.recording import _marks, figure, pytest_addoption, pytest_configure  # noqa: F401 - pytest finds them here
from tests.redis_server import RedisServer

os.environ.pop("PYTHONUNBUFFERED", None)  # what tests start is to behave as it does for everybody
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what runs behind it ignore this one,
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup this one
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command sets the log up for its whole process; here another test follows."""
    loggers = [logging.getLogger(name) for name in ("streamproc", "streamproc.bodies")]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, was in zip(loggers, before, strict=True):
        logger.handlers[:], level, logger.propagate = was
        logger.setLevel(level)  # forgets what it has worked out, too


@pytest.fixture(params=["lean", "lean on uvloop", "aiohttp"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What carries requests: each that `best_transport` may choose, on each event loop that the command may run on."""
    if request.param == "aiohttp":
        monkeypatch.setattr(best, "find_spec", lambda _: None)
    if request.param == "lean on uvloop":
        monkeypatch.setattr(asyncio, "run", uvloop.run)
    return str(request.param)


@pytest.fixture(scope="session")
def _redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(_redis: RedisServer) -> RedisServer:
    """An empty server."""
    assert _redis.ask("FLUSHALL") == b"+OK\r\n"
    return _redis


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may break."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with RedisServer(folder) as server:
        yield server
