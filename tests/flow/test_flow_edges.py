"""Waits that must end, batches that must grow, and hints that must be heard."""

from collections.abc import Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.retries import Retries, RetryPolicy
from streamproc.control.silence import Silence
from streamproc.errors import BadAnswer, ProviderError, RateLimited, Unavailable
from streamproc.flow.batching import LOOKS_A_LINGER, Batcher
from streamproc.flow.channel import Inbox, Outbox, open_channel
from streamproc.flow.halt import Drain, Halt
from streamproc.flow.ledger import Ledger
from streamproc.flow.stage import Stage
from streamproc.flow.tokens import Permit, TokenPool
from streamproc.simulation.virtual_time import run_virtual


def channel(capacity: int = 100) -> tuple[Outbox[int], Inbox[int]]:
    return open_channel("numbers", capacity)


def test_a_source_that_waits_for_room_wakes_when_the_capacity_grows() -> None:
    """A capacity that grows lets in at once who waits for room, though nothing is settled."""

    async def main() -> None:
        ledger = Ledger(2)
        ledger.admit(0)
        ledger.admit(1)
        rooms: list[tuple[float, int]] = []

        async def wait() -> None:
            rooms.append((anyio.current_time(), await ledger.room()))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.sleep(7)
            ledger.resize(1)  # smaller: woken for nothing, it waits on
            await anyio.sleep(7)
            assert rooms == []
            ledger.resize(5)
        assert rooms == [(0, 3)]
        assert anyio.current_time() == 14

    run_virtual(main())


@pytest.mark.parametrize("gap", [0.5, 3.0, 7.9, 9.0])
def test_a_trickle_does_not_prolong_the_linger(gap: float) -> None:
    """The linger counts from the first record: later ones that come before it ends do not put it off."""

    async def trickle(outbox: Outbox[int]) -> None:
        for number in range(100):
            await outbox.send([number])
            await anyio.sleep(gap)

    async def main() -> None:
        outbox, inbox = channel()
        batcher = Batcher(inbox, 1000, linger=8.0)
        async with anyio.create_task_group() as group:
            group.start_soon(trickle, outbox)
            await batcher.ready()
            assert anyio.current_time() == pytest.approx(8.0)
            taken = batcher.take()
            assert taken == tuple(range(len(taken)))
            group.cancel_scope.cancel()
        outbox.close()
        inbox.close()

    run_virtual(main())


@pytest.mark.parametrize("size", [3, 1000])
def test_knobs_that_turn_in_a_linger_hold_from_the_next_decision_on(size: int) -> None:
    """A batch is due when it has the size that was asked for as its linger began, whatever the knobs say by then."""

    async def main() -> None:
        outbox, inbox = channel()
        batcher = Batcher(inbox, 2, linger=8.0)
        await outbox.send([1])
        async with anyio.create_task_group() as group:
            group.start_soon(batcher.ready)
            await anyio.sleep(0.5)
            batcher.resize(size)
            batcher.linger = 1000.0
            await outbox.send([2])
        assert anyio.current_time() == pytest.approx(8.0 / LOOKS_A_LINGER), "two are enough, at the next look"
        await outbox.send([3])
        assert batcher.take() == (1, 2, 3), "the new size holds for what is taken"
        outbox.close()
        inbox.close()

    run_virtual(main())


@pytest.mark.parametrize("linger", [0.0, 1.0, 1000.0])
def test_a_linger_that_has_begun_keeps_its_length(linger: float) -> None:
    """A linger that is turned while a batch waits holds for the next batch, not for this one."""

    async def main() -> None:
        outbox, inbox = channel()
        batcher = Batcher(inbox, 2, linger=8.0)
        await outbox.send([1])
        async with anyio.create_task_group() as group:
            group.start_soon(batcher.ready)
            await anyio.sleep(0.5)
            batcher.linger = linger
        assert anyio.current_time() == pytest.approx(8.0)
        assert batcher.take() == (1,)
        await outbox.send([2])
        await batcher.ready()
        assert anyio.current_time() == pytest.approx(8.0 + linger)
        outbox.close()
        inbox.close()

    run_virtual(main())


def test_a_batch_grows_while_it_waits_for_a_permit() -> None:
    """What waits for a permit stays in its feed: it is counted there, and all of it goes with the next permit."""
    handled: list[tuple[float, Sequence[int]]] = []

    class Note:
        async def handle(self, batch: Sequence[int], permit: Permit) -> None:
            handled.append((anyio.current_time(), batch))

    async def main() -> None:
        outbox, inbox = channel()
        pool, batcher = TokenPool(1), Batcher(inbox, 10)
        held = await pool.acquire()
        async with anyio.create_task_group() as group:
            group.start_soon(Stage("slow", batcher, pool, Note()).run)
            for number in range(4):
                await outbox.send([number])
                await anyio.sleep(1)
                assert batcher.queued == number + 1
            assert (handled, pool.waiting) == ([], 1)
            held.release()
            outbox.close()
        assert handled == [(4, (0, 1, 2, 3))]
        inbox.close()

    run_virtual(main())


@given(
    st.sampled_from([RateLimited, Unavailable, BadAnswer]),
    st.floats(0, RetryPolicy().backoff.longest_hint_seconds),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 3),
)
def test_a_record_is_not_tried_again_before_the_provider_asked(
    kind: type[ProviderError], hint: float, draw: float, earlier: int
) -> None:
    """Whoever names a wait gets at least that, and at most a quarter more, however many attempts went before."""
    retries = Retries(RetryPolicy())
    for _ in range(earlier):
        retries.after(kind("slow down"), draw, Silence(over=True))
    delay = retries.after(kind("slow down", retry_after=hint), draw, Silence(over=True))
    assert delay is not None
    assert hint <= delay <= hint * 1.25


@pytest.mark.parametrize("before", [True, False])
def test_a_halt_ends_every_wait(before: bool) -> None:
    """A wait is over when a halt is requested, and at once if it was requested before."""

    async def main() -> None:
        halt, began_at = Halt(), anyio.current_time()
        async with anyio.create_task_group() as group:
            if before:
                halt.request(Drain.REQUESTED)
            group.start_soon(halt.sleep, 100.0)
            await anyio.sleep(1.0)
            halt.request(Drain.REQUESTED)
        assert anyio.current_time() - began_at == 1.0
        await halt.sleep(100.0)
        assert anyio.current_time() - began_at == 1.0

    run_virtual(main())
