"""Batches: sizes, patience, and knobs that turn at any moment."""

from collections.abc import Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.flow.batching import Batcher
from streamproc.flow.channel import Inbox, Outbox, open_channel
from streamproc.simulation.virtual_time import run_virtual

sends = st.lists(st.tuples(st.sampled_from([0.0, 0.01, 0.1, 5.0]), st.integers(0, 7)), max_size=20)
knobs = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([0.0, 0.05, 1.0])), min_size=1, max_size=30)


def channel(capacity: int = 4) -> tuple[Outbox[int], Inbox[int]]:
    return open_channel("numbers", capacity)


@given(sends, knobs)
def test_nothing_is_lost_or_reordered_whenever_the_knobs_turn(
    script: list[tuple[float, int]], settings: list[tuple[int, float]]
) -> None:
    """The batches, one after another, are what was sent; each holds at least one and at most the size in force."""

    async def produce(outbox: Outbox[int]) -> None:
        number = 0
        for delay, count in script:
            await anyio.sleep(delay)
            await outbox.send(range(number, number + count))
            number += count
        outbox.close()

    async def main() -> None:
        outbox, inbox = channel()
        batcher = Batcher(inbox, *settings[0])
        taken: list[int] = []
        async with anyio.create_task_group() as group:
            group.start_soon(produce, outbox)
            for turn in range(10_000):
                size, batcher.linger = settings[turn % len(settings)]
                batcher.resize(size)
                try:
                    await batcher.ready()
                except anyio.EndOfStream:
                    break
                batcher.resize(settings[(turn + 1) % len(settings)][0])  # between ready and take, too
                batch = batcher.take()
                assert 1 <= len(batch) <= batcher.size
                taken.extend(batch)
        assert taken == list(range(sum(count for _, count in script)))
        assert batcher.queued == 0
        inbox.close()

    run_virtual(main())


@given(st.sampled_from([0.0, 0.5, 2.0]))
def test_the_first_record_waits_no_longer_than_the_linger(linger: float) -> None:
    """A batch that does not fill is due exactly when its first record has waited `linger` seconds."""

    async def main() -> None:
        outbox, inbox = channel()
        batcher = Batcher(inbox, 10, linger)
        await outbox.send([1])
        await batcher.ready()
        assert anyio.current_time() == pytest.approx(linger)
        assert batcher.take() == (1,)
        outbox.close()
        inbox.close()

    run_virtual(main())


@given(st.floats(0, 60), st.booleans())
def test_nobody_lingers_for_a_channel_that_has_ended(ends_at: float, two: bool) -> None:
    """A batch that lingers is due at the moment the last outbox is closed, and not when another one is."""

    async def main() -> None:
        outbox, inbox = channel()
        batcher = Batcher(inbox, 10, linger=60.0)
        if two:
            other = outbox.clone()
            other.close()
            other.close()
            with anyio.move_on_after(0) as waiting:
                await inbox.ended()
            assert waiting.cancelled_caught
        await outbox.send([1])
        async with anyio.create_task_group() as group:
            group.start_soon(batcher.ready)
            await anyio.sleep(ends_at)
            outbox.close()
            outbox.close()
        assert anyio.current_time() == pytest.approx(ends_at, abs=1e-6)
        assert batcher.take() == (1,)
        inbox.close()

    run_virtual(main())


def test_a_full_batch_does_not_wait_and_a_waiting_one_grows() -> None:
    """`size` records are due at once; what comes between `ready` and `take` goes along."""

    async def main() -> None:
        outbox, inbox = channel()
        batcher = Batcher(inbox, 3, linger=60.0)
        await outbox.send([1, 2, 3])
        await batcher.ready()
        assert anyio.current_time() == 0
        assert batcher.take() == (1, 2, 3)
        batcher.linger = 0.0
        await outbox.send([4])
        await batcher.ready()
        await outbox.send([5, 6, 7])
        assert batcher.queued == 4
        assert batcher.take() == (4, 5, 6)
        outbox.close()
        await batcher.ready()
        assert batcher.take() == (7,)
        with pytest.raises(anyio.EndOfStream):
            await batcher.ready()
        inbox.close()

    run_virtual(main())


def test_cancelling_the_wait_loses_nothing() -> None:
    """A record that arrives as the wait for it is cancelled is in the next batch."""

    async def main() -> None:
        outbox, inbox = channel()
        batcher = Batcher(inbox, 2, linger=1.0)
        await outbox.send([1])
        with anyio.move_on_after(0.5):
            await batcher.ready()
        await outbox.send([2])
        await batcher.ready()
        assert batcher.take() == (1, 2)
        outbox.close()
        inbox.close()

    run_virtual(main())


def test_a_channel_holds_back_its_sender_and_counts_records() -> None:
    """A full channel makes the sender wait; `queued` counts records, not batches; an empty batch is not sent."""

    async def main() -> None:
        outbox, inbox = channel(capacity=1)
        received: list[Sequence[int]] = []
        await outbox.send([])
        await outbox.send([1, 2])
        with anyio.move_on_after(1) as waited:
            await outbox.send([3])
        assert waited.cancelled_caught
        assert inbox.queued == 2
        clone = outbox.clone()
        outbox.close()
        received.append(await inbox.receive())
        with pytest.raises(anyio.WouldBlock):
            inbox.receive_nowait()
        clone.close()
        with pytest.raises(anyio.EndOfStream):
            await inbox.receive()
        assert received == [[1, 2]]
        inbox.close()

    run_virtual(main())


def test_the_last_batch_waits_for_nobody() -> None:
    """Once the channel has ended, what is left is due at once, however patient the batcher is."""

    async def main() -> None:
        outbox, inbox = channel()
        batcher = Batcher(inbox, 5, linger=10.0)
        await outbox.send([1, 2])
        outbox.close()
        began_at = anyio.current_time()
        await batcher.ready()
        assert anyio.current_time() == began_at
        assert batcher.take() == (1, 2)
        inbox.close()

    run_virtual(main())
