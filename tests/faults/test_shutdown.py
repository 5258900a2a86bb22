"""The real command under signals at every time of its life, and without anybody who reads what it says."""

import errno
import os
import pty
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from streamproc import DataProcessingPipeline, LlmConfig, MemorySink, MemorySource, PipelineConfig
from streamproc.simulation.virtual_time import run_virtual
from streamproc.testing.faults import ScriptedCompleter
from tests.system import oracle
from tests.system.endpoint import Endpoint
from tests.system.job import CONCURRENCY, DEAD_LETTERS, HANGING, QUICK, Job, said
from tests.system.nursery import ROOT

INTERRUPTED = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
MOMENTS, RECORDS, DRAIN_SECONDS = 25, 24, 5
GRACE_SECONDS = 2
LEFT_AT_ONCE, USAGE = 137, 2


def listens(process):
    """Wait until a process has taken its signals into its own hands: a moment after its interpreter has begun."""
    wanted = sum(1 << (number - 1) for number in (signal.SIGINT, signal.SIGTERM))
    while process.poll() is None:
        with suppress(FileNotFoundError, ProcessLookupError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
            if caught & wanted == wanted:
                return
        time.sleep(0.001)


def alone(process):
    """Tell whether nobody is left of the process's group."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.fault(51)
@pytest.mark.promise("P12")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment(number, tmp_path, figure):
    """At 25 moments each, from the first line to after the last: exit within the drain and 2 s, with the signal's code
    or that of a run that was over; nobody is left, and going on pays nothing again and doubles nothing."""
    draw, struck, slowest, moments, over = random.Random(number), 0, 0.0, 0, True
    with Endpoint(tmp_path / "ledger", ttft_seconds=0.2) as endpoint:
        while moments < MOMENTS or not over:
            if over:
                job = Job(tmp_path, RECORDS, mark=f"job{moments}", drain_seconds=DRAIN_SECONDS)
            with job.running(endpoint, start_new_session=True) as process:
                listens(process)
                if moments % 3:
                    wait_for_more(job.ledger, process)
                time.sleep(draw.uniform(0, 0.6))
                process.send_signal(number)
                begun = time.monotonic()
                said_last = process.communicate(timeout=60)[1]
                slowest = max(slowest, time.monotonic() - begun)
            moments += 1
            assert alone(process)
            assert process.returncode in {INTERRUPTED[number], DEAD_LETTERS}, said_last
            assert "Traceback" not in said_last
            struck += process.returncode == INTERRUPTED[number]
            over = process.returncode == DEAD_LETTERS
            if over:
                assert not job.verdict(repayable=0).violations
    assert slowest < DRAIN_SECONDS + GRACE_SECONDS
    assert struck > MOMENTS / 2, "most came too late to mean anything"
    figure.add(moments, "signals at random moments, 0 paid again")
    figure.most(round(slowest, 1), "s to exit")


def wait_for_more(ledger, process):
    size = oracle.bill_size(ledger)
    while oracle.bill_size(ledger) == size and process.poll() is None:
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.fault(51)
@pytest.mark.parametrize("number", INTERRUPTED)
@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3])
def test_a_signal_during_start_up(number, seconds, tmp_path):
    """Before anything is sent a signal ends the command at once, with its code and one sentence."""
    job = Job(tmp_path, drain_seconds=DRAIN_SECONDS)
    with Endpoint(job.ledger, **HANGING) as endpoint, job.running(endpoint) as process:
        listens(process)
        time.sleep(seconds)
        process.send_signal(number)
        said_last = process.communicate(timeout=10)[1]
    assert process.returncode == INTERRUPTED[number]
    if "run.started" not in said_last:
        assert said_last == (
            f"streamproc: ended by {number.name} with nothing under way; the same command begins again\n"
        )


@pytest.mark.slow
@pytest.mark.fault(51)
@pytest.mark.promise("P13")
@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2, 0.5])
def test_a_second_signal(seconds, tmp_path, figure):
    """However soon after the first, a second signal ends the run within 2 s with the first one's code, and at most what
    was in flight is paid again."""
    job = Job(tmp_path)
    with Endpoint(job.ledger, **HANGING) as endpoint, job.running(endpoint) as process:
        endpoint.wait_until("running", CONCURRENCY)
        process.send_signal(signal.SIGINT)
        time.sleep(seconds)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        process.communicate(timeout=20)
        took = time.monotonic() - begun
    assert process.returncode == INTERRUPTED[signal.SIGINT]
    assert took < GRACE_SECONDS
    job.finish()
    verdict = job.verdict(repayable=CONCURRENCY)
    assert not verdict.violations
    figure.most(round(took, 1), "s to exit")
    figure.most(verdict.repaid, "answers paid again")


@pytest.mark.slow
@pytest.mark.fault(51)
def test_a_third_signal_leaves_even_where_the_event_loop_stands_still(tmp_path):
    """With a prompt that takes for ever to render, two signals wait and the third leaves with 137."""
    endless = "{% for c in text %}" * 9 + "{% endfor %}" * 9
    llm = {"deployment": "simulated", "model": "simulated", "prompt": endless}
    job = Job(tmp_path, llm=llm)
    with Endpoint(job.ledger, **QUICK) as endpoint, job.running(endpoint) as process:
        said(process, "run.started")
        wait_for_work(process, 0.5)
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said_last = process.communicate(timeout=10)[1]
    assert process.returncode == LEFT_AT_ONCE
    assert said_last.endswith("streamproc: left at once; the same command continues\n")


def wait_for_work(process, seconds):
    """Wait until a process has computed for so long."""
    before = seconds_worked(process)
    while seconds_worked(process) < before + seconds:
        assert process.poll() is None
        time.sleep(0.02)


def seconds_worked(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
@pytest.mark.fault(51)
def test_a_hang_up_drains_unless_it_is_ignored(tmp_path):
    """SIGHUP ends a run as SIGTERM does, with 129; under `nohup` the run does not hear of it."""
    job = Job(tmp_path)
    with Endpoint(job.ledger, **QUICK) as endpoint:
        with job.running(endpoint) as process:
            endpoint.wait_until("billed", 12)
            process.send_signal(signal.SIGHUP)
            process.communicate(timeout=20)
        assert process.returncode == INTERRUPTED[signal.SIGHUP]
        paid = oracle.billed(job.ledger, 0, "job")
        with job.running(endpoint, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as process:
            endpoint.wait_until("billed", paid + 12)
            process.send_signal(signal.SIGHUP)
            process.communicate(timeout=30)
        assert process.returncode == DEAD_LETTERS
    assert not job.verdict(repayable=0).violations


@pytest.mark.slow
@pytest.mark.fault(51)
@pytest.mark.parametrize("options", [("--progress", "rich"), ("--progress", "plain"), ("--log-format", "json")])
def test_nobody_reads_what_a_run_says(options, tmp_path):
    """With the reader of both outputs gone after the first line, the run ends as always, with its exit code."""
    job = Job(tmp_path, 600)
    with Endpoint(job.ledger, ttft_seconds=0.02) as endpoint:
        arguments = (*options, "--log-level", "debug")
        with job.running(endpoint, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            process.stdout.readline()
            process.stdout.close()
            process.wait(60)
    assert process.returncode == DEAD_LETTERS
    assert not job.verdict(repayable=0).violations


@pytest.mark.slow
@pytest.mark.fault(51)
def test_an_error_that_nobody_reads_keeps_its_exit_code(tmp_path):
    """What is wrong with a job is told by the exit code where nobody reads the sentence."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "streamproc", "run", str(tmp_path / "gone.yaml")]
    assert subprocess.run(command, cwd=ROOT, stderr=writer, timeout=60).returncode == USAGE
    os.close(writer)


@pytest.mark.slow
@pytest.mark.fault(51)
@pytest.mark.parametrize("owned", [False, True])
def test_the_terminal_is_closed(owned, tmp_path):
    """A run whose terminal goes away goes on; one that the terminal owns gets SIGHUP with that, drains, and exits 129
    with nobody there to tell."""
    job = Job(tmp_path, 600)
    with Endpoint(job.ledger, ttft_seconds=0.02) as endpoint:
        master, slave = pty.openpty()
        options = {"stdin": slave, "stdout": slave, "stderr": slave, "start_new_session": True}
        if owned:
            options["preexec_fn"] = lambda: own_terminal(slave)
        with job.running(endpoint, "--progress", "rich", **options) as process:
            os.close(slave)
            endpoint.wait_until("billed", 30)
            os.close(master)
            process.wait(60)
        assert process.returncode == (INTERRUPTED[signal.SIGHUP] if owned else DEAD_LETTERS)
        assert alone(process)
    if owned:
        job.finish()
    assert not job.verdict(repayable=0).violations


def own_terminal(slave):
    import fcntl
    import termios

    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


@pytest.mark.fault(51)
def test_an_embedded_run_leaves_the_signals_of_its_host_alone():
    """Before, during and after a run every signal has the handler that its host gave it."""
    seen = []

    def handlers():
        found = []
        for number in signal.valid_signals():
            with suppress(OSError, ValueError):
                found.append((number, signal.getsignal(number)))
        return found, signal.set_wakeup_fd(signal.set_wakeup_fd(-1, warn_on_full_buffer=False))

    def answer(request, attempt):
        seen.append(handlers())
        return "ok"

    config = PipelineConfig(llm=LlmConfig(model="m", prompt="{{ text }}", base_url="http://127.0.0.1:1/v1"))
    source, completer = MemorySource([{"text": "a"}, {"text": "b"}]), ScriptedCompleter(answer)

    async def main():
        seen.append(handlers())
        await DataProcessingPipeline(config, source=source, sink=MemorySink(), completer=completer).run()
        seen.append(handlers())

    run_virtual(main())
    assert len(seen) == 4
    assert all(each == seen[0] for each in seen)


@pytest.mark.fault(51)
@pytest.mark.parametrize("broken", [errno.EPIPE, errno.EIO])
def test_text_for_nobody_is_dropped(broken):
    """Text that cannot be written any more, wherever that shows, is dropped without an error."""
    from streamproc.cli.steady import SteadyText

    class Gone:
        encoding = "utf-8"

        def write(self, text):
            raise OSError(broken, os.strerror(broken))

        flush = write

    text = SteadyText(Gone())
    assert text.write("abc") == 3
    text.flush()
    assert not text.isatty()
    assert SteadyText(None).write("abc") == 3
