"""The levels that are tried."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.concurrency.grid import STEP, Grid

bounds = st.tuples(st.integers(1, 2000), st.integers(0, 2000)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(bounds)
def test_levels_rise_from_bound_to_bound_by_small_steps(between: tuple[int, int]) -> None:
    """Both bounds are levels; each is above the one before, by one or by about the step's ratio, never more."""
    lowest, highest = between
    levels = Grid(lowest, highest).levels
    assert (levels[0], levels[-1]) == (lowest, highest)
    for below, above in pairwise(levels):
        assert below < above <= max(below + 1, STEP * below + 0.5)


@given(bounds, st.one_of(st.integers(-10, 5000), st.floats(-10, 5000)), st.integers(-40, 40))
def test_every_answer_is_a_level(between: tuple[int, int], limit: float, steps: int) -> None:
    """The level at least a limit is the lowest such, or the highest of all; so many steps from a level is a level, and
    as many back lead to it again, unless the grid ended."""
    grid = Grid(*between)
    level = grid.at_least(limit)
    assert level == min((each for each in grid.levels if each >= limit), default=grid.levels[-1])
    other = grid.beside(level, steps)
    assert other in grid.levels
    assert (other - level) * steps >= 0
    if other not in (grid.levels[0], grid.levels[-1]):
        assert grid.beside(other, -steps) == level


def test_a_plain_example() -> None:
    """Small limits one by one, larger ones by a quarter."""
    assert Grid(1, 16).levels[:3] == (1, 2, 3)
    assert Grid(100, 130).levels == (100, 125, 130)
    assert Grid(100, 130).at_least(125) == 125
    for lowest, highest in ((0, 5), (5, 4)):
        with pytest.raises(ValueError, match="lowest <= highest"):
            Grid(lowest, highest)
