"""The search for the best limit: what holds on any endpoint, and under anything that is entered."""

import math
import random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streamproc.control.attempts import Attempt
from streamproc.control.concurrency.ceiling import CROWD
from streamproc.control.concurrency.optimizer import ConcurrencyOptimizer
from tests.control.concurrency.plant import limits_of

places = st.floats(1, 60)
seeds = st.integers(0, 2**32)
bounds = st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(0, 200)).map(
    lambda three: (three[0], three[0] + three[1], three[0] + three[1] + three[2])
)
fewer = settings(max_examples=25, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""Runs of thousands of attempts; a smaller seed is no simpler one."""


@fewer
@given(bounds, places, seeds)
def test_the_limit_is_a_whole_number_within_its_bounds(between: tuple[int, int, int], room: float, seed: int) -> None:
    """Min <= limit <= max after every attempt, whatever is refused on the way; every change has its reason."""
    least, initial, most = between
    draw = random.Random(seed)

    def refuse(optimizer: ConcurrencyOptimizer, now: float, in_flight: int) -> None:
        if draw.random() < 0.05:
            optimizer.finished(Attempt(now, now, "overloaded"), in_flight)
        if draw.random() < 0.01:
            optimizer.recovered(now, in_flight)
        if draw.random() < 0.01:
            optimizer.restart(now, in_flight)

    optimizer = ConcurrencyOptimizer(initial, min=least, max=most)
    limits = limits_of(optimizer, attempts=1500, places=room, seed=seed, interfere=refuse)
    assert all(isinstance(limit, int) and least <= limit <= most for limit in limits)
    assert all(decision.reason and decision.before != decision.limit for decision in optimizer.history)


odd = st.sampled_from([math.nan, math.inf, -math.inf])
nonsense = st.one_of(
    st.builds(Attempt, odd, st.floats(0, 100), st.just("answered"), st.just(1), st.just(1)),
    st.builds(Attempt, st.floats(0, 100), odd, st.just("overloaded")),
    st.builds(Attempt, st.floats(101, 200), st.floats(0, 100), st.sampled_from(["answered", "overloaded"])),
)
negative = st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)).filter(lambda pair: min(pair) < 0)


@fewer
@given(st.lists(nonsense, min_size=1, max_size=20), negative, places, seeds)
def test_nonsense_changes_nothing(script: list[Attempt], tokens: tuple[int, int], room: float, seed: int) -> None:
    """Times that are no numbers, infinite or reversed, and negative tokens: the limits are as without them."""
    draw = random.Random(seed)

    def interfere(optimizer: ConcurrencyOptimizer, now: float, in_flight: int) -> None:
        optimizer.finished(draw.choice(script), in_flight)
        optimizer.finished(Attempt(now - 1, now, "answered", *tokens), in_flight)

    plain = limits_of(ConcurrencyOptimizer(), attempts=1500, places=room, seed=seed)
    assert limits_of(ConcurrencyOptimizer(), attempts=1500, places=room, seed=seed, interfere=interfere) == plain


@fewer
@given(places, seeds, st.integers(-20, 20), st.integers(0, 6))
def test_the_unit_of_time_and_of_tokens_does_not_matter(room: float, seed: int, time: int, tokens: int) -> None:
    """An endpoint that is so many times slower, or counts so many times more tokens, has the same sequence of limits;
    powers of two make the arithmetic exact."""
    plain = limits_of(ConcurrencyOptimizer(), attempts=2500, places=room, seed=seed)
    scaled = limits_of(
        ConcurrencyOptimizer(), attempts=2500, places=room, seed=seed, seconds_unit=2.0**time, tokens_unit=2**tokens
    )
    assert scaled == plain


@fewer
@given(st.integers(8, 64), st.floats(0.02, 0.78), places, seeds)
def test_a_limit_that_is_not_used_does_not_grow(initial: int, demand: float, room: float, seed: int) -> None:
    """With fewer than 80 % of the limit in the air at the peak, nothing is learned that would raise it."""
    optimizer = ConcurrencyOptimizer(initial)
    limits = limits_of(optimizer, attempts=2000, places=room, seed=seed, demand=demand)
    assert set(limits) == {initial}


refusals = st.lists(
    st.tuples(st.sampled_from(["overloaded", "rate_limited"]), st.integers(0, 300), st.floats(0, 1)), max_size=40
)


@fewer
@given(refusals, places, seeds)
def test_a_refusal_never_raises_the_limit(script: list[tuple[str, int, float]], room: float, seed: int) -> None:
    """At the moment of a refusal the limit stays or falls. With a time to wait it stays: that is not about how many."""
    draw = random.Random(seed)

    def refuse(optimizer: ConcurrencyOptimizer, now: float, in_flight: int) -> None:
        if not script or draw.random() > 0.05:
            return
        ending, others, ago = draw.choice(script)
        before = optimizer.limit
        optimizer.finished(Attempt(max(0.0, now - ago), now, "rate_limited", retry_after=1.0), in_flight)
        assert optimizer.limit == before
        optimizer.finished(Attempt(max(0.0, now - ago), now, ending), others)
        assert optimizer.limit <= before

    limits_of(ConcurrencyOptimizer(), attempts=1500, places=room, seed=seed, interfere=refuse)


@fewer
@given(st.integers(2, 40), st.integers(1, 30), seeds, places)
def test_a_cohort_refused_once_or_twice_is_one_cut(cap: int, cohort: int, seed: int, room: float) -> None:
    """All that were sent before a refusal was known, refused too, leave the limit where the first put it; entered twice
    they change nothing more."""
    optimizer = ConcurrencyOptimizer()
    limits_of(optimizer, attempts=500, places=room, seed=seed)
    now = 1e6
    optimizer.started(now, cap + 1)
    for number in range(CROWD):
        optimizer.finished(Attempt(now, now + 1 + 0.01 * number, "overloaded"), cap)
    cut = optimizer.limit
    assert cut <= cap
    for late in range(cohort):
        for _ in range(2):
            optimizer.finished(Attempt(now - late, now + 2 + late, "overloaded"), cap + late)
    assert optimizer.limit == cut


@pytest.mark.parametrize("ending", ["overloaded", "rate_limited", "failed"])
def test_a_hundred_thousand_failures_raise_nothing(ending: str) -> None:
    """However many failures, of any kind and with any hint, in a row: the limit is within bounds, and grows again."""
    optimizer, draw, now = ConcurrencyOptimizer(), random.Random(0), 0.0
    hints = [None, 0.0, -1.0, 1e308, math.inf, math.nan]
    for _ in range(100_000):
        now += draw.random()
        optimizer.started(now, draw.randint(1, 256))
        optimizer.finished(Attempt(now, now + 0.05, ending, retry_after=draw.choice(hints)), draw.randint(0, 255))
    assert 1 <= optimizer.limit <= 256


def test_what_cannot_be_is_refused() -> None:
    """Bounds out of order, or below 1, are refused with the rule."""
    for initial, least, most in ((0, 0, 5), (5, 6, 7), (8, 1, 7)):
        with pytest.raises(ValueError, match="min <= initial <= max"):
            ConcurrencyOptimizer(initial, min=least, max=most)


def test_a_plain_example() -> None:
    """Forty places, and more share them: the limit ends near forty, and starts from eight by doubling."""
    optimizer = ConcurrencyOptimizer()
    limits = limits_of(optimizer, attempts=20_000, places=40)
    assert limits[0] == 8
    assert max(limits) > 40
    assert 32 <= sorted(limits[10_000:])[5_000] <= 50
