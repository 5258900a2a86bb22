"""`streamproc cache`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from streamproc.cache.sqlite.backend import SqliteBackend
from streamproc.errors import ConfigError
from streamproc.pipeline.assembly import cache_path
from streamproc.pipeline.config import PipelineConfig


def stats(job: Path, settings: list[str]) -> None:
    """Print what a job's cache holds."""

    async def show(cache: SqliteBackend) -> str:
        figures = cache.metrics()
        return f"{figures.entries} answers, {figures.current_bytes} bytes"

    _with_cache(job, settings, show)


def prune(job: Path, settings: list[str]) -> None:
    """Remove answers whose time is over."""

    async def remove(cache: SqliteBackend) -> str:
        return f"{await cache.prune()} answers removed"

    _with_cache(job, settings, remove)


def clear(job: Path, settings: list[str]) -> None:
    """Remove all answers."""

    async def remove(cache: SqliteBackend) -> str:
        entries = cache.metrics().entries
        await cache.clear()
        return f"{entries} answers removed"

    _with_cache(job, settings, remove)


def _with_cache(job: Path, settings: list[str], work: Callable[[SqliteBackend], Awaitable[str]]) -> None:
    config = PipelineConfig.load(job, settings=settings)
    path = cache_path(config)
    if path is None:
        keeps = "enabled: false" if not config.cache.enabled else "backend: memory"
        raise ConfigError(f"cache: {{{keeps}}} leaves nothing behind to look at; backend sqlite does")
    if not path.exists():
        sys.stdout.write(f"{path}: no answers yet\n")
        return

    async def opened() -> str:
        async with SqliteBackend(path, config.cache.max_bytes) as cache:
            return await work(cache)

    if path.is_dir():
        raise ConfigError(f"cache.path: must name a file, got the folder {str(path)!r}")
    sys.stdout.write(f"{path}: {asyncio.run(opened())}\n")
