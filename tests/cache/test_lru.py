"""LRUCache against a list and a dict that do the same, slowly."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamproc.cache.lru import LRUCache

keys = st.integers(0, 6)
sizes = st.integers(0, 12)


class Model(RuleBasedStateMachine):
    """Every operation on the cache and on a plain list of [key, value, expires_at], least recently used first."""

    @initialize(
        entries=st.one_of(st.none(), st.integers(0, 5)),
        size=st.one_of(st.none(), st.integers(0, 20)),
        ttl=st.one_of(st.none(), st.integers(0, 10)),
    )
    def begin(self, entries: int | None, size: int | None, ttl: int | None) -> None:
        self.now = 100.0
        self.bounds = entries, size, ttl
        self.cache: LRUCache[int, bytes] = LRUCache(entries, size, ttl, len, clock=lambda: self.now)
        self.model: list[tuple[int, bytes, float]] = []
        self.lookups = 0

    def alive(self, key: int) -> bytes | None:
        return next((value for k, value, expires in self.model if k == key and self.now < expires), None)

    def forget(self, key: int) -> None:
        self.model = [entry for entry in self.model if entry[0] != key]

    @rule(key=keys, size=sizes, ttl=st.one_of(st.none(), st.integers(0, 20)))
    def set(self, key: int, size: int, ttl: int | None) -> None:
        _, most, default = self.bounds
        self.cache.set(key, b"x" * size, ttl_seconds=ttl)
        self.forget(key)
        if most is not None and size > most:
            return
        if self.bounds[0] == 0:
            return
        lives = ttl if ttl is not None else default
        if self.crowded_by(size):
            self.model = [entry for entry in self.model if self.now < entry[2]]
        while self.crowded_by(size):
            self.model.pop(0)
        self.model.append((key, b"x" * size, float("inf") if lives is None else self.now + lives))

    def crowded_by(self, size: int) -> bool:
        entries, most, _ = self.bounds
        return (entries is not None and len(self.model) + 1 > entries) or (
            most is not None and sum(len(value) for _, value, _ in self.model) + size > most
        )

    @rule(key=keys)
    def get(self, key: int) -> None:
        expected = self.alive(key)
        self.lookups += 1
        assert self.cache.get(key) == expected
        if expected is not None:
            (entry,) = [entry for entry in self.model if entry[0] == key]
            self.forget(key)
            self.model.append(entry)
        else:
            self.forget(key)

    @rule(key=keys)
    def peek(self, key: int) -> None:
        assert self.cache.peek(key) == self.alive(key)
        assert (key in self.cache) == (self.alive(key) is not None)
        if self.alive(key) is None:
            self.forget(key)

    @rule(key=keys)
    def delete(self, key: int) -> None:
        if self.alive(key) is None:
            with pytest.raises(KeyError):
                del self.cache[key]
        else:
            del self.cache[key]
        self.forget(key)

    @rule(key=keys)
    def pop(self, key: int) -> None:
        assert self.cache.pop(key, None) == self.alive(key)
        self.forget(key)

    @rule()
    def popitem(self) -> None:
        self.model = [entry for entry in self.model if self.now < entry[2]]
        if self.model:
            assert self.cache.popitem() == self.model.pop(0)[:2]
        else:
            with pytest.raises(KeyError):
                self.cache.popitem()

    @rule(seconds=st.integers(0, 8))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        before = self.cache.currsize
        assert self.cache.expire() == before - self.cache.currsize
        self.model = [entry for entry in self.model if self.now < entry[2]]
        assert sorted(self.cache) == sorted(key for key, _, _ in self.model)

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.clear()
        assert self.cache.current_bytes == 0

    def teardown(self) -> None:
        """Whatever was done, what is left comes out least recently used first."""
        if hasattr(self, "cache"):
            left = [(key, value) for key, value, expires in self.model if self.now < expires]
            assert [self.cache.popitem() for _ in left] == left
            assert not self.cache

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "cache"):
            return
        entries, most, _ = self.bounds
        metrics = self.cache.metrics()
        assert self.cache.currsize == len(self.model) == metrics.entries
        assert self.cache.current_bytes == sum(len(value) for _, value, _ in self.model) <= metrics.peak_bytes
        assert entries is None or self.cache.currsize <= entries
        assert most is None or self.cache.current_bytes <= most
        assert metrics.hits + metrics.misses == self.lookups


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(keys, st.booleans()), max_size=200))
def test_overwriting_leaves_nothing_behind(script: list[tuple[int, bool]]) -> None:
    """However often keys with a deadline are set again, the cache holds no more than its entries need."""
    cache: LRUCache[int, bytes] = LRUCache(ttl_seconds=10, clock=lambda: 0.0)
    for key, _ in script:
        cache[key] = b"v"
        assert len(cache._deadlines) <= 2 * cache.currsize + 16


def test_a_value_beyond_the_bound_drops_the_old_one() -> None:
    """A value that cannot be kept is not kept, and the stale value of its key is not served in its place."""
    cache: LRUCache[str, bytes] = LRUCache(max_bytes=3)
    cache["a"] = b"old"
    cache["a"] = b"much too long"
    assert cache.get("a") is None
    assert len(cache) == 0


@pytest.mark.parametrize("wrong", [{"max_entries": -1}, {"max_bytes": -1}, {"ttl_seconds": -0.5}])
def test_negative_bounds_are_refused(wrong: dict[str, Any]) -> None:
    """A bound below 0 is refused, and the message names it."""
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be >= 0"):
        LRUCache(**wrong)
    with pytest.raises(TypeError, match="size_of is needed"):
        LRUCache(max_bytes=1)[0] = 3
