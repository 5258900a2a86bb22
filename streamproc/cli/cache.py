"""`streamproc cache`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from streamproc.cache.backend import LastingBackend
from streamproc.cache.backends import redis_backend
from streamproc.cache.config import CacheConfig
from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.cli.jobs import load_job
from streamproc.errors import ConfigError
from streamproc.observe.printable import one_line
from streamproc.pipeline.assembly import cache_path


def stats(job: Path, settings: list[str]) -> None:
    """Print what a job's cache holds."""

    async def show(cache: LastingBackend) -> str:
        figures = await cache.measure()
        return f"{figures.entries} answers, {figures.current_bytes} bytes"

    _with_cache(job, settings, show)


def prune(job: Path, settings: list[str]) -> None:
    """Remove answers whose time is over."""

    async def remove(cache: LastingBackend) -> str:
        return f"{await cache.prune()} answers removed"

    _with_cache(job, settings, remove)


def clear(job: Path, settings: list[str]) -> None:
    """Remove all answers."""

    async def remove(cache: LastingBackend) -> str:
        entries = (await cache.measure()).entries
        await cache.clear()
        return f"{entries} answers removed"

    _with_cache(job, settings, remove)


def _with_cache(job: Path, settings: list[str], work: Callable[[LastingBackend], Awaitable[str]]) -> None:
    config = load_job(job, settings)
    path = cache_path(config)
    if path is not None and not path.exists():
        sys.stdout.write(f"{one_line(str(path))}: no answers yet\n")
        return
    where, cache = _cache(config.cache, path)

    async def opened() -> str:
        async with cache:
            return await work(cache)

    sys.stdout.write(f"{one_line(where)}: {asyncio.run(opened())}\n")


def _cache(config: CacheConfig, path: Path | None) -> tuple[str, LastingBackend]:
    if path is not None:
        if path.is_dir():
            raise ConfigError(f"cache.path: must name a file, got the folder {str(path)!r}")
        return str(path), SqliteBackend(path, config.max_bytes)
    if config.enabled and config.backend == "redis":
        return f"{config.shown_url} namespace {config.namespace}", redis_backend(config)
    keeps = "enabled: false" if not config.enabled else "backend: memory"
    raise ConfigError(f"cache: {{{keeps}}} leaves nothing behind to look at; backend sqlite or redis does")
