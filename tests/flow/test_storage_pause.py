"""A write that is blocked: how long it is insisted on."""

import anyio
from hypothesis import example, given
from hypothesis import strategies as st

from streamproc.errors import StorageBlocked
from streamproc.flow.halt import Drain, Halt
from streamproc.flow.storage_pause import PROBE_SECONDS, StoragePause
from streamproc.simulation.virtual_time import run_virtual

SECONDS = st.floats(0.05, 30)


@given(room_at=SECONDS, halted_at=SECONDS, last_call_ends_at=SECONDS)
@example(room_at=5.0, halted_at=1.0, last_call_ends_at=6.0)  # room comes before the last answer
@example(room_at=9.0, halted_at=1.0, last_call_ends_at=6.0)
def test_a_blocked_write_is_given_up_only_in_a_halted_run_without_calls_under_way(
    room_at: float, halted_at: float, last_call_ends_at: float
) -> None:
    """Room that comes before the halt or before the last call ends is used; room that comes later is not waited for."""

    async def main() -> None:
        halt = Halt()
        pause = StoragePause(halt, lambda: anyio.current_time() < last_call_ends_at)
        ended: list[tuple[bool, float]] = []

        async def write() -> None:
            if anyio.current_time() < room_at:
                raise StorageBlocked("No space left on device")

        async def insist() -> None:
            try:
                await pause.insist(write)
            except StorageBlocked:
                ended.append((False, anyio.current_time()))
            else:
                ended.append((True, anyio.current_time()))

        async with anyio.create_task_group() as group:
            group.start_soon(insist)
            await anyio.sleep(halted_at)
            halt.request(Drain.REQUESTED)
        (stored, at), nobody_comes = ended[0], max(halted_at, last_call_ends_at)
        if room_at <= nobody_comes:
            assert stored
        if room_at > nobody_comes + PROBE_SECONDS:
            assert not stored
            assert nobody_comes <= at <= nobody_comes + PROBE_SECONDS
        assert pause.blocked == 0

    run_virtual(main())
