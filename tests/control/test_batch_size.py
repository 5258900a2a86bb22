"""How large batches should be: bounds, the way to the best size, pressure, and nonsense."""

import math
import random
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.control.batch_size import OVERHEADS_ALLOWED, BatchSizeOptimizer
from streamproc.control.line_fit import fit_line

bounds = st.lists(st.integers(1, 600), min_size=3, max_size=3).map(sorted)
seconds = st.floats(1e-4, 1e3)
ratios = st.floats(0, 1)
batches = st.lists(
    st.tuples(ratios, seconds, st.booleans() | st.just(False), ratios),
    max_size=120,
)


def observe(optimizer: BatchSizeOptimizer, part: float, seconds: float, failed: bool, headroom: float) -> int:
    """Enter a batch of a part of the size that is wanted, answered or refused as a whole."""
    size = max(1, round(part * optimizer.size))
    return optimizer.observe(size, seconds, 0 if failed else size, size if failed else 0, headroom)


@given(bounds, batches)
def test_a_size_stays_in_its_bounds_and_at_most_doubles(edges: list[int], script: list[Any]) -> None:
    """Whatever comes, the size is a whole number within its bounds and at most twice the one before."""
    least, initial, most = edges
    optimizer = BatchSizeOptimizer(initial, least, most)
    before = optimizer.size
    assert before == initial
    for batch in script:
        size = observe(optimizer, *batch)
        assert isinstance(size, int)
        assert least <= size <= most
        assert size <= max(2 * before, least)
        assert size == optimizer.size
        before = size


def cost_of(fixed: float, each: float, most: int, seed: int, batches: int = 400) -> float:
    """Run against a plant of `fixed + each * n` seconds with 30 % of noise; give the seconds a record of the later
    half, as a multiple of the best that is allowed."""
    dice = random.Random(seed)
    optimizer = BatchSizeOptimizer(min(10, most), 1, most)
    sizes = []
    for _ in range(batches):
        size = optimizer.size
        sizes.append(size)
        optimizer.observe(size, (fixed + each * size) * dice.lognormvariate(0, 0.3), size, 0)
    late = sizes[batches // 2 :]
    longest = max(1.0, OVERHEADS_ALLOWED * fixed)
    best = min(most, max(1.0, (longest - fixed) / each))
    return (sum(fixed + each * size for size in late) / sum(late)) / (fixed / best + each)


@settings(max_examples=30, deadline=None)
@given(
    st.floats(-4, 0).map(lambda exponent: 10**exponent),
    st.floats(-5, 0).map(lambda exponent: 10**exponent),
    st.sampled_from([1, 2, 30, 500, 2000]),
    st.integers(0, 10_000),
)
def test_it_finds_a_size_close_to_the_best(fixed: float, each: float, most: int, seed: int) -> None:
    """On a plant of a + b n seconds with 30 % of noise, a record usually costs at most 1.3 times what it must."""
    assert median(cost_of(fixed, each, most, seed + again) for again in range(5)) <= 1.3


def test_batches_are_large_where_a_request_is_dear_and_small_where_it_is_free() -> None:
    """20 ms a request and 0.2 ms a record: as many as allowed. No overhead at all: a few, for more gain nothing."""
    dear, free = BatchSizeOptimizer(10, 1, 500), BatchSizeOptimizer(10, 1, 500)
    dear_sizes = [dear.observe(dear.size, 0.02 + 0.0002 * dear.size, dear.size, 0) for _ in range(100)]
    free_sizes = [free.observe(free.size, 0.01 * free.size, free.size, 0) for _ in range(100)]
    assert max(dear_sizes) == 500
    assert dear.reason == "max_size"
    assert max(free_sizes[30:]) <= 3


@pytest.mark.parametrize("unit", [1.0, 0.001, 60.0])
def test_a_batch_takes_no_longer_than_it_should(unit: float) -> None:
    """Where the target is what binds, exact timings lead to batches that keep it, but for trials of half more."""
    optimizer = BatchSizeOptimizer(10, 1, 500, target_seconds=unit)
    took = []
    for _ in range(200):
        took.append(0.1 + 0.01 * optimizer.size)
        optimizer.observe(optimizer.size, took[-1] * unit, optimizer.size, 0)
    late = took[20:]
    assert optimizer.reason == "seconds"
    assert 0.8 <= sum(late) / len(late) <= 1.0
    assert max(late) <= 1.5


@given(bounds, batches, st.lists(ratios, min_size=120, max_size=120))
def test_less_headroom_never_gives_a_larger_size(edges: list[int], script: list[Any], others: list[float]) -> None:
    """Of two that see the same batches, the one with less headroom is at no moment the larger one."""
    least, initial, most = edges
    easy, tight = BatchSizeOptimizer(initial, least, most), BatchSizeOptimizer(initial, least, most)
    for (part, taken, failed, headroom), other in zip(script, others, strict=False):
        size = max(1, round(part * tight.size))
        counts = (0, size) if failed else (size, 0)
        larger = easy.observe(size, taken, *counts, max(headroom, other))
        assert tight.observe(size, taken, *counts, min(headroom, other)) <= larger


def test_it_shrinks_under_pressure_and_recovers() -> None:
    """Without headroom the smallest size is left; once there is some again, the former size comes back by doubling."""
    optimizer = BatchSizeOptimizer(10, 2, 256)

    def step(headroom: float) -> int:
        return optimizer.observe(optimizer.size, 0.02 + 0.0002 * optimizer.size, optimizer.size, 0, headroom)

    for _ in range(60):
        step(1.0)
    assert max(step(1.0) for _ in range(16)) == 256
    assert step(0.0) == 2
    assert optimizer.reason == "memory"
    assert max(step(1.0) for _ in range(16)) == 256


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_batch_that_was_too_large_halves_the_size(size: int, bound: int) -> None:
    """After a refusal for its size no batch has more than half of it, until many have succeeded."""
    least = min(bound, size)
    optimizer = BatchSizeOptimizer(size, least, 400)
    allowed = max(least, size // 2)
    assert optimizer.observe(size, 0.1, 0, size) <= allowed
    assert optimizer.reason in {"too_large", "min_size", "max_size"}
    for _ in range(5):
        assert optimizer.observe(optimizer.size, 0.1, optimizer.size, 0) <= allowed


def test_those_who_fail_together_halve_once() -> None:
    """Eight batches of one size, refused one after another, are one mistake and not eight."""
    optimizer = BatchSizeOptimizer(128, 1, 512)
    for _ in range(8):
        optimizer.observe(128, 0.1, 0, 128)
    assert optimizer.size in range(32, 97)
    optimizer.observe(64, 0.1, 0, 64)
    assert optimizer.size <= 32
    optimizer.observe(128, 0.1, 0, 128)  # word of it comes late
    assert max(optimizer.observe(16, 0.1, 16, 0) for _ in range(5)) <= 32


@pytest.mark.parametrize("limit", [3, 64, 300])
def test_it_lives_with_a_limit_that_nobody_told_it(limit: int) -> None:
    """Where requests above a size are refused, few are, and the others make good use of what is allowed."""
    optimizer = BatchSizeOptimizer(10, 1, 500)
    refused, sizes = 0, []
    for _ in range(1000):
        size = optimizer.size
        if size > limit:
            refused += 1
            optimizer.observe(size, 0.001, 0, size)
        else:
            sizes.append(size)
            optimizer.observe(size, 0.02 + 0.0002 * size, size, 0)
    assert refused <= 40
    assert sum(sizes[500:]) / len(sizes[500:]) >= 0.55 * limit
    for _ in range(3000):  # the limit is gone
        optimizer.observe(optimizer.size, 0.02 + 0.0002 * optimizer.size, optimizer.size, 0)
    assert max(optimizer.observe(optimizer.size, 0.02, optimizer.size, 0) for _ in range(16)) == 500


@given(bounds, batches, st.integers(-8, 8))
def test_the_unit_of_time_does_not_matter(edges: list[int], script: list[Any], exponent: int) -> None:
    """If all takes twice as long and may take twice as long, sizes are the same."""
    least, initial, most = edges
    unit = 2.0**exponent
    one = BatchSizeOptimizer(initial, least, most)
    other = BatchSizeOptimizer(initial, least, most, target_seconds=unit)
    for part, taken, failed, headroom in script:
        assert observe(one, part, taken, failed, headroom) == observe(other, part, taken * unit, failed, headroom)


SENSE: dict[str, Any] = {"size": 10, "seconds": 0.1, "succeeded": 10, "failed": 0, "headroom": 1.0}
NONSENSE: dict[str, list[Any]] = {
    "size": [0, -1, 10**9, math.nan, 2.5],
    "seconds": [0.0, -1.0, math.nan, math.inf, -math.inf, 1e300, 1e-300],
    "succeeded": [-1, 11, math.nan],
    "failed": [-1, 11, math.nan],
    "headroom": [-0.1, 1.1, math.nan, math.inf],
}


@given(
    bounds,
    st.lists(
        st.sampled_from([(field, value) for field, values in NONSENSE.items() for value in values]) | st.none(),
        max_size=60,
    ),
)
def test_nonsense_changes_nothing(edges: list[int], script: list[tuple[str, Any] | None]) -> None:
    """What is no number, nothing at all or out of range leaves no trace: sizes are those without it."""
    least, initial, most = edges
    spared, troubled = BatchSizeOptimizer(initial, least, most), BatchSizeOptimizer(initial, least, most)
    for nonsense in script:
        if nonsense is None:
            size = spared.size
            sense = {**SENSE, "size": size, "succeeded": size}
            assert spared.observe(**sense) == troubled.observe(**sense)
        else:
            assert troubled.observe(**{**SENSE, "size": 10, nonsense[0]: nonsense[1]}) == spared.size
            assert troubled.reason == spared.reason
    assert troubled.observe(10, 0.1, 0, 0) == spared.size


@pytest.mark.parametrize("arguments", [(1, 2, 3), (4, 1, 3), (0, 0, 3)])
def test_bounds_must_be_in_order(arguments: tuple[int, int, int]) -> None:
    """A size outside its bounds is refused."""
    with pytest.raises(ValueError, match="must hold"):
        BatchSizeOptimizer(*arguments)


points = st.lists(st.tuples(st.integers(1, 1000), st.floats(1e-3, 1e3)), min_size=2, max_size=100)


@given(points)
def test_a_line_starts_at_or_above_zero_and_does_not_fall(script: list[tuple[int, float]]) -> None:
    """Whatever the timings, overhead and work are no less than nothing, and not both nothing."""
    line = fit_line(script)
    if line is None:
        assert len({size for size, _ in script}) == 1 or max(t for _, t in script) > 1e3 * min(t for _, t in script)
    else:
        assert line.fixed >= 0
        assert line.each >= 0
        assert line.seconds(1) > 0


@given(st.floats(1e-3, 10), st.floats(1e-5, 1), st.sets(st.integers(1, 500), min_size=5))
def test_exact_timings_give_the_exact_line(fixed: float, each: float, sizes: set[int]) -> None:
    """Without noise the line is the plant."""
    line = fit_line([(size, fixed + each * size) for size in sorted(sizes)])
    assert line is not None
    for size in (1, 500):
        assert line.seconds(size) == pytest.approx(fixed + each * size, rel=1e-3)
