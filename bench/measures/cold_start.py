"""Cold start: importing, showing help, and the first request of a run, each in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.figures import Finding, figure
from bench.machine import CLIENT_CORE, pin
from bench.measures.first_request import first_request
from bench.pairs import alternate, seconds
from bench.scenario import Setting
from bench.workload import MODEL, PROMPT, write_input

TIMES = 2
"""Starts are short, so there are so many times as many pairs."""
COMMAND = str(Path(sys.executable).with_name("streamproc"))
BARE = [sys.executable, "-c", "pass"]
BY_HAND = """
import asyncio, json, sys, aiohttp
async def main():
    with open(sys.argv[2]) as rows:
        text = json.loads(next(rows))["text"]
    async with aiohttp.ClientSession() as session:
        body = {"model": "bench", "messages": [{"role": "user", "content": text}]}
        async with session.post(sys.argv[1] + "/chat/completions", json=body) as response:
            await response.read()
asyncio.run(main())
"""


def measure(setting: Setting) -> Iterator[Finding]:
    """Compare with a bare Python, and with a few lines by hand that send one request."""
    pin(CLIENT_CORE)
    pairs = TIMES * setting.pairs
    for name, command in (
        ("import streamproc", [sys.executable, "-c", "import streamproc"]),
        ("streamproc --help", [COMMAND, "--help"]),
    ):
        yield seconds(name, "python -c pass", alternate(_starting(BARE), _starting(command), pairs))
    source = write_input(setting.folder / "in.jsonl", 1000)
    job = setting.folder / "job.yaml"
    taken = []
    for number in range(1 + pairs):
        sink = setting.folder / f"out-{number}.jsonl"

        def ours(base_url: str, sink: Path = sink) -> Sequence[str]:
            job.write_text(
                f"source: {{type: jsonl, path: '{source}'}}\nsink: {{type: jsonl, path: '{sink}'}}\n"
                f"llm: {{model: {MODEL}, base_url: '{base_url}', prompt: '{PROMPT}'}}\n"
            )
            return [COMMAND, "run", str(job), "--progress", "none"]

        taken.append(
            (first_request(lambda url: [sys.executable, "-c", BY_HAND, url, str(source)]), first_request(ours))
        )
    yield figure("first request of a run", "a few lines with aiohttp", "s", taken[1:])


def _starting(command: Sequence[str]) -> Callable[[Path], None]:
    def start(_: Path) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    return start
