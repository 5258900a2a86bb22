"""cachetools' tests of a cache class, on our LRUCache."""

import unittest

from as_cachetools import AsCachetools

from tests import CacheTestMixin  # of cachetools' source archive


class TestLRUCache(unittest.TestCase, CacheTestMixin):
    """Inherits every test."""

    Cache = AsCachetools
