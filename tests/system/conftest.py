import pytest

from tests.system.crashes import Crashes
from tests.system.endpoint import Endpoint
from tests.system.nursery import Nursery


@pytest.fixture(scope="session")
def crashes(tmp_path_factory):
    """One endpoint and one nursery for all crashes of a session: starting them takes longer than a crash."""
    folder = tmp_path_factory.mktemp("crashes")
    with Endpoint(folder / "ledger", ttft_seconds=0.004, step_seconds_floor=0.0005) as endpoint, Nursery() as nursery:
        yield Crashes(folder, endpoint, nursery)
