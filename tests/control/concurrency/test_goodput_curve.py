"""The curve of goodput by limit, and what it recommends."""

import math

from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.concurrency.goodput_curve import GoodputCurve
from streamproc.control.concurrency.work import Speed, WorkModel

TOLERANCE = 0.02
points = st.lists(st.tuples(st.integers(1, 300), st.floats(0.5, 500), st.booleans()), min_size=1, max_size=40)


def curve_of(entered: list[tuple[int, float, bool]], unit: float = 1.0) -> GoodputCurve:
    """A curve with these entered in order."""
    curve = GoodputCurve(TOLERANCE, WorkModel())
    for limit, work, settled in entered:
        curve.enter(limit, Speed(unit * work, 0.0, 1.0), settled=settled)
    return curve


@given(points, st.integers(0, 400), st.integers(1, 300))
def test_the_best_was_measured_and_is_not_above_the_ceiling(
    entered: list[tuple[int, float, bool]], ceiling: int, favoured: int
) -> None:
    """None where nothing at most the ceiling was measured, else one of those; what is in force stays, or makes
    way to what would be the best without it."""
    curve = curve_of(entered)
    allowed = {limit for limit, _, _ in entered if limit <= ceiling}
    best = curve.best(ceiling)
    assert (best is None) == (not allowed)
    if best is not None:
        assert best in allowed
        assert curve.best(ceiling, favoured) in {best, favoured}
        assert curve.best(ceiling, best) == best
    assert curve.highest == max(limit for limit, _, _ in entered)


@given(st.dictionaries(st.integers(1, 300), st.floats(0.5, 500), min_size=1, max_size=20))
def test_nothing_lower_is_as_good_and_nothing_at_all_is_surely_better(goodput: dict[int, float]) -> None:
    """Of what was measured often: no lower limit than the best has as much goodput, and no other has so much more that
    neither tolerance nor doubt explains it."""
    curve = curve_of([(limit, work, True) for limit, work in goodput.items()] * 6)
    best = curve.best(math.inf)
    assert best is not None
    most = max(goodput.values())
    assert goodput[best] >= most * math.exp(-TOLERANCE - 0.06)
    assert all(work < goodput[best] for limit, work in goodput.items() if limit < best)


@given(points, st.integers(-30, 30), st.integers(1, 300))
def test_the_unit_of_goodput_does_not_matter(
    entered: list[tuple[int, float, bool]], exponent: int, favoured: int
) -> None:
    """The same curve in another unit recommends the same."""
    plain, scaled = curve_of(entered), curve_of(entered, 2.0**exponent)
    assert plain.best(math.inf) == scaled.best(math.inf)
    assert plain.best(math.inf, favoured) == scaled.best(math.inf, favoured)


@given(st.dictionaries(st.integers(1, 300), st.floats(5, 50), min_size=2, max_size=10), st.floats(2, 10))
def test_a_change_of_the_endpoint_keeps_the_curve_s_shape(goodput: dict[int, float], factor: float) -> None:
    """When one level becomes so many times slower, the endpoint has: all levels are, and the best is the same."""
    curve = curve_of([(limit, work, True) for limit, work in goodput.items()] * 3)
    before = curve.measured()
    some = min(goodput)
    curve.enter(some, Speed(goodput[some] / factor, 0.0, 1.0))
    after = curve.measured()
    assert all(abs(before[limit] - after[limit] - math.log(factor)) < 1e-6 for limit in goodput)


@given(points, st.integers(1, 300))
def test_what_is_needed_is_below_and_follows_from_proportion(
    entered: list[tuple[int, float, bool]], limit: int
) -> None:
    """The least limit that may do as well is unknown, or at most this one where goodput rose by no more than
    proportion; doubling is never expected to gain more than double."""
    curve = curve_of(entered)
    measured = curve.measured()
    needed = curve.needed_for(limit)
    if needed is not None:
        assert limit in measured
        lower = [n * math.exp(measured[limit] - measured[n]) for n in measured if n < limit]
        assert 0 < needed <= max(lower)
    if limit in measured and any(n < limit for n in measured):
        assert curve.gain_ahead(limit) <= math.log(2)


def test_a_plain_example() -> None:
    """Goodput in proportion up to 32, and flat beyond: 32 it is, and nothing below may do as well."""
    curve = curve_of([(n, float(min(n, 32)), True) for n in (8, 16, 32, 64)] * 3)
    assert curve.best(math.inf) == 32
    assert curve.best(20) == 16
    assert curve.best(4) is None
    assert curve.gain_ahead(64) < 0.1 < curve.gain_ahead(16)
    needed = curve.needed_for(64)
    assert needed is not None
    assert 25 < needed <= 32
