"""The price of a hit: `LRUCache.get` against the two calls on an OrderedDict that it cannot do without."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from bench.pairs import Figure, compare
from streamproc.cache.lru import LRUCache

ENTRIES = 10_000
LOOKUPS = 100_000
PAIRS = 101
WANTED = 0.334
"""At most three times the time."""
WANTED_WITH_DEADLINES = 0.2
"""Each hit looks at the clock, too."""


def measure(scale: float) -> Iterator[Figure]:
    """Compare the two in lookups a second, all of them hits in random order; then with deadlines.

    Args:
        scale: so many times the usual number of lookups.
    """
    keys = [f"{number:064x}" for number in range(ENTRIES)]
    asked = random.Random(1).choices(keys, k=round(LOOKUPS * scale))  # the keys' own objects, as in a dict's best case
    order = OrderedDict.fromkeys(keys, b"value")

    def by_hand(folder: Path) -> None:
        get, move_to_end = order.get, order.move_to_end
        for key in asked:
            if get(key) is not None:
                move_to_end(key)

    for name, ttl, wanted in (("LRUCache.get", None, WANTED), ("with deadlines", 3600.0, WANTED_WITH_DEADLINES)):
        cache: LRUCache[str, bytes] = LRUCache(max_entries=ENTRIES, ttl_seconds=ttl)
        cache.update(order)

        def streamproc(folder: Path, cache: LRUCache[str, bytes] = cache) -> None:
            get = cache.get
            for key in asked:
                get(key)

        yield compare(name, len(asked), wanted, by_hand, streamproc, pairs=PAIRS)
