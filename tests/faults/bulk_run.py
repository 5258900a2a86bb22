"""A run over very much input, in a process of its own: the real source, client, journal and output, and a slow sink.

`python -m tests.faults.bulk_run FOLDER URL ROWS_PER_SECOND [LIMIT]` works off `FOLDER/in.jsonl` into
`FOLDER/out.jsonl`, and continues where it was stopped.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from streamproc import DataProcessingPipeline, JsonlSink, LlmConfig, Outcome, PipelineConfig
from streamproc.records import Checkpoint
from streamproc.sources.jsonl import JsonlSourceConfig


class Slow(JsonlSink):
    """Takes its time for each row."""

    def __init__(self, path: Path, rows_per_second: float) -> None:
        super().__init__(path)
        self._rows_per_second = rows_per_second

    async def write(self, outcomes: Sequence[Outcome], checkpoint: Checkpoint) -> None:
        await anyio.sleep(len(outcomes) / self._rows_per_second)
        await super().write(outcomes, checkpoint)


def main(folder: Path, url: str, rows_per_second: float, limit: int | None = None) -> None:
    """Run to the end, or to the limit."""
    config = PipelineConfig(
        source=JsonlSourceConfig(path=str(folder / "in.jsonl")),
        llm=LlmConfig(base_url=url, model="m", prompt="{{ text }}", parameters={"temperature": 0}),
    )
    pipeline = DataProcessingPipeline(config, sink=Slow(folder / "out.jsonl", rows_per_second))
    asyncio.run(pipeline.run(limit=limit))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), *map(int, sys.argv[4:]))
