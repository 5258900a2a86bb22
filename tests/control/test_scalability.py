"""The fit of the Universal Scalability Law: on data that follow it, and on any."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamproc.control.scalability import FEWEST_LEVELS, Scalability, fit_scalability

levels = st.sets(st.integers(1, 512), min_size=FEWEST_LEVELS, max_size=12)
rates = st.floats(1e-3, 1e6)
laws = st.builds(Scalability, rates, st.floats(0, 0.9), st.floats(0, 0.1), st.just(512))
anything = st.dictionaries(st.integers(-5, 10_000), st.floats(allow_nan=True, allow_infinity=True), max_size=12)


@given(laws, levels)
def test_exact_data_give_their_law_back(law: Scalability, measured: set[int]) -> None:
    """What follows the law is predicted by the fit, at each level measured and between them."""
    fitted = fit_scalability({n: law.goodput(n) for n in measured})
    assert fitted is not None
    for n in range(min(measured), max(measured) + 1):
        assert fitted.goodput(n) == pytest.approx(law.goodput(n), rel=1e-3)
    assert fitted.seen == max(measured)


@given(rates, st.floats(0.01, 0.5), st.floats(1e-4, 0.01))
def test_its_parameters_are_found(rate: float, contention: float, crosstalk: float) -> None:
    """Measured at levels by a factor of two, rate, contention and crosstalk come out as they were put in."""
    law = Scalability(rate, contention, crosstalk, 256)
    fitted = fit_scalability({2**k: law.goodput(2**k) for k in range(9)})
    assert fitted is not None
    assert fitted.rate == pytest.approx(rate, rel=1e-4)
    assert fitted.contention == pytest.approx(contention, rel=1e-3)
    assert fitted.crosstalk == pytest.approx(crosstalk, rel=1e-3)


@given(anything, st.integers(1, 4096))
def test_no_data_give_a_law_that_cannot_be(goodput: dict[int, float], most: int) -> None:
    """Whatever was measured: no fit, or one whose parameters are not negative, and that predicts no negative gain and
    no best concurrency that is out of bounds."""
    fitted = fit_scalability(goodput)
    if fitted is None:
        return
    assert fitted.rate > 0
    assert fitted.contention >= 0
    assert fitted.crosstalk >= 0
    assert 1 <= fitted.best(most) <= min(most, 2 * fitted.seen)
    assert fitted.gain_left(1, most) >= 0


@given(st.dictionaries(st.integers(1, 512), st.floats(1e-3, 1e6), max_size=FEWEST_LEVELS - 1))
def test_fewer_than_three_levels_give_nothing(goodput: dict[int, float]) -> None:
    """A law with three unknowns is not drawn from less."""
    assert fit_scalability(goodput) is None


@given(laws, st.integers(1, 512))
def test_the_best_is_no_worse_than_its_neighbours(law: Scalability, most: int) -> None:
    """Within what may be predicted no level beside the best has clearly more goodput."""
    best = law.best(most)
    assume(law.contention < 1)
    for near in (best - 1, best + 1):
        if 1 <= near <= min(most, 2 * law.seen):
            assert law.goodput(near) <= law.goodput(best) * 1.02


def test_a_plain_example() -> None:
    """With 4 % contention and 0.1 % crosstalk the best concurrency is the root of 0.96 / 0.001, 31."""
    law = Scalability(10.0, 0.04, 0.001, 64)
    fitted = fit_scalability({n: law.goodput(n) for n in (1, 4, 16, 64)})
    assert fitted is not None
    assert fitted.best(512) == 31
    assert fitted.gain_left(31, 512) == pytest.approx(0.0, abs=1e-9)
    assert fitted.gain_left(64, 512) > 0.1
