"""A run whose speed is to be measured, with its flushes to the disk or without.

`python -m tests.faults.price_run FOLDER URL CONCURRENCY durable|volatile` works off `FOLDER/input.jsonl`, and prints
the seconds it took.
"""

import asyncio
import os
import sys
from pathlib import Path


def forget_the_disk() -> None:
    """Have nothing flushed in this process: what a program without durability would save. Before any import of ours."""
    os.fsync = os.fdatasync = lambda descriptor: None
    from streamproc import _sqlite

    connect = _sqlite._connect

    def volatile(path: Path, application_id: int) -> _sqlite.Connection:
        connection = connect(path, application_id)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    _sqlite._connect = volatile


def main(folder: Path, url: str, concurrency: int) -> float:
    """Run; give the seconds."""
    from streamproc import ConcurrencyConfig, DataProcessingPipeline, JsonlSink, LlmConfig, PipelineConfig
    from streamproc.sources.jsonl import JsonlSourceConfig

    config = PipelineConfig(
        source=JsonlSourceConfig(path=str(folder / "input.jsonl"), id_field="id"),
        llm=LlmConfig(base_url=url, model="m", prompt="{{ text }}"),
        concurrency=ConcurrencyConfig(initial=concurrency, adaptive=False),
    )
    pipeline = DataProcessingPipeline(config, sink=JsonlSink(folder / "out.jsonl"))
    return asyncio.run(pipeline.run()).elapsed_seconds


if __name__ == "__main__":
    if sys.argv[4] == "volatile":
        forget_the_disk()
    print(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
