"""A BoundedCache as a mapping: copies, pickles, iteration, and what it refuses."""

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.cache.bounded import BoundedCache
from streamproc.cache.eviction.policies import PolicyName, make_policy
from streamproc.cache.lru import LRUCache

Cache = BoundedCache[Any, bytes]
COPIERS: dict[str, Callable[[Cache], Cache]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda cache: pickle.loads(pickle.dumps(cache)),
}
scripts = st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=60)


class Clock:
    """Told the time by its test; a pickle of it is itself."""

    now = 0.0


def clock() -> float:
    return Clock.now


def play(cache: Cache, script: list[tuple[int, bool]]) -> list[bool]:
    """Ask for keys, and set those that are missing where the script says so; give which were there."""
    found = []
    for key, fill in script:
        found.append(key in cache)
        if cache.get(key) is None and fill:
            cache.set(key, bytes(1 + key % 3), ttl_seconds=1 + key)
    return found


@pytest.mark.parametrize("copier", COPIERS)
@pytest.mark.parametrize("name", ["lru", "gdsf", "s3fifo"])
@given(before=scripts, after=scripts, aside=scripts)
def test_a_copy_goes_on_as_its_original_would(
    name: PolicyName,
    copier: str,
    before: list[tuple[int, bool]],
    after: list[tuple[int, bool]],
    aside: list[tuple[int, bool]],
) -> None:
    """A copy hits, misses and evicts as its original does from there on, and sees nothing of what is done to it."""
    Clock.now = 0.0
    original: Cache = BoundedCache(make_policy(name, 40), max_entries=5, max_bytes=40, clock=clock)
    play(original, before)
    twin = COPIERS[copier](original)
    other = COPIERS[copier](original)
    assert twin == original
    assert twin.metrics() == original.metrics()
    play(other, aside)
    other.clear()
    assert play(twin, after) == play(original, after)
    assert twin.metrics() == original.metrics()
    over = sum(key <= 4 for key in original)
    Clock.now = 5.0
    assert over == twin.expire() == original.expire()
    assert twin.metrics() == original.metrics()


def test_a_copy_shares_what_it_does_not_change() -> None:
    """A shallow copy has the very keys and values of its original, and the attributes of a subclass."""

    class Named(LRUCache[Any, Any]):
        lock = None

    original = Named()
    original.lock = threading.Lock()
    key, value = object(), [1]
    original[key] = value
    twin = copy.copy(original)
    assert twin.lock is original.lock
    assert twin[key] is value
    assert twin.popitem() == (key, value)
    assert key in original


def test_what_is_over_is_a_miss() -> None:
    """From its deadline on an entry is not found: the lookup that notices is a miss, and so are those after it."""
    now = 0.0
    cache: LRUCache[str, bytes] = LRUCache(ttl_seconds=5, clock=lambda: now)
    cache["k"] = b"v"
    now = 4.9
    assert cache.get("k") == b"v"
    now = 5.0
    assert [cache.get("k"), cache.get("k"), cache.get("k", b"other")] == [None, None, b"other"]
    with pytest.raises(KeyError):
        cache["k"]
    metrics = cache.metrics()
    assert (metrics.hits, metrics.misses, metrics.expirations, metrics.entries) == (1, 4, 1, 0)


def test_iteration_is_no_use_and_sees_nothing_expire() -> None:
    """Reading all items counts as no lookup, keeps the order of eviction, and goes on while time passes."""
    now = 0.0
    cache: LRUCache[str, bytes] = LRUCache(ttl_seconds=1, clock=lambda: now)
    cache["a"], cache["b"] = b"1", b"2"
    seen = []
    for key, value in cache.items():
        seen.append((key, value))
        now = 5.0
    assert seen == [("a", b"1"), ("b", b"2")]
    assert (cache.metrics().hits, cache.metrics().misses, list(cache.values())) == (0, 0, [])
    cache["a"], cache["b"] = b"1", b"2"
    assert cache == {"a": b"1", "b": b"2"}
    assert cache.popitem() == ("a", b"1")


@pytest.mark.parametrize(
    ("options", "size", "words"),
    [
        ({"ttl_seconds": -1}, 1, "ttl_seconds must be >= 0, got -1"),
        ({"cost": -0.5}, 1, "cost must be >= 0, got -0.5"),
        ({"cost": float("nan")}, 1, "cost must be >= 0, got nan"),
        ({}, -1, r"size_of\(value\) must be >= 0, got -1"),
    ],
)
def test_a_set_that_is_refused_changes_nothing(options: dict[str, Any], size: int, words: str) -> None:
    """A negative size, deadline or cost is refused with its value, and the earlier value stays."""
    cache: LRUCache[str, int] = LRUCache(size_of=int)
    cache.set("k", 1)
    with pytest.raises(ValueError, match=words):
        cache.set("k", size, **options)
    assert cache["k"] == 1


def test_cost_decides_where_the_policy_looks_at_it() -> None:
    """Of two values of one size, GDSF keeps the one that was dear; LRU keeps the later one."""
    choices: dict[PolicyName, bytes] = {"gdsf": b"dear", "lru": b"poor"}
    for name, kept in choices.items():
        cache: Cache = BoundedCache(make_policy(name, 8), max_bytes=8)
        cache.set(1, b"dear", cost=10)
        cache.set(2, b"poor", cost=1)
        cache.set(3, b"last", cost=1)
        assert list(cache.values()) == [kept, b"last"]
