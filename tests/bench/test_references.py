"""The references that policies and durability are measured against."""

import asyncio
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.measures.durability import without_flushes
from bench.measures.policies import POLICIES, best, made
from bench.measures.traces import play, read
from streamproc._sqlite import Database
from streamproc.sinks import append_file

REQUESTS = st.lists(st.integers(0, 4).map(lambda key: (key, 1)), min_size=1, max_size=12)


def most_hits(requests, room):
    """Try everything: what to drop, and whether to take a key in at all."""

    @cache
    def hits(at, kept):
        if at == len(requests):
            return 0
        key = requests[at][0]
        if key in kept:
            return 1 + hits(at + 1, kept)
        choices = [kept, *([kept | {key}] if len(kept) < room else [kept - {out} | {key} for out in kept])]
        return max(hits(at + 1, choice) for choice in choices)

    return hits(0, frozenset())


@settings(deadline=None)
@given(REQUESTS, st.integers(1, 4))
def test_the_best_choice_is_the_best_there_is(requests, room):
    """Knowing the future, as many requests hit as in the best of all ways to choose."""
    assert best(requests, room) == most_hits(tuple(requests), room) / len(requests)


@pytest.mark.parametrize("room", [20, 500])
def test_no_policy_hits_more_than_the_best_choice(room):
    """On made requests every policy stays below its ceiling, and all hit at times."""
    requests = made(5000, 1)
    assert made(5000, 1) == requests != made(5000, 2)
    for policy in POLICIES:
        assert 0 < play(requests, policy, room)[1] <= best(requests, room)


def test_a_trace_may_be_text(tmp_path):
    """Keys and sizes are read from lines with commas or spaces; without a size it is 1."""
    path = tmp_path / "requests.csv"
    path.write_text("a,10\nb 20\n\na,10\nc\n")
    assert read(path) == [(0, 10), (1, 20), (0, 10), (2, 1)]


async def synchronous(path):
    database = Database(path, 1)
    await database.open()
    try:
        return await database.run(lambda connection: connection.execute("PRAGMA synchronous").fetchall())
    finally:
        await database.aclose()


def test_without_flushes_nothing_is_flushed_and_afterwards_all_is(tmp_path):
    """In the block SQLite and the output's files flush nothing; after it they do again."""
    flush = append_file._sync
    with without_flushes():
        assert append_file._sync is not flush
        assert asyncio.run(synchronous(tmp_path / "a.db")) == [(0,)]
    assert append_file._sync is flush
    assert asyncio.run(synchronous(tmp_path / "b.db")) == [(2,)]
