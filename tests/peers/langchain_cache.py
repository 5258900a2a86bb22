"""LangChain's standard tests of a cache, on ours, over the back end that PEER_BACK_END names."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from back_ends import BACK_ENDS
from langchain_core.caches import BaseCache
from langchain_tests.integration_tests.cache import AsyncCacheTestSuite, SyncCacheTestSuite

from streamproc.cache.config import CacheConfig
from streamproc.extra.langchain import LangChainCache


class OnOurs:
    """Gives each test an empty cache."""

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Iterator[BaseCache]:
        with LangChainCache(CacheConfig(), BACK_ENDS[os.environ["PEER_BACK_END"]](tmp_path)) as ours:
            ours.clear()
            yield ours


class TestSync(OnOurs, SyncCacheTestSuite):
    """Inherits every test of the synchronous calls."""


class TestAsync(OnOurs, AsyncCacheTestSuite):
    """Inherits every test of the asynchronous calls."""
