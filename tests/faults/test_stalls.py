"""A process that stood still, or a wall clock that jumped: what has arrived is kept, and nobody waits for longer."""

import ast
import asyncio
import json
import signal
import time
from pathlib import Path

import anyio
import pytest

import streamproc
from streamproc import (
    Completion,
    DataProcessingPipeline,
    LlmConfig,
    MemorySink,
    MemorySource,
    PipelineConfig,
    Task,
)
from streamproc.completions import Request, Usage
from streamproc.pipeline.config import ConcurrencyConfig
from streamproc.simulation.virtual_time import run_virtual
from tests.system import oracle
from tests.system.endpoint import Endpoint
from tests.system.job import DEAD_LETTERS, Job

STOPPED_SECONDS, TIMEOUT_SECONDS = 30, 2
CALLS = 8
HOME = Path(streamproc.__file__).parent
WALL = {
    "cache/manager.py": "deadlines that outlive the process",
    "cache/sqlite/backend.py": "deadlines that outlive the process",
    "cache/aiocache/frontend.py": "deadlines that outlive the process",
    "monitoring/webhook.py": "a stamp",
    "simulation/server.py": "a stamp",
}


@pytest.mark.slow
@pytest.mark.fault(50)
@pytest.mark.promise("P21")
def test_a_process_stopped_for_long_keeps_the_answers_that_wait_for_it(tmp_path, figure):
    """Stopped for 30 s with calls under way that may take 2 s, a run reads what has arrived and asks nothing again."""
    llm = {"deployment": "simulated", "model": "simulated", "prompt": "{{ text }}", "timeout_seconds": TIMEOUT_SECONDS}
    job = Job(tmp_path, llm=llm, concurrency={"initial": CALLS, "adaptive": False})
    summary = job.folder / "summary.json"
    options = ("--progress", "none", "--summary-json", str(summary))
    with Endpoint(job.ledger, ttft_seconds=0.7) as endpoint:
        with job.running(endpoint, *options) as process:
            endpoint.wait_until("billed", CALLS)
            endpoint.wait_until("running", CALLS)
            process.send_signal(signal.SIGSTOP)
            before = endpoint.figures()["billed"]
            time.sleep(STOPPED_SECONDS)
            waiting = endpoint.figures()["billed"] - before
            process.send_signal(signal.SIGCONT)
            said = process.communicate(timeout=60)[1]
        figures = endpoint.figures()
    assert process.returncode == DEAD_LETTERS, said
    report = json.loads(summary.read_text())
    assert waiting > 0, "nothing waited for it"
    assert report["retries"] == 0
    assert report["model_calls"] == figures["requests"] == figures["billed"] == figures["answered"]
    assert not job.verdict(repayable=0).violations
    figure.add(waiting, f"answers kept that waited {STOPPED_SECONDS} s for a stopped process")


@pytest.mark.slow
@pytest.mark.fault(50)
@pytest.mark.promise("P21")
def test_an_event_loop_blocked_by_user_code_keeps_its_answers(tmp_path, figure):
    """A task that blocks for 1.5 s where a call may take 1 s costs no answer, and the loop's lag shows it."""
    parsed = []

    def parse(completion: Completion) -> str:
        parsed.append(completion)
        if len(parsed) in {5, 20, 40}:
            time.sleep(1.5)
        return completion.text

    async def main() -> None:
        with Endpoint(tmp_path / "ledger", ttft_seconds=0.5) as endpoint:
            config = PipelineConfig(
                llm=LlmConfig(model="m", base_url=endpoint.url, timeout_seconds=1, parameters={"temperature": 0}),
                concurrency=ConcurrencyConfig(initial=16, adaptive=False),
            )
            task = Task(lambda record: config.request(f"What of {record.id}?"), parse)
            source, sink = MemorySource([{"n": number} for number in range(64)]), MemorySink()
            pipeline = DataProcessingPipeline(config, task=task, source=source, sink=sink)
            lags = []

            def note(_snapshot):
                lags.extend(window.loop_lag_seconds or 0 for window in pipeline._run._supervisor.windows)

            report = await pipeline.run(watchers=[note])
            figures = endpoint.figures()
        assert (report.completed, report.failed, report.retries) == (64, 0, 0)
        assert figures["billed"] == figures["answered"] == report.model_calls == 64
        assert max(lags) > 1

    asyncio.run(main())
    figure.add(64, "answers kept beside a loop blocked for 1.5 s")


@pytest.mark.fault(50)
def test_a_stall_does_not_use_up_the_drain():
    """A process that is stopped while it drains still gives the calls under way the time that it promised them."""
    arrived = asyncio.Event()

    class InParts:
        """Answers in many small steps after a second."""

        async def complete(self, request: Request) -> Completion:
            await anyio.sleep(1)
            for _ in range(10):
                await asyncio.sleep(0)
            arrived.set()
            return Completion(text="ok", model="m", finish_reason="stop", usage=Usage(3, 1))

    async def main() -> None:
        config = PipelineConfig(
            llm=LlmConfig(model="m", prompt="{{ text }}", base_url="http://127.0.0.1:1/v1"), drain_seconds=5
        )
        source, sink = MemorySource([{"text": "a"}]), MemorySink()
        pipeline = DataProcessingPipeline(config, source=source, sink=sink, completer=InParts())
        async with asyncio.TaskGroup() as group:
            run = group.create_task(pipeline.run())
            await anyio.sleep(0.5)
            asyncio.get_running_loop().call_later(0.1, stop_for_a_minute)
            await pipeline.drain()
        assert (run.result().ending, run.result().completed) == ("drained", 1)

    def stop_for_a_minute():
        asyncio.get_running_loop()._jumping.now += 60

    run_virtual(main())
    assert arrived.is_set()


def wall_clocks(tree: ast.Module):
    """Give the lines on which a clock on the wall is named."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = (node.value.id, node.attr)
            if name[0] == "time" and name[1] in {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime"}:
                yield node.lineno
            if name[0] in {"datetime", "date"} and name[1] in {"now", "utcnow", "today"}:
                yield node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield node.lineno  # by its bare name it would escape the above


@pytest.mark.fault(49)
def test_only_stamps_and_stored_deadlines_read_the_clock_on_the_wall():
    """No file reads the wall clock but those that stamp something or store a deadline that outlives the process."""
    found = {
        str(path.relative_to(HOME))
        for path in HOME.rglob("*.py")
        if list(wall_clocks(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == set(WALL)


JUMPING = """
import random, runpy, sys, time
real, draw = time.time, random.Random(49)
time.time = lambda: real() + draw.choice((-86400, 0, 86400))
sys.argv = sys.argv[1:]
runpy.run_module("streamproc", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.fault(49)
def test_a_clock_that_jumps_a_day_at_every_look_changes_nothing(tmp_path, figure):
    """With a wall clock that is a day ahead or behind whenever it is read, a run is as quick as ever, is interrupted
    and continued, and pays nothing again."""

    class Jumpy(Job):
        def command(self, endpoint, *arguments):
            python, _, _, *rest = super().command(endpoint, *arguments)
            return [python, "-c", JUMPING, "streamproc", *rest]

    job = Jumpy(tmp_path, cache={"ttl_hours": 72})
    with Endpoint(job.ledger, ttft_seconds=0.05) as endpoint:
        with job.running(endpoint) as process:
            endpoint.wait_until("billed", 12)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        assert process.returncode == 128 + signal.SIGINT
        assert oracle.billed(job.ledger, 0, "job") < 54
        begun = time.monotonic()
        assert job.run(endpoint).returncode == DEAD_LETTERS
        assert time.monotonic() - begun < 30
    assert not job.verdict(repayable=0).violations
    figure.say("the wall clock jumping by a day at every look: 0 paid again")
