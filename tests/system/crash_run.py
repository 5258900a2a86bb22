"""A run that is there to be killed: the real pipeline over a folder's input, with real files and a real endpoint.

`python -m tests.system.crash_run --sink jsonl --folder F --url URL` works on `F/input.jsonl`, and continues where it
was stopped. It prints errors only.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from streamproc.errors import StreamprocError
from streamproc.llm.config import LlmConfig
from streamproc.pipeline.config import BatchConfig, ConcurrencyConfig, PipelineConfig, ResourcesConfig
from streamproc.pipeline.pipeline import DataProcessingPipeline
from streamproc.sinks.jsonl import JsonlSink, JsonlSinkConfig
from streamproc.sinks.sink import Sink
from streamproc.sinks.sqlite import SqliteSink, SqliteSinkConfig
from streamproc.sources.jsonl import JsonlSourceConfig
from tests.system import wrong_sinks
from tests.system.oracle import INPUT, OUTPUTS

SINKS: dict[str, Callable[[Path], Sink]] = {
    "jsonl": JsonlSink,
    "sqlite": SqliteSink,
    **wrong_sinks.BY_NAME,
    **wrong_sinks.BY_NAME_WITHOUT_POWER,
}
FAILED = 70


def main(argv: Sequence[str]) -> int:
    """Run or continue; give 0 only if the input was worked off."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sink", choices=SINKS, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--concurrency", type=int, default=4)
    options = parser.parse_args(argv)
    try:
        report = asyncio.run(_pipeline(options).run())
    except StreamprocError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return FAILED
    return 0 if report.ending == "finished" else FAILED


def _pipeline(options: argparse.Namespace) -> DataProcessingPipeline:
    output = options.folder / OUTPUTS[options.sink == "sqlite"]
    sink_config = SqliteSinkConfig if options.sink == "sqlite" else JsonlSinkConfig
    config = PipelineConfig(
        source=JsonlSourceConfig(path=str(options.folder / INPUT), id_field="id"),
        llm=LlmConfig(
            base_url=options.url,
            deployment="simulated",  # endpoints come and go
            model="simulated",
            prompt="{{ text }}",
            parameters={"temperature": 0},
        ),
        batch_processing=BatchConfig(initial_size=4),
        resources=ResourcesConfig(max_concurrent=options.concurrency),
        concurrency=ConcurrencyConfig(initial=options.concurrency),
        sink=sink_config(path=str(output)),
    )
    return DataProcessingPipeline(config, sink=SINKS[options.sink](output))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
