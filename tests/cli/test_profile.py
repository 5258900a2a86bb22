"""`--profile`: a page of where the time goes, there whatever ends the run."""

from __future__ import annotations

import signal
import stat
import sys

import pytest

from streamproc.cli import profiling
from tests.cli.job import Job
from tests.system.endpoint import Endpoint
from tests.system.job import QUICK
from tests.system.job import Job as SystemJob

KEY = "sk-canary-of-the-profile-0123"


@pytest.fixture
def job(tmp_path, command, endpoint) -> Job:
    return Job(tmp_path, command, endpoint)


def is_a_page(path) -> bool:
    page = path.read_text()
    return page.startswith("<!DOCTYPE html>") and "run_job" in page


def test_a_profile_is_a_page_for_its_owner(job):
    """With --profile the run does what it does without, and leaves a page for its owner that shows its stages."""
    job.grow(30, 300)
    page = job.folder / "profile.html"
    page.touch(0o644)
    ended = job("run", "--profile", "profile.html", "--set", f"llm.parameters.user='{KEY}'", OPENAI_API_KEY=KEY)
    assert ended.code == 0, ended
    assert len(job.rows()) == 300
    assert is_a_page(page)
    assert "LlmCallHandler" in page.read_text()
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert KEY not in page.read_text()


def test_a_run_that_fails_is_profiled_too(tmp_path, command, guarded_endpoint):
    """A run that the provider ends leaves its profile."""
    job = Job(tmp_path, command, guarded_endpoint)
    assert job("run", "--profile", "profile.html", OPENAI_API_KEY="sk-a-wrong-key").code == 4
    assert is_a_page(tmp_path / "profile.html")


@pytest.mark.parametrize(("path", "why"), [("gone/p.html", "No such file"), (".", "Is a directory")])
def test_a_profile_that_cannot_be_written_is_refused_first(job, path, why):
    """A path that takes no page ends the command with 2 before anything is sent."""
    before = job.requests
    ended = job("run", "--profile", path)
    assert (ended.code, f"--profile {path}" in ended.err, why in ended.err) == (2, True, True)
    assert (job.requests, job.output.exists()) == (before, False)


def test_without_the_profiler_its_package_is_named(job, monkeypatch):
    """Where pyinstrument is not installed the command ends with 2 and says how to install it."""
    monkeypatch.setitem(sys.modules, "pyinstrument", None)
    before = job.requests
    ended = job("run", "--profile", "profile.html")
    assert (ended.code, "pip install 'streamproc[profile]'" in ended.err) == (2, True)
    assert (job.requests, (job.folder / "profile.html").exists()) == (before, False)


def test_a_profile_ends_in_time(job, monkeypatch):
    """A profile ends after its longest time, so that its samples never fill the memory; the run goes on."""
    monkeypatch.setattr(profiling, "LONGEST_SECONDS", 0.0)
    with profiling.profiled(str(job.folder / "profile.html")) as (look,):
        look(None)
        look(None)
    assert "<!DOCTYPE html>" in (job.folder / "profile.html").read_text()


@pytest.mark.slow
def test_an_interrupted_run_is_profiled_too(tmp_path):
    """A run that is drained by a signal leaves its profile."""
    job, page = SystemJob(tmp_path, records=10_000), tmp_path / "profile.html"
    options = ("--profile", page, "--progress", "none")
    with Endpoint(job.ledger, **QUICK) as endpoint, job.running(endpoint, *options) as process:
        endpoint.wait_until("billed", 12)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert is_a_page(page)
