"""Free memory given back to the system: how often, and that it works."""

import asyncio
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.monitoring.free_memory import LONGEST_PAUSE_SECONDS, PAUSE_SECONDS, FreeMemory, find_trim
from streamproc.monitoring.process import ProcessMemory

MB = 1_000_000


class Heap:
    """Each time it is trimmed it gives back the next share of what it holds."""

    def __init__(self, shares: list[float]) -> None:
        self.resident = 100.0 * MB
        self.trimmed = 0
        self._shares = shares

    def trim(self) -> None:
        share = self._shares[self.trimmed % len(self._shares)]
        self.trimmed += 1
        self.resident *= 1 - share


@given(
    st.lists(st.floats(0, 0.5), min_size=1, max_size=20),
    st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=20),
)
def test_it_is_tried_as_often_as_it_is_worth_it(shares: list[float], script: list[tuple[float, bool]]) -> None:
    """Never twice within a second, and always when ten seconds have passed, or, where it is urgent, a second."""

    async def main() -> None:
        heap, now, last = Heap(shares), 0.0, None
        free = FreeMemory(heap.trim, lambda: heap.resident)
        for elapsed, urgent in script:
            now += elapsed
            before = heap.trimmed
            await free.give_back(now, urgent=urgent)
            tried = heap.trimmed > before
            if last is None or now - last >= (PAUSE_SECONDS if urgent else LONGEST_PAUSE_SECONDS):
                assert tried
            elif now - last < PAUSE_SECONDS:
                assert not tried
            last = now if tried else last

    asyncio.run(main())


def test_a_plain_example() -> None:
    """After tries that gain nothing the next comes after 2, 4, 8 s; after one that gains, a second later."""

    async def main() -> list[int]:
        heap = Heap([0.0, 0.0, 0.0, 0.3, 0.0])
        free = FreeMemory(heap.trim, lambda: heap.resident)
        tries = []
        for second in range(18):
            before = heap.trimmed
            await free.give_back(float(second))
            if heap.trimmed > before:
                tries.append(second)
        return tries

    assert asyncio.run(main()) == [0, 2, 6, 14, 15, 17]


def test_where_there_is_nothing_to_do_it_with_nothing_is_done() -> None:
    """Without a trim it asks for nothing."""

    def never() -> float:
        raise AssertionError("asked for the memory")

    asyncio.run(FreeMemory(None, never).give_back(0.0))


@pytest.mark.skipif(sys.platform != "linux" or find_trim() is None, reason="needs glibc")
def test_what_lies_free_between_what_is_in_use_is_given_back() -> None:
    """60 MB of texts of which every eighth stays: after the rest is freed, most of it leaves the process."""
    memory = ProcessMemory()
    texts = ["x" * (30_000 + number) for number in range(2000)]
    kept = texts[::8]
    del texts
    before = memory.resident_bytes()
    asyncio.run(FreeMemory(find_trim()).give_back(0.0))
    assert before - memory.resident_bytes() > 30 * MB
    assert len(kept) == 250
