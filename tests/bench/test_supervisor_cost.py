"""What watching over a run costs."""

import asyncio

import pytest

from bench.measures.supervisor_cost import MOST_MS_A_SECOND, cost


@pytest.mark.slow
def test_watching_over_a_run_costs_less_than_a_hundredth_of_a_core() -> None:
    """A thousand ticks and looks at the memory, in processor time: less than 10 ms for each second of a run."""
    found = asyncio.run(cost())
    assert found.ms_a_second < MOST_MS_A_SECOND
    assert found.tick_p99 < 1000 * MOST_MS_A_SECOND
