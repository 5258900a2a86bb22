"""Which policy hits how often, on made requests, against the best choice there is: one that knows the future.

Requests follow Zipf's law, and a part of them come once and never again, as in a scan. With `--trace FILE` the requests
of real caches are played too: see `bench/measures/traces.py` for the forms that are read.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from itertools import accumulate

from bench.figures import Finding, Pair, figure
from bench.measures.traces import Request, play, read
from bench.scenario import Setting
from streamproc.cache.eviction.policies import PolicyName

REQUESTS = 60_000
KEYS = 20_000
ONCE = 0.2
"""The share of requests whose key never comes again."""
SHARES = (0.01, 0.1)
"""Of the different keys: how many the cache has room for."""
LEAST_ROOM = 10
"""S3-FIFO keeps nothing that is larger than a tenth of the room."""
POLICIES: tuple[PolicyName, ...] = ("lru", "gdsf", "s3fifo")


def made(requests: int, seed: int) -> list[Request]:
    """Draw requests of equal size."""
    draw = random.Random(seed)
    weights = list(accumulate(1 / rank for rank in range(1, KEYS + 1)))
    popular = draw.choices(range(KEYS), cum_weights=weights, k=requests)
    return [(KEYS + at if draw.random() < ONCE else key, 1) for at, key in enumerate(popular)]


def best(requests: Sequence[Request], room: int) -> float:
    """Give the hit ratio of Belady's choice: what is needed again last, or never, makes room. Sizes count as 1.

    A key that is needed later than all that are kept is not taken in.
    """
    following: list[int] = [0] * len(requests)
    seen: dict[int, int] = {}
    for at in range(len(requests) - 1, -1, -1):
        key = requests[at][0]
        following[at] = seen.get(key, len(requests) + at)  # never again: later than all, and no two the same
        seen[key] = at
    kept: dict[int, int] = {}
    latest: list[tuple[int, int]] = []
    hits = 0
    for at, (key, _) in enumerate(requests):
        hits += key in kept
        kept[key] = following[at]
        heapq.heappush(latest, (-following[at], key))
        while len(kept) > room:
            when, victim = heapq.heappop(latest)
            if kept.get(victim) == -when:  # else it was used since
                del kept[victim]
    return hits / len(requests)


def measure(setting: Setting) -> Iterator[Finding]:
    """Compare hit ratios on made requests, each pair from a seed of its own; then on each trace that was given."""
    traces = [made(setting.records(REQUESTS), seed) for seed in range(setting.pairs)]
    for share in SHARES:
        pairs: dict[str, list[Pair]] = {policy: [] for policy in POLICIES}
        for requests in traces:
            room = max(LEAST_ROOM, round(share * len(set(requests))))
            limit = 100 * best(requests, room)
            for policy in POLICIES:
                pairs[policy].append((limit, 100 * play(requests, policy, room)[1]))
        for policy in POLICIES:
            yield figure(f"{policy}, room for {share:.0%}", "knowing the future", "%", pairs[policy])
    for path in setting.traces:
        requests = [(key, 1) for key, _ in read(path)]  # the best choice among different sizes is not known
        for share in SHARES:
            room = max(LEAST_ROOM, round(share * len(set(requests))))
            limit = 100 * best(requests, room)
            for policy in POLICIES:
                ratio = 100 * play(requests, policy, room)[1]
                yield figure(
                    f"{path.name}: {policy}, room for {share:.0%}", "knowing the future", "%", [(limit, ratio)]
                )
