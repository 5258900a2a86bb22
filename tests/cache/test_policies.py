"""Every policy in a cache, against its oracle."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamproc.cache.bounded import BoundedCache
from streamproc.cache.eviction.policies import PolicyName, make_policy
from tests.cache.eviction_oracles import GDSFOracle, Held, LRUOracle, S3FIFOOracle

keys = st.integers(0, 9)
sizes = st.integers(0, 8)
costs = st.sampled_from([0.0, 0.3, 1.0, 5.0])
ttls = st.one_of(st.none(), st.integers(0, 20))


ORACLES: dict[PolicyName, Any] = {"lru": LRUOracle, "gdsf": GDSFOracle, "s3fifo": S3FIFOOracle}


class Agreement(RuleBasedStateMachine):
    """Does everything to a cache and to its oracle. That they always hold the same means the same victims went."""

    name: PolicyName

    @initialize(most=st.integers(0, 60), entries=st.one_of(st.none(), st.integers(0, 6)), ttl=ttls)
    def begin(self, most: int, entries: int | None, ttl: int | None) -> None:
        self.now, self.turn = 100.0, 0
        self.most, self.entries, self.ttl = most, entries, ttl
        self.policy: Any = make_policy(self.name, most)
        self.cache: BoundedCache[int, bytes] = BoundedCache(self.policy, entries, most, ttl, clock=lambda: self.now)
        self.oracle = ORACLES[self.name](most)
        self.lookups = self.insertions = self.removals = self.evictions = self.rejections = self.peak = 0

    def entry(self, key: int) -> Held | None:
        return next((entry for entry in self.oracle.held if entry.key == key), None)

    def drop(self, entry: Held | None) -> None:
        if entry is not None:
            self.oracle.held.remove(entry)
            self.removals += 1

    def alive(self, key: int) -> Held | None:
        """Look a key up; if its time is over, that is noticed now."""
        entry = self.entry(key)
        if entry is not None and entry.expires_at <= self.now:
            self.drop(entry)
            return None
        return entry

    def drop_all_that_expired(self) -> None:
        for entry in [entry for entry in self.oracle.held if entry.expires_at <= self.now]:
            self.drop(entry)

    def has_room(self, size: int) -> bool:
        held = self.oracle.held
        return (self.entries is None or len(held) + 1 <= self.entries) and (
            sum(entry.size for entry in held) + size <= self.most
        )

    @rule(key=keys, size=sizes, ttl=ttls, cost=costs)
    def set(self, key: int, size: int, ttl: int | None, cost: float) -> None:
        self.cache.set(key, bytes(size), ttl_seconds=ttl, cost=cost)
        self.drop(self.entry(key))
        if size > self.most or self.entries == 0 or not self.oracle.admits(key, size):
            self.rejections += 1
            return
        if not self.has_room(size):
            self.drop_all_that_expired()
        while not self.has_room(size):
            self.drop(self.oracle.next_to_go())
            self.evictions += 1
        lives = self.ttl if ttl is None else ttl
        self.turn += 1
        entry = Held(key, bytes(size), cost, float("inf") if lives is None else self.now + lives, self.turn)
        self.oracle.held.append(entry)
        self.oracle.came(entry)
        self.insertions += 1
        self.peak = max(self.peak, sum(entry.size for entry in self.oracle.held))

    @rule(key=keys)
    def get(self, key: int) -> None:
        self.lookups += 1
        entry = self.alive(key)
        assert self.cache.get(key) == (entry and entry.value)
        if entry is not None:
            self.turn += 1
            entry.uses, entry.last_use = entry.uses + 1, self.turn
            self.oracle.used(entry)

    @rule(script=st.lists(st.tuples(keys, sizes, ttls, costs), min_size=10, max_size=30))
    def read_through(self, script: list[tuple[int, int, int | None, float]]) -> None:
        for key, size, ttl, cost in script:
            self.get(key)
            if key not in self.cache:
                self.set(key, size, ttl, cost)
            self.agree()

    @rule(key=keys)
    def look_without_use(self, key: int) -> None:
        entry = self.alive(key)
        assert self.cache.peek(key) == (entry and entry.value)
        assert (key in self.cache) == (entry is not None)

    @rule(key=keys)
    def delete(self, key: int) -> None:
        entry = self.alive(key)
        assert self.cache.pop(key, None) == (entry and entry.value)
        self.drop(entry)

    @rule()
    def popitem(self) -> None:
        self.drop_all_that_expired()
        if self.oracle.held:
            entry = self.oracle.next_to_go()
            assert self.cache.popitem() == (entry.key, entry.value)
            self.drop(entry)
        else:
            with pytest.raises(KeyError):
                self.cache.popitem()

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.removals += len(self.oracle.held)
        self.oracle = ORACLES[self.name](self.most)

    @rule(seconds=st.integers(0, 8))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def read_everything(self) -> None:
        self.drop_all_that_expired()
        expected = {entry.key: entry.value for entry in self.oracle.held}
        assert dict(self.cache.items()) == expected
        assert sorted(self.cache) == sorted(expected)
        assert sorted(self.cache.values()) == sorted(expected.values())

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "cache"):
            return
        metrics, held = self.cache.metrics(), self.oracle.held
        assert sorted(self.cache._entries) == sorted(entry.key for entry in held)
        assert metrics.entries == len(held) == self.insertions - self.removals
        assert self.entries is None or metrics.entries <= self.entries
        assert metrics.current_bytes == sum(entry.size for entry in held) <= self.most
        assert metrics.peak_bytes == self.peak
        assert metrics.hits + metrics.misses == self.lookups
        assert (metrics.evictions, metrics.rejections) == (self.evictions, self.rejections)

    @invariant()
    def keep_no_more_than_they_need(self) -> None:
        if not hasattr(self, "cache"):
            return
        held = len(self.oracle.held)
        assert len(self.cache._deadlines) <= 2 * held + 16
        if self.name == "lru":
            assert len(self.policy._order) == held
        elif self.name == "gdsf":
            assert len(self.policy._standings) == held
            assert len(self.policy._heap) <= 2 * held + 16
        else:
            queued = [*self.policy._small.sizes, *self.policy._main.sizes]
            assert len(self.policy._uses) == len(queued) == len(set(queued)) == held
            assert self.policy._ghost.bytes <= 0.9 * self.most

    def teardown(self) -> None:
        """Whatever was done, what is left goes in the order of the oracle."""
        if hasattr(self, "cache"):
            while self.cache:
                self.popitem()


class LRUAgreement(Agreement):
    name = "lru"


class GDSFAgreement(Agreement):
    name = "gdsf"


class S3FIFOAgreement(Agreement):
    name = "s3fifo"


SETTINGS = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLRU, TestGDSF, TestS3FIFO = LRUAgreement.TestCase, GDSFAgreement.TestCase, S3FIFOAgreement.TestCase
TestLRU.settings = TestGDSF.settings = TestS3FIFO.settings = SETTINGS


@pytest.mark.parametrize("machine", [LRUAgreement, GDSFAgreement, S3FIFOAgreement])
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), most=st.integers(20, 60))
def test_long_histories_agree(machine: type[Agreement], seed: int, most: int) -> None:
    """After hundreds of requests, few keys asked for often and many seldom, the same entries are held at each step."""
    chance = random.Random(seed)
    run = machine()
    run.begin(most, None, None)
    for _ in range(400):
        key = int(chance.paretovariate(0.5)) % 50
        run.get(key)
        if run.entry(key) is None:
            run.set(key, chance.randint(1, 3), None, chance.choice([0.5, 1.0, 4.0]))
        run.agree()
        run.keep_no_more_than_they_need()


def test_an_unknown_policy_is_refused() -> None:
    """A name that is no policy's is refused, with the names that are."""
    wrong: Any = "mru"
    with pytest.raises(ValueError, match="must be one of lru, gdsf, s3fifo, got 'mru'"):
        make_policy(wrong, 10)
