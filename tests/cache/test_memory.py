"""The memory back end keeps its promise about memory, and lets its policy know what answers cost."""

import gc
import os
import tracemalloc

import pytest

from streamproc.cache.eviction.policies import PolicyName
from streamproc.cache.memory import MemoryBackend
from streamproc.simulation.virtual_time import run_virtual

NAMES: list[PolicyName] = ["lru", "gdsf", "s3fifo"]


@pytest.mark.parametrize("name", NAMES)
def test_a_full_back_end_takes_no_more_memory_than_it_may(name: PolicyName) -> None:
    """Python's own account of memory, after three times as many entries as fit, is within `max_bytes`."""
    most, value = 3_000_000, 300

    async def main() -> int:
        backend = MemoryBackend(most, name)
        for _ in range(3 * most // 1000):
            key = os.urandom(32).hex()
            await backend.put_many({key: os.urandom(value)}, ttl=1000)
            await backend.get_many([key])
        assert backend.metrics().current_bytes > 0.9 * most
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        assert run_virtual(main()) <= most
    finally:
        tracemalloc.stop()


def test_a_dear_answer_stays_where_the_policy_looks_at_cost() -> None:
    """With `gdsf` and `cost_of`, a flood of cheap answers does not drive out a dear one; with `lru` it does."""

    async def main(name: PolicyName) -> bytes | None:
        backend = MemoryBackend(20_000, name, cost_of=lambda value: 1000.0 if value == b"dear" else 1.0)
        await backend.put_many({"dear": b"dear"}, ttl=None)
        await backend.put_many({str(number): b"cheap" for number in range(100)}, ttl=None)
        assert backend.metrics().evictions > 50
        return (await backend.get_many(["dear"]))[0]

    assert run_virtual(main("gdsf")) == b"dear"
    assert run_virtual(main("lru")) is None
