"""What is known of eviction policies in general, and what floods must not do."""

from collections.abc import Hashable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.cache.bounded import BoundedCache
from streamproc.cache.eviction.gdsf import GreedyDualPolicy
from streamproc.cache.eviction.policies import PolicyName, make_policy
from streamproc.cache.lru import LRUCache

NAMES: list[PolicyName] = ["lru", "gdsf", "s3fifo"]
requests = st.lists(st.integers(0, 12), max_size=150)
each_policy = pytest.mark.parametrize("name", NAMES)


def in_bytes(name: PolicyName, most: int, **options: Any) -> BoundedCache[Any, int]:
    """A cache of numbers that are their own size."""
    return BoundedCache(make_policy(name, most), max_bytes=most, size_of=int, **options)


def ask(cache: BoundedCache[Any, int], key: Hashable, size: int = 1) -> bool:
    """Look up, and set what is missing; say whether it was there."""
    hit = cache.get(key) is not None
    if not hit:
        cache.set(key, size)
    return hit


def belady_hits(keys: Sequence[int], most: int) -> int:
    """The hits of the best choice there is: what is needed again last goes, be it the newcomer itself."""
    next_use: dict[int, int] = {}  # of each key held
    hits = 0
    for at, key in enumerate(keys):
        hits += key in next_use
        next_use[key] = next((later for later in range(at + 1, len(keys)) if keys[later] == key), len(keys))
        if len(next_use) > most:
            del next_use[max(next_use, key=next_use.__getitem__)]
    return hits


@given(requests, st.integers(0, 10))
def test_greedy_dual_with_equal_weights_is_lru(keys: list[int], most: int) -> None:
    """Where every entry weighs the same, GreedyDual hits and misses request for request as LRU does."""
    policy: GreedyDualPolicy[int] = GreedyDualPolicy(lambda uses, size, cost: 1.0)
    equal: BoundedCache[int, int] = BoundedCache(policy, max_entries=most, size_of=int)
    lru: LRUCache[int, int] = LRUCache(max_entries=most, size_of=int)
    for key in keys:
        assert ask(equal, key) == ask(lru, key)
        assert set(equal) == set(lru)


@given(requests, st.integers(0, 9), st.integers(1, 4))
def test_a_larger_lru_holds_all_that_a_smaller_one_holds(keys: list[int], entries: int, more: int) -> None:
    """Inclusion: at every moment the smaller cache's keys are among the larger one's."""
    small: LRUCache[int, int] = LRUCache(max_entries=entries, size_of=int)
    large: LRUCache[int, int] = LRUCache(max_entries=entries + more, size_of=int)
    for key in keys:
        assert ask(large, key) or not ask(small, key)
        ask(small, key)
        assert set(small) <= set(large)


@each_policy
@given(keys=st.lists(st.integers(0, 30), min_size=40, max_size=150), most=st.integers(0, 25))
def test_nobody_hits_more_often_than_one_who_sees_the_future(name: PolicyName, keys: list[int], most: int) -> None:
    """With entries of one size no policy has more hits than Belady's."""
    cache = in_bytes(name, most)
    assert sum(ask(cache, key) for key in keys) <= belady_hits(keys, most)


@each_policy
def test_a_scan_leaves_a_full_cache_and_no_more(name: PolicyName) -> None:
    """Keys that come once are all misses; the cache and its books stay as large as the bound."""
    cache = in_bytes(name, 100)
    assert not any(ask(cache, key) for key in range(20_000))
    assert cache.current_bytes == cache.currsize == cache.metrics().peak_bytes == 100
    assert cache.metrics().evictions == 19_900


def test_what_is_used_often_outlives_a_scan_where_the_policy_promises_it() -> None:
    """A scan drives the working set out of LRU; GDSF and S3-FIFO keep it."""
    kept: dict[PolicyName, int] = {}
    for name in NAMES:
        cache = in_bytes(name, 100)
        for _ in range(5):
            for key in range(5):
                ask(cache, key)
        for key in range(1000, 1000 + 150):
            ask(cache, key)
        kept[name] = sum(key in cache for key in range(5))
    assert kept == {"lru": 0, "gdsf": 5, "s3fifo": 5}


@each_policy
def test_a_loop_one_longer_than_the_cache(name: PolicyName) -> None:
    """The worst case of LRU: the next key is always the one that has just gone. No policy leaves its bounds in it."""
    cache = in_bytes(name, 20)
    hits = sum(ask(cache, turn % 21) for turn in range(2100))
    assert cache.currsize == 20
    assert name == "s3fifo" or hits == 0


@each_policy
@pytest.mark.parametrize("times", [50_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_setting_a_few_keys_again_and_again_takes_no_memory(name: PolicyName, times: int) -> None:
    """Overwriting keys with deadlines grows neither the heap of deadlines nor the policy's books, and loses none."""
    now = 0.0
    policy: Any = make_policy(name, 1000)
    cache: BoundedCache[int, int] = BoundedCache(policy, None, 1000, 60.0, int, lambda: now)
    longest = 0
    for turn in range(times):
        cache.set(turn % 10, 1)
        longest = max(longest, len(cache._deadlines), len(getattr(policy, "_heap", ())))
    assert cache.currsize == 10
    assert longest <= 2 * 10 + 16
    now = 60.0
    assert cache.expire() == 10
    for key in range(100):
        cache.set(key, 1)
    cache.clear()
    assert not cache._deadlines


@each_policy
def test_hits_take_no_memory(name: PolicyName) -> None:
    """A policy's books are as large after many hits as before."""
    policy: Any = make_policy(name, 1000)
    cache: BoundedCache[int, int] = BoundedCache(policy, max_bytes=1000, size_of=int)
    for turn in range(20_000):
        ask(cache, turn % 10)
    assert len(getattr(policy, "_heap", range(10))) == 10


@pytest.mark.parametrize(("name", "largest"), [("lru", 50), ("gdsf", 50), ("s3fifo", 4)])
def test_the_largest_value_that_is_kept(name: PolicyName, largest: int) -> None:
    """A value of exactly the bound is kept (of less than a tenth of it, by S3-FIFO); one byte more is rejected."""
    cache = in_bytes(name, 50)
    for key in range(5):
        cache.set(key, 3)
    cache.set("large", largest)
    assert cache.get("large") == largest
    evictions, entries = cache.metrics().evictions, cache.currsize
    cache.set("new", largest + 1)
    assert cache.get("new") is None
    assert (cache.metrics().rejections, cache.metrics().evictions, cache.currsize) == (1, evictions, entries)
    cache.set("large", largest + 1)
    assert cache.get("large") is None, "the value it had is out of date"


@each_policy
def test_entries_of_no_size(name: PolicyName) -> None:
    """Values of size 0 are kept without a bound on bytes ever being met; a bound on entries still holds."""
    cache = in_bytes(name, 10, max_entries=3)
    for key in range(10):
        cache.set(key, 0)
    assert (cache.currsize, cache.current_bytes, cache.metrics().evictions) == (3, 0, 7)


@each_policy
@pytest.mark.parametrize("entries", [0, 1])
def test_room_for_nothing_and_for_one(name: PolicyName, entries: int) -> None:
    """With room for no entry all values are rejected; with room for one, the newest is there."""
    cache = in_bytes(name, 100, max_entries=entries)
    for key in range(5):
        cache.set(key, 1)
        assert list(cache) == [key][:entries]
    assert cache.metrics().rejections == 5 * (1 - entries)


@each_policy
def test_a_clear_forgets_old_deadlines(name: PolicyName) -> None:
    """What is set after a clear, a deletion or another set lives as long as it was told to, whatever was before."""
    now = 0.0
    cache = in_bytes(name, 100, clock=lambda: now)
    for key in ("cleared", "deleted", "again"):
        cache.set(key, 1, ttl_seconds=5)
    del cache["deleted"]
    cache.set("again", 1, ttl_seconds=50)
    cache.set("deleted", 1)
    now = 10.0
    assert cache.expire() == 1
    assert set(cache) == {"deleted", "again"}
    cache.set("cleared", 1, ttl_seconds=5)
    cache.clear()
    cache.set("cleared", 1, ttl_seconds=50)
    now = 30.0
    assert cache.expire() == 0
    assert cache["cleared"] == 1


@each_policy
def test_a_cleared_cache_is_as_new(name: PolicyName) -> None:
    """After a clear the same requests hit and miss as they did the first time: the policy has learned nothing."""
    cache = in_bytes(name, 40)
    keys = [turn * turn % 97 for turn in range(500)]
    first = [ask(cache, key) for key in keys]
    cache.clear()
    assert [ask(cache, key) for key in keys] == first


@each_policy
def test_what_is_dead_makes_room_before_what_lives(name: PolicyName) -> None:
    """While there are entries whose time is over, no living one is evicted."""
    now = 0.0
    cache = in_bytes(name, 100, max_entries=4, clock=lambda: now)
    for key in range(4):
        cache.set(key, 1, ttl_seconds=5 if key in (2, 3) else None)
    now = 5.0
    cache.set("new", 1)
    cache.set("newer", 1)
    assert set(cache) == {0, 1, "new", "newer"}
    assert (cache.metrics().evictions, cache.metrics().expirations) == (0, 2)
