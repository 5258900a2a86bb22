"""The `cache` section of a job."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from streamproc.config import Config
from streamproc.errors import ConfigError

MB = 1_000_000


class CacheConfig(Config, frozen=True, kw_only=True):
    """Where answers are kept, for how long, and how many.

    Attributes:
        enabled: whether to look answers up at all.
        backend: `memory`, or `sqlite` (with memory in front). Not set: sqlite in the run's own folder for a run with a
            sink, memory for `stream`.
        path: the SQLite file, to share it between runs; without it `<sink path>.streamproc/cache.db`.
        ttl_hours: how long an answer may be used again.
        max_size_mb: most megabytes (1,000,000 bytes) of answers.
    """

    enabled: bool = True
    backend: Literal["memory", "sqlite"] | None = None
    path: str | None = None
    ttl_hours: Annotated[float, Meta(gt=0, le=1e6)] = 24.0
    max_size_mb: Annotated[float, Meta(gt=0, le=1e9)] = 100.0

    def check(self) -> None:
        if self.path is not None and self.backend == "memory":
            raise ConfigError(f"path: belongs to backend sqlite, got {self.path!r} with backend memory")

    @property
    def ttl_seconds(self) -> float:
        """How long an answer may be used again, in seconds."""
        return self.ttl_hours * 3600

    @property
    def max_bytes(self) -> int:
        """Most bytes of answers."""
        return int(self.max_size_mb * MB)
