"""Runs on virtual time to look at: an endpoint, a source and a sink with speeds of their own."""

from collections.abc import Sequence
from typing import Any

import anyio

from streamproc import (
    Completion,
    DataProcessingPipeline,
    LlmConfig,
    MemorySink,
    MemorySource,
    PipelineConfig,
)
from streamproc.completions import Request, Usage
from streamproc.pipeline.config import ConcurrencyConfig, ResourcesConfig
from streamproc.records import Checkpoint, Outcome, Row
from streamproc.simulation.virtual_time import run_virtual

LLM = LlmConfig(model="m", prompt="{{ text }}", base_url="http://127.0.0.1:1/v1")
ROOM = {"max_memory_mb": 1e6}
"""So much memory that how full the test process is says nothing."""


def config(
    concurrency: dict[str, Any] | None = None, resources: dict[str, Any] | None = None, **sections: Any
) -> PipelineConfig:
    return PipelineConfig(
        llm=LLM,
        concurrency=ConcurrencyConfig(**(concurrency or {})),
        resources=ResourcesConfig(**{**ROOM, **(resources or {})}),
        **sections,
    )


def records(count: int) -> list[dict[str, Any]]:
    return [{"text": f"t{number}"} for number in range(count)]


class Echo:
    """Answers after so long; never at all while it hangs."""

    def __init__(self, seconds: float = 0.1, hangs: tuple[float, float] | None = None) -> None:
        self._seconds = seconds
        self._hangs = hangs

    async def complete(self, request: Request) -> Completion:
        began_at = anyio.current_time()
        await anyio.sleep(self._seconds)
        if self._hangs is not None and self._hangs[0] <= began_at < self._hangs[1]:
            await anyio.sleep_until(self._hangs[1])
        return Completion(text="ok", model="m", finish_reason="stop", usage=Usage(3, 1))


class SlowSink(MemorySink):
    """Takes so long to write anything."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        await anyio.sleep(self._seconds)
        await super().write(outcomes, checkpoint)


class SlowSource(MemorySource):
    """Gives a row after so long each time."""

    def __init__(self, items: Sequence[Any], seconds: float) -> None:
        super().__init__(items)
        self._seconds = seconds

    async def read(self, limit: int) -> Sequence[Row]:
        await anyio.sleep(self._seconds)
        return await super().read(1)


def played(count: int, settings: PipelineConfig, completer: Any = None, **parts: Any) -> DataProcessingPipeline:
    """Make a pipeline over so many records."""
    parts = {"source": MemorySource(records(count)), "sink": MemorySink(), "completer": completer or Echo(), **parts}
    return DataProcessingPipeline(settings, **parts)


def play(count: int, settings: PipelineConfig, completer: Any = None, **parts: Any) -> Any:
    """Run over so many records on virtual time; give the report."""
    return run_virtual(played(count, settings, completer, **parts).run())
