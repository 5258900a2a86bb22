"""`streamproc demo`: the main job, for real, against an endpoint that is not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from streamproc.cli.docstrings import standard_library_docstrings
from streamproc.cli.jobs import load_job
from streamproc.cli.own_process import run_quickly
from streamproc.cli.run import RunOptions, run_config
from streamproc.errors import StorageFailed
from streamproc.observe.progress import ProgressKind
from streamproc.simulation import SimulatedServer, profile_named

JOB = """\
# Summarise each docstring of the Python standard library in one sentence.
source:
  type: jsonl
  path: {input}
  id_field: id
llm:
  model: ${{MODEL:-gpt-4o-mini}}
  system_prompt: You explain Python to newcomers.
  prompt: "Summarise this docstring of a Python {{{{ kind }}}} in one sentence.\\n\\n{{{{ docstring }}}}"
  parameters: {{temperature: 0, max_tokens: 60}}
concurrency:
  initial: 128
sink:
  type: jsonl
  path: {output}
"""


def run_demo(folder: Path, overwrite: bool, progress: ProgressKind) -> int:
    """Write records and a job into `folder`, run the job against a simulated endpoint, and give the exit code.

    Raises:
        StorageFailed: the folder cannot be written.
    """
    records, job, output = folder / "docstrings.jsonl", folder / "job.yaml", folder / "summaries.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not records.exists():
            _say(f"reading the docstrings of the Python standard library into {records}")
            _write_records(records)
        job.write_text(JOB.format(input=json.dumps(str(records)), output=json.dumps(str(output))), encoding="utf-8")
    except OSError as error:
        raise StorageFailed(f"{folder}: {error.strerror}") from error
    _say("sending each through a SIMULATED endpoint on this machine: no network, no cost, made-up answers")
    code = run_quickly(_run(job, RunOptions(settings=[], overwrite=overwrite, progress=progress)))
    _say(
        "\nThat was simulated. The same job against a real endpoint:\n"
        "  OPENAI_BASE_URL=https://api.openai.com/v1 OPENAI_API_KEY=... \\\n"
        f"  {sys.argv[0]} run {job} --output {folder / 'real.jsonl'}"
    )
    return code


async def _run(job: Path, options: RunOptions) -> int:
    async with SimulatedServer(profile_named("demo")) as server:
        settings = [f"llm.base_url={server.url}", "llm.deployment=streamproc-demo"]  # its port differs at each start
        return await run_config(load_job(job, settings), options)


def _write_records(path: Path) -> None:
    """Write all records or, if interrupted, none."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        for record in standard_library_docstrings():
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    unfinished.replace(path)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
