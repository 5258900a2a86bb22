"""streamproc inside a program: `stream`, with the lines written by that program.

It is watched and retried like a run, and cached in memory; nothing is durable, as with the peers.
"""

from __future__ import annotations

from bench.peers.ours_run import config_of
from bench.peers.work import Job, line_of, open_sink, read_rows
from streamproc.pipeline.pipeline import DataProcessingPipeline
from streamproc.records import Completed


async def run(job: Job) -> None:
    with open_sink(job) as out:
        async with DataProcessingPipeline(config_of(job, {})) as pipeline:
            async for outcome in pipeline.stream(read_rows(job)):
                if not isinstance(outcome, Completed):
                    raise RuntimeError(f"a dead letter: {outcome}")  # noqa: TRY004 - it is no wrong type
                out.write(line_of(dict(outcome.envelope.record.data), outcome.value))
