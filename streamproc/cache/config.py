"""The `cache` section of a job."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from streamproc.cache.eviction.policies import PolicyName
from streamproc.config import Config, check_path
from streamproc.errors import ConfigError

MB = 1_000_000
REDIS_SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")
_CREDENTIALS = re.compile(r"(?<=://).*@|(?<=password=)[^&]*")
_UNVERIFIED = re.compile(r"(?i)[?&](ssl_cert_reqs=(?!required(&|$))|ssl_check_hostname=(?!(true|1|yes)(&|$)))")

Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.-]{1,64}\Z")]


class CacheConfig(Config, frozen=True, kw_only=True):
    """Where answers are kept, for how long, and how many.

    Attributes:
        enabled: whether to look answers up at all.
        backend: `memory`; `sqlite` or `redis`, with memory in front. Not set: sqlite in the run's own folder for a run
            with a sink, memory for `stream`.
        path: the SQLite file, to share it between runs; without it `<sink path>.streamproc/cache.db`.
        url: the Redis or Valkey server: `redis://host:6379/0`, `rediss://` for TLS, `unix:///path`.
        namespace: redis: what the keys begin with, so that caches on one server stay apart.
        ttl_hours: how long an answer may be used again.
        max_size_mb: most megabytes (1,000,000 bytes) of answers, in memory or in the SQLite file. A Redis server has
            its own bound.
        policy: what makes room in memory: `lru`, `gdsf` (what was cheap to make for its size) or `s3fifo`. A SQLite
            file gives up what is oldest.
        share_samples: whether records share an answer that was drawn at random (a temperature above 0, or not set).
        timeout_seconds: redis: longest wait for one operation; after that the answer counts as missing.
        lease_seconds: redis: how long another process that computes the same is believed to be alive without a sign.
        lease_wait_seconds: redis: longest wait for another process that computes the same.
    """

    enabled: bool = True
    backend: Literal["memory", "sqlite", "redis"] | None = None
    path: str | None = None
    url: str | None = None
    namespace: Name = "default"
    ttl_hours: Annotated[float, Meta(gt=0, le=1e6)] = 24.0
    max_size_mb: Annotated[float, Meta(gt=0, le=1e9)] = 100.0
    policy: PolicyName = "lru"
    share_samples: bool = False
    timeout_seconds: Annotated[float, Meta(gt=0, le=3600)] = 0.25
    lease_seconds: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    lease_wait_seconds: Annotated[float, Meta(ge=0, le=86400)] = 120.0

    def check(self) -> None:
        if self.path is not None:
            check_path("path", self.path)
        if self.path is not None and self.backend in {"memory", "redis"}:
            raise ConfigError(f"path: belongs to backend sqlite, got {self.path!r} with backend {self.backend}")
        if self.backend == "redis":
            if self.url is None:
                raise ConfigError("url: backend redis needs one, such as redis://localhost:6379/0")
            self._check_url(self.url)
        elif self.url is not None:
            raise ConfigError(f"url: belongs to backend redis, got {self.shown_url!r} with backend {self.backend}")

    def _check_url(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            known = parts.scheme in REDIS_SCHEMES and parts.port != 0
        except ValueError:
            known = False
        if not known or not (parts.hostname or parts.path):
            schemes = ", ".join(f"{scheme}://" for scheme in REDIS_SCHEMES)
            raise ConfigError(f"url: must be an address that begins with one of {schemes}, got {self.shown_url!r}")
        if _UNVERIFIED.search(url):
            raise ConfigError(f"url: the server's certificate must be verified, got {self.shown_url!r}")

    @property
    def shown_url(self) -> str:
        """The url with its user and password struck out; empty where there is none."""
        return _CREDENTIALS.sub(lambda found: "***@" if found[0].endswith("@") else "***", self.url or "")

    def __repr__(self) -> str:
        shown = {**msgspec.structs.asdict(self), "url": self.shown_url or None}
        return f"CacheConfig({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return list({**msgspec.structs.asdict(self), "url": self.shown_url or None}.items())

    @property
    def ttl_seconds(self) -> float:
        """How long an answer may be used again, in seconds."""
        return self.ttl_hours * 3600

    @property
    def max_bytes(self) -> int:
        """Most bytes of answers."""
        return int(self.max_size_mb * MB)
