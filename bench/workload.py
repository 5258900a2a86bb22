"""The work that all scenarios share: short texts to label, and the job that does it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.report import RunReport

PROMPT = "Label the mood of this text as positive, negative or neutral: {{ text }}"
PARAMETERS = {"temperature": 0, "max_tokens": 8}
MODEL = "bench"
CONCURRENCY = 64


def write_input(path: Path, records: int) -> Path:
    """Write rows with distinct texts of about 90 characters."""
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for number in range(records):
            text = f"Review {number}: the parcel came two days late, but what was in it is well made and I like it."
            file.write(encode({"number": number, "text": text}) + b"\n")
    return path


def body_of(text: str) -> dict[str, object]:
    """Give the body that streamproc posts for a row, for whoever writes the loop by hand."""
    prompt = PROMPT.replace("{{ text }}", text)
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **PARAMETERS}


def job(base_url: str, source: Path, sink: Path, *, batch: int = 10, cache: str | None = None) -> PipelineConfig:
    """Give the job; everything that is not the scenario's subject is as it comes."""
    return PipelineConfig.from_tree(
        {
            "source": {"type": "jsonl", "path": str(source)},
            "llm": {"base_url": base_url, "model": MODEL, "prompt": PROMPT, "parameters": PARAMETERS},
            "concurrency": {"initial": CONCURRENCY, "adaptive": False},
            "batch_processing": {"initial_size": batch},
            "cache": {"backend": cache},
            "sink": {"type": "jsonl", "path": str(sink)},
        }
    )


def check_report(report: RunReport, records: int) -> None:
    """Make sure that a measured run did all of its work."""
    if report.failed or report.records != records:
        raise RuntimeError(f"{records} records were to be completed, the report says {report}")
