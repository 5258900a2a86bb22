"""What a process does with its lease: looks again, keeps it alive in good time, and lets go of one that is lost."""

import anyio

from streamproc.cache.lease import Leases
from streamproc.simulation.virtual_time import run_virtual

SECONDS = 3.0


class Recording:
    """Gives every lease, and notes when it was renewed. After `lost_at` it was another's."""

    seconds = SECONDS

    def __init__(self, lost_at: float = float("inf")) -> None:
        self.lost_at = lost_at
        self.renewed: list[float] = []

    async def take(self, key: str, token: str) -> bool:
        return True

    async def renew(self, key: str, token: str) -> bool:
        self.renewed.append(anyio.current_time())
        return anyio.current_time() < self.lost_at

    async def release(self, key: str, token: str) -> None:
        """Note nothing."""


async def nothing() -> None:
    """Find nothing."""


async def compute() -> str:
    await anyio.sleep(30)
    return "computed"


def test_a_lease_outlives_a_renewal_that_is_lost() -> None:
    """While its holder computes, a lease is renewed so often that one renewal may come to nothing without its end."""

    async def main() -> None:
        store = Recording()
        assert await Leases(store, 100).compute_once("k", nothing, compute) == "computed"
        times = [0.0, *store.renewed, 30.0]
        assert max(after - before for before, after in zip(times, times[2:], strict=False)) < SECONDS

    run_virtual(main())


def test_a_lease_that_is_lost_is_let_go() -> None:
    """Told that the lease is another's, a holder asks for it no more, and computes to its end."""

    async def main() -> None:
        store = Recording(lost_at=10)
        assert await Leases(store, 100).compute_once("k", nothing, compute) == "computed"
        assert sum(at >= 10 for at in store.renewed) == 1

    run_virtual(main())


def test_what_another_has_stored_just_before_the_lease_was_taken_is_not_computed() -> None:
    """Between a miss and the lease another may have computed, stored and let go: its value is given."""

    async def stored() -> str:
        return "stored"

    async def main() -> None:
        assert await Leases(Recording(), 100).compute_once("k", stored, compute) == "stored"
        assert anyio.current_time() == 0

    run_virtual(main())
