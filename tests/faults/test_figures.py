"""What a run says of itself, held against what the endpoint says of it."""

import json

import pytest

from tests.system.endpoint import Endpoint
from tests.system.job import DEAD_LETTERS, Job

RECORDS, ANSWERABLE = 11_111, 10_000
"""Each tenth record has no text to ask about."""
FLAKY = 1500


def finished(job, endpoint):
    """Run to the end; give the summary and the endpoint's own figures."""
    summary = job.folder / "summary.json"
    done = job.run(endpoint, "--progress", "none", "--summary-json", str(summary))
    assert done.returncode == DEAD_LETTERS, done.stderr
    return json.loads(summary.read_text()), endpoint.figures()


@pytest.mark.slow
@pytest.mark.promise("P6", "P26")
def test_without_faults_nothing_is_paid_twice_and_the_totals_are_the_bill(tmp_path, figure):
    """Of 10,000 questions each is billed once, and calls, tokens and records of the summary equal the endpoint's."""
    job = Job(tmp_path, RECORDS, concurrency={"initial": 64})
    with Endpoint(job.ledger) as endpoint:
        said, billed = finished(job, endpoint)
    assert not job.verdict(repayable=0).violations
    assert said["model_calls"] == billed["requests"] == billed["billed"] == billed["distinct_billed"] == ANSWERABLE
    assert said["prompt_tokens"] == billed["prompt_tokens"]
    assert said["completion_tokens"] == billed["completion_tokens"]
    assert (said["completed"], said["failed"]) == (ANSWERABLE, RECORDS - ANSWERABLE)
    figure.add(billed["billed"], "calls billed for 10,000 records, all totals equal")


@pytest.mark.slow
@pytest.mark.promise("P26")
def test_with_faults_the_totals_are_what_was_sent_and_delivered(tmp_path, figure):
    """Beside an endpoint that fails in every way, the summary has each request that went out, the tokens of each answer
    that came in, and no others; what was billed and never came is what the endpoint spoiled."""
    llm = {"deployment": "simulated", "model": "simulated", "prompt": "{{ text }}"}
    llm |= {"timeout_seconds": 3, "ambiguous_retries": 9, "max_attempts": 12}
    job = Job(tmp_path, FLAKY, llm=llm, concurrency={"initial": 64})
    faults = {"503": 0.02, "500": 0.01, "reset": 0.01, "hang": 0.002, "html": 0.01, "truncate_body": 0.02}
    with Endpoint(job.ledger, ttft_seconds=0.02, fault_ratio={**faults, "reset_after_work": 0.02}) as endpoint:
        said, billed = finished(job, endpoint)
    rows = [json.loads(line) for line in (job.folder / "out.jsonl").read_text().splitlines()]
    assert said["completed"] == len(rows) == FLAKY * 9 // 10
    assert said["model_calls"] == billed["requests"] > billed["billed"]
    assert billed["answered"] == len(rows)
    again = billed["requests"] - billed["answered"]
    resent = again - said["retries"]  # at once, on a new connection: no retries, but requests
    assert 0 <= resent <= billed["faults"]["reset"] + billed["faults"]["reset_after_work"]
    for kind in ("prompt_tokens", "completion_tokens"):
        assert said[kind] == sum(row["usage"][kind] for row in rows) < billed[kind]
    lost = billed["billed"] - billed["answered"]
    assert 0 < lost <= sum(billed["faults"][name] for name in ("truncate_body", "reset_after_work", "html"))
    assert not job.verdict(repayable=lost).violations
    figure.add(billed["requests"], "requests to a flaky endpoint counted exactly")
