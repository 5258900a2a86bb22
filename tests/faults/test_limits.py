"""The real command where the system gives it too little: of open files, or of memory."""

import json
import resource
import subprocess

import pytest

from tests.system import oracle
from tests.system.endpoint import Endpoint
from tests.system.job import DEAD_LETTERS, Job

LLM = {"deployment": "simulated", "model": "simulated", "prompt": "{{ text }}"}
OPEN_FILES, FEWER_OPEN_FILES = 64, 24
CALLS = 16
MEBIBYTE = 1 << 20
ENDS_WITHIN_SECONDS = 60
LITTLE_MEMORY = [95, 110, 125, 140]
"""MiB of address space: from too little to begin with, by way of too little for some moment, to just enough."""

pytestmark = pytest.mark.slow


def limited(kind, amount):
    return {"preexec_fn": lambda: resource.setrlimit(kind, (amount, amount))}


@pytest.mark.fault(52)
def test_few_open_files_make_fewer_calls_at_once(tmp_path, figure):
    """With 64 open files a job that would make 128 calls at once warns, makes as many as fit beside its own files, and
    ends every record once, paid once."""
    job = Job(tmp_path, 600, concurrency={"initial": 128, "adaptive": False})
    with Endpoint(job.ledger, ttft_seconds=0.1) as endpoint:
        done = job.run(endpoint, **limited(resource.RLIMIT_NOFILE, OPEN_FILES))
        figures = endpoint.figures()
    assert done.returncode == DEAD_LETTERS, done.stderr
    assert f"open_files={OPEN_FILES}" in done.stderr
    assert "Too many open files" not in done.stderr
    assert OPEN_FILES // 4 < figures["peak_running"] < OPEN_FILES
    assert not job.verdict(repayable=0).violations
    figure.most(figures["peak_running"], "calls at once with 64 open files, every record done")


@pytest.mark.fault(52)
def test_connections_that_cannot_be_opened_are_waited_for(tmp_path, figure):
    """Where files run out in the middle of a run, and its connections are closed by the endpoint besides, calls count
    as not sent until there are files again; then the run goes on, and nothing is paid twice."""
    llm = {**LLM, "ambiguous_retries": 50, "max_attempts": 50}
    job = Job(tmp_path, 200, llm=llm, concurrency={"initial": CALLS, "adaptive": False})
    with (
        Endpoint(job.ledger, ttft_seconds=0.05, fault_ratio={"reset": 0.2}) as endpoint,
        job.running(endpoint) as process,
    ):
        endpoint.wait_until("billed", 40)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (FEWER_OPEN_FILES, OPEN_FILES))
        for line in process.stderr:
            if "Too many open files" in line:
                break
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
        said = process.communicate(timeout=100)[1]
    assert process.returncode == DEAD_LETTERS, said
    assert not job.verdict(repayable=0).violations
    figure.say("files that run out in the middle are waited for")


@pytest.mark.fault(53)
@pytest.mark.parametrize("mebibytes", LITTLE_MEMORY)
def test_too_little_memory_ends_a_run_that_can_be_continued(mebibytes, tmp_path, figure):
    """With too little memory the command ends somehow and soon; with enough of it, it goes on, and pays again at most
    what was in flight."""
    job = Job(tmp_path, 0, concurrency={"initial": CALLS, "adaptive": False})
    rows = [{"id": f"r{n}", "text": f"job {n}. And what follows it.", "more": "x" * 150_000} for n in range(400)]
    (job.folder / oracle.INPUT).write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Endpoint(job.ledger, ttft_seconds=0.02) as endpoint:
        options = {"timeout": ENDS_WITHIN_SECONDS, "stderr": subprocess.DEVNULL, "capture_output": False}
        short = job.run(endpoint, **options, **limited(resource.RLIMIT_AS, mebibytes * MEBIBYTE))
        assert job.run(endpoint).returncode == 0
    verdict = job.verdict(repayable=CALLS)
    assert not verdict.violations
    figure.add(short.returncode != 0, "runs ended by too little memory, continued")
