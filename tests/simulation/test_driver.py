"""The driver wakes everyone it owes an answer, whoever looks at the service in between."""

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.simulation.driver import Driver
from streamproc.simulation.profiles import Profile
from streamproc.simulation.service import Accepted, Service
from streamproc.simulation.virtual_time import run_virtual

steps = st.sampled_from([0.0, 0.001, 0.01, 0.5])
clients = st.lists(st.tuples(steps, st.integers(1, 20), st.sampled_from([None, 0.002, 0.05])), min_size=1, max_size=20)


@settings(max_examples=150)
@given(clients, st.integers(1, 4))
def test_nobody_waits_for_ever(arrivals: list[tuple[float, int, float | None]], max_running: int) -> None:
    """Every client that stays gets its answer, and the service is empty at the end, whoever leaves or looks on."""
    profile = Profile(name="p", ttft_seconds=0.01, step_seconds_floor=0.005, max_running=max_running)
    answered: list[int] = []

    async def client(driver: Driver, service: Service, delay: float, tokens: int, patience: float | None) -> None:
        await anyio.sleep(delay)
        driver.settle()
        arrival = service.arrive(5, tokens, anyio.current_time())
        assert isinstance(arrival, Accepted)
        with anyio.move_on_after(float("inf") if patience is None else patience):
            await driver.wait(arrival.ticket)
            return
        assert patience is not None

    async def main() -> Service:
        service = Service(profile)
        driver = Driver(service, answered.append)
        async with anyio.create_task_group() as group:
            for delay, tokens, patience in arrivals:
                group.start_soon(client, driver, service, delay, tokens, patience)
        return service

    service = run_virtual(main())
    assert service.running == service.queued == 0
    assert len(answered) >= sum(patience is None for _, _, patience in arrivals)
