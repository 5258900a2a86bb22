"""A run whose cache server is dead: as fast as without a cache, and every record completed."""

from collections.abc import Mapping, Sequence

import anyio
import pytest

from streamproc import (
    BatchConfig,
    CacheConfig,
    DataProcessingPipeline,
    LlmConfig,
    MemorySink,
    MemorySource,
    PipelineConfig,
)
from streamproc.cache.backend import CacheBackend
from streamproc.cache.fail_open import FailOpen
from streamproc.cache.memory import MemoryBackend
from streamproc.cache.tiered import TieredBackend
from streamproc.errors import CacheUnavailable
from streamproc.pipeline.config import ConcurrencyConfig
from streamproc.simulation.virtual_time import run_virtual
from streamproc.testing.faults import ScriptedCompleter

DEADLINE = 0.25
RECORDS = 2000


class Dead(MemoryBackend):
    """Refuses, or never answers."""

    def __init__(self, hangs: bool) -> None:
        super().__init__(10**6)
        self.hangs = hangs

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._die()

    async def put_many(self, items: Mapping[str, bytes], *, ttl: float | None) -> None:
        await self._die()

    async def _die(self) -> list[bytes | None]:
        if self.hangs:
            await anyio.sleep_forever()
        raise CacheUnavailable("refused")


def seconds_of_a_run(cache: CacheBackend | None) -> float:
    """Give the virtual seconds that 2,000 calls of half a second take, sixteen at once."""
    pipeline = DataProcessingPipeline(
        PipelineConfig(
            llm=LlmConfig(model="m", prompt="{{ text }}", base_url="http://127.0.0.1:1/v1"),
            concurrency=ConcurrencyConfig(initial=16, adaptive=False),
            batch_processing=BatchConfig(initial_size=10),
            cache=CacheConfig(enabled=cache is not None),
        ),
        source=MemorySource([{"text": f"{n}"} for n in range(RECORDS)]),
        sink=MemorySink(),
        completer=ScriptedCompleter(lambda *_: "ok", lambda *_: 0.5),
        cache=cache,
    )

    async def main() -> float:
        began = anyio.current_time()
        report = await pipeline.run()
        assert (report.completed, report.model_calls) == (RECORDS, RECORDS)
        assert (report.cache_errors > 0) == (cache is not None)
        return anyio.current_time() - began

    return run_virtual(main())


@pytest.mark.fault(26)
@pytest.mark.parametrize("hangs", [False, True])
def test_a_dead_cache_server_costs_a_run_less_than_a_twentieth(hangs: bool) -> None:
    """Refused or frozen from the first record on, over a minute of work: at least 95 % of the speed without a cache."""

    guarded = FailOpen(Dead(hangs), DEADLINE, clock=anyio.current_time)
    dead = seconds_of_a_run(TieredBackend(MemoryBackend(10**6), guarded))
    without = seconds_of_a_run(None)
    assert without > 60
    assert without / dead >= 0.95
