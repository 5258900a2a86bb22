"""The ledger against a model that keeps everything."""

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamproc.flow.ledger import Ledger
from streamproc.records import Checkpoint
from streamproc.simulation.virtual_time import run_virtual


def delivered(checkpoint: Checkpoint | None) -> set[int]:
    if checkpoint is None:
        return set()
    low = checkpoint.low if isinstance(checkpoint.low, int) else -1
    return set(range(low + 1)) | {position for position in checkpoint.above if isinstance(position, int)}


@settings(suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])
@given(st.data(), st.integers(1, 8), st.integers(0, 12))
def test_checkpoints_say_exactly_what_is_delivered_over_any_crashes(
    data: st.DataObject, capacity: int, rows: int
) -> None:
    """Whatever is settled first, and wherever runs end, the checkpoint names what was delivered and nothing else."""
    checkpoint: Checkpoint | None = None
    done: set[int] = set()
    while len(done) < rows:
        ledger = Ledger(capacity, checkpoint)
        position = (checkpoint.low + 1) if checkpoint and isinstance(checkpoint.low, int) else 0
        open_sequences: dict[int, int] = {}
        for _ in range(data.draw(st.integers(5, 25))):
            assert ledger.span <= capacity
            assert ledger.in_flight == len(open_sequences) == ledger.accepted - (len(done) - len(delivered(checkpoint)))
            if position < rows and ledger.span < capacity and data.draw(st.booleans()):
                sequence = ledger.admit(position)
                assert (sequence is None) == (position in done)
                if sequence is not None:
                    open_sequences[sequence] = position
                position += 1
            elif open_sequences:
                batch = data.draw(st.lists(st.sampled_from(sorted(open_sequences)), min_size=1, unique=True))
                before = ledger.checkpoint_after([])
                latest = ledger.checkpoint_after(batch)
                assert ledger.checkpoint_after([]) == before, "asking changes nothing"
                ledger.settle(batch)
                done |= {open_sequences.pop(sequence) for sequence in batch}
                assert delivered(latest) == done
                assert latest == ledger.checkpoint_after([])
                assert list(latest.above) == sorted(latest.above)
        checkpoint = ledger.checkpoint_after([])
        assert delivered(checkpoint) == done


def test_room_waits_until_the_oldest_record_is_settled() -> None:
    """A full span holds the source back until its oldest record is delivered, not just any record."""

    async def main() -> None:
        ledger = Ledger(2)
        assert await ledger.room() == 2
        first, second = ledger.admit("a"), ledger.admit("b")
        assert (first, second) == (0, 1)
        ledger.settle([1])
        with anyio.move_on_after(5) as waited:
            await ledger.room()
        assert waited.cancelled_caught
        async with anyio.create_task_group() as group:
            group.start_soon(ledger.room)
            await anyio.wait_all_tasks_blocked()
            ledger.settle([0])
        assert await ledger.room() == 2
        ledger.resize(5)
        assert await ledger.room() == 5

    run_virtual(main())


def test_a_record_is_settled_once() -> None:
    """Settling what is not in flight is refused: a double delivery must not pass unseen."""
    ledger = Ledger(4)
    ledger.admit(0)
    ledger.admit(1)
    ledger.settle([1])
    for sequence in (1, 7):
        with pytest.raises(ValueError, match=f"{sequence} is not in flight"):
            ledger.settle([sequence])


def test_rows_of_an_earlier_run_are_skipped_and_stay_delivered() -> None:
    """What stands in `above` is not admitted again, and is in every checkpoint before it is met again."""
    ledger = Ledger(4, Checkpoint(1, (3, 5)))
    assert ledger.checkpoint_after([]) == Checkpoint(1, (3, 5))
    assert ledger.admit(2) == 0
    assert ledger.admit(3) is None
    assert ledger.was_skipped(1)
    assert ledger.checkpoint_after([0]) == Checkpoint(3, (5,))
    assert ledger.skipped == 1
