"""A sink of your own: rows and checkpoint in one file that is replaced as a whole, so both are durable or neither."""

import asyncio
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streamproc import (
    Checkpoint,
    Completed,
    DataProcessingPipeline,
    LlmConfig,
    MemorySource,
    Outcome,
    PipelineConfig,
    RunIdentity,
    Sink,
)
from streamproc.simulation import SimulatedServer, profile_named


class WholeFileSink(Sink):
    """Keep everything in one JSON file; for small outputs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, str] = {}

    async def open(self, run: RunIdentity) -> Checkpoint | None:
        if not self._path.exists():
            return None
        content = json.loads(self._path.read_text())
        self._rows = content["rows"]
        return msgspec.convert(content["checkpoint"], Checkpoint)

    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        for outcome in outcomes:
            self._rows[outcome.envelope.record.id] = outcome.value if isinstance(outcome, Completed) else "failed"
        unfinished = self._path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            file.write(msgspec.json.encode({"rows": self._rows, "checkpoint": checkpoint}))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)


async def main(path: Path) -> None:
    words = [{"word": word} for word in ("sea", "hill", "wood")]
    async with SimulatedServer(profile_named("instant")) as server:
        config = PipelineConfig(llm=LlmConfig(model="any", prompt="Define: {{ word }}", base_url=server.url))
        for limit in (2, None):  # stop after two records, then continue
            pipeline = DataProcessingPipeline(config, source=MemorySource(words), sink=WholeFileSink(path))
            report = await pipeline.run(limit=limit)
            print(f"{report.completed} completed")
    print(sorted(json.loads(path.read_text())["rows"]))


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder) / "all.json"))
