"""The price of a hit: `LRUCache.get` against the two calls on an OrderedDict that it cannot do without."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Finding
from bench.machine import CLIENT_CORE, pin
from bench.pairs import alternate, rates
from bench.scenario import Setting
from streamproc.cache.lru import LRUCache

ENTRIES = 10_000
LOOKUPS = 100_000
TIMES = 4
"""Runs are short, so there are so many times as many pairs."""


def measure(setting: Setting) -> Iterator[Finding]:
    """Compare the two in lookups a second, all of them hits in random order; then with deadlines."""
    pin(CLIENT_CORE)
    keys = [f"{number:064x}" for number in range(ENTRIES)]
    asked = random.Random(1).choices(
        keys, k=setting.records(LOOKUPS)
    )  # the keys' own objects, as in a dict's best case
    order = OrderedDict.fromkeys(keys, b"value")

    def by_hand(folder: Path) -> None:
        get, move_to_end = order.get, order.move_to_end
        for key in asked:
            if get(key) is not None:
                move_to_end(key)

    for name, ttl in (("LRUCache.get", None), ("with deadlines", 3600.0)):
        cache: LRUCache[str, bytes] = LRUCache(max_entries=ENTRIES, ttl_seconds=ttl)
        cache.update(order)

        def ours(folder: Path, cache: LRUCache[str, bytes] = cache) -> None:
            get = cache.get
            for key in asked:
                get(key)

        yield rates(name, "OrderedDict", len(asked), alternate(by_hand, ours, TIMES * setting.pairs))
