"""The work that all scenarios share: short texts to label, and the job that does it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import msgspec

from streamproc.cache.backend import CacheBackend
from streamproc.cli.own_process import run_quickly
from streamproc.observe.progress import Screen
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.pipeline import DataProcessingPipeline
from streamproc.pipeline.report import RunReport

PROMPT = "Label the mood of this text as positive, negative or neutral: {{ text }}"
PARAMETERS = {"temperature": 0, "max_tokens": 8}
MODEL = "bench"
CONCURRENCY = 64


def write_input(path: Path, records: int, texts: int | None = None, new_from: int | None = None) -> Path:
    """Write rows with texts of about 90 characters.

    Args:
        path: the file.
        records: how many.
        texts: how many different texts these share in turn; as many as records if left out.
        new_from: from this record on each has a text of its own all the same.
    """
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for number in range(records):
            own = texts is None or (new_from is not None and number >= new_from)
            said = number if own or texts is None else number % texts
            text = f"Review {said}: the parcel came two days late, but what was in it is well made and I like it."
            file.write(encode({"number": number, "text": text}) + b"\n")
    return path


def body_of(text: str) -> dict[str, object]:
    """Give the body that streamproc posts for a row, for whoever writes the loop by hand."""
    prompt = PROMPT.replace("{{ text }}", text)
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **PARAMETERS}


def job(
    base_url: str,
    source: Path,
    sink: Path,
    *,
    batch: int = 10,
    cache: Mapping[str, object] | None = None,
    concurrency: int = CONCURRENCY,
) -> PipelineConfig:
    """Give the job; everything that is not the scenario's subject is as it comes."""
    return PipelineConfig.from_tree(
        {
            "source": {"type": "jsonl", "path": str(source)},
            "llm": {
                "base_url": base_url,
                "deployment": MODEL,  # the address changes from run to run, and is not what is asked
                "model": MODEL,
                "prompt": PROMPT,
                "parameters": PARAMETERS,
            },
            "concurrency": {"initial": concurrency, "adaptive": False},
            "batch_processing": {"initial_size": batch},
            "cache": dict(cache or {}),
            "sink": {"type": "jsonl", "path": str(sink)},
        }
    )


def check_report(report: RunReport, records: int) -> None:
    """Make sure that a measured run did all of its work."""
    if report.failed or report.records != records:
        raise RuntimeError(f"{records} records were to be completed, the report says {report}")


def run(config: PipelineConfig, records: int, cache: CacheBackend | None = None) -> None:
    """Run a job whole, with its progress shown (to nobody), and make sure that it did all of its work."""
    with Screen(io.StringIO(), "rich").progress() as show:
        check_report(run_quickly(DataProcessingPipeline(config, cache=cache).run(watchers=[show])), records)
