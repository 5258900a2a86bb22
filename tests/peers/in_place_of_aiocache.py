"""A pytest plug-in: our cache in the place of aiocache's memory and Redis caches, over what PEER_BACK_END names.

aiocache's acceptance tests ask for `Cache()`, for `Cache(Cache.REDIS)` and for addresses of both; all give ours then.
"""

import os
import tempfile
from pathlib import Path
from typing import Any, Self

import aiocache
import pytest
from aiocache.factory import Cache
from back_ends import BACK_ENDS

from streamproc.cache.aiocache.frontend import BackendCache

FOLDER = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Put our cache in the place of aiocache's; whatever it keeps on the disk goes with the run."""
    config.stash[FOLDER] = tempfile.TemporaryDirectory()
    folder = Path(config.stash[FOLDER].name)
    make = BACK_ENDS[os.environ["PEER_BACK_END"]]

    class Ours(BackendCache):
        """Owns its back end, as aiocache's caches own theirs, and starts empty."""

        def __init__(self, **settings: Any) -> None:
            super().__init__(make(folder), **settings)

        async def __aenter__(self) -> Self:
            await self._backend.open()
            await self._backend.clear()
            return self

        async def __aexit__(self, *error: object) -> None:
            await self._backend.aclose()

    aiocache.AIOCACHE_CACHES["memory"] = Cache.MEMORY = Ours
    aiocache.AIOCACHE_CACHES["redis"] = Cache.REDIS = Ours
    Cache.__new__.__defaults__ = (Ours,)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder."""
    config.stash[FOLDER].cleanup()
