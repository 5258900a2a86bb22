"""streamproc as its command runs a job, with the number of calls at once as the only setting.

Like the command it runs on uvloop, and collects garbage less often. Rows and checkpoint are committed together, every
answer is durable before its permit is given back, the process is watched, attempts are retried, and all of it can be
resumed.
"""

from __future__ import annotations

from bench.peers.work import MAX_TOKENS, MODEL, PROMPT, TEMPERATURE, Job
from streamproc.cli.own_process import quick_runner
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.pipeline import DataProcessingPipeline

runner = quick_runner


async def run(job: Job) -> None:
    config = config_of(
        job, {"source": {"type": "jsonl", "path": job.source}, "sink": {"type": "jsonl", "path": job.sink}}
    )
    report = await DataProcessingPipeline(config).run()
    if report.failed:
        raise RuntimeError(f"dead letters: {report}")


def config_of(job: Job, ends: dict[str, object]) -> PipelineConfig:
    """Give the configuration of a job, with its source and sink where they are files."""
    prompt = PROMPT.replace("{text}", "{{ text }}")
    parameters = {"temperature": TEMPERATURE, "max_tokens": MAX_TOKENS}
    llm = {"base_url": job.base_url, "model": MODEL, "prompt": prompt, "parameters": parameters}
    calls = {"initial": job.concurrency, "adaptive": False}
    return PipelineConfig.from_tree({"llm": llm, "concurrency": calls, **ends})
