"""Scenarios, each in a process of its own: what one leaves behind, or dies of, is nothing to the next."""

from __future__ import annotations

import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bench.figures import Figure, Finding
from bench.scenario import Measure, Scenario, Setting

INTERRUPTED = "interrupted"
DIED = "its process died"


class Outcome(Struct, frozen=True):
    """What became of a scenario.

    Attributes:
        scenario: its name.
        seconds: that it took.
        findings: all that it found, also where it failed later.
        error: why it did not end well; `None` where it did.
    """

    scenario: str
    seconds: float
    findings: list[Finding]
    error: str | None = None

    @property
    def figures(self) -> list[Figure]:
        """The figures among the findings."""
        return [finding for finding in self.findings if isinstance(finding, Figure)]


def measured(scenario: Scenario, setting: Setting, seconds: float, told: Callable[[Finding], None]) -> Outcome:
    """Run a scenario, and end it when its time is over or on Ctrl-C.

    Args:
        scenario: to be run.
        setting: how much it does; it gets a fresh folder within the one named there.
        seconds: that it may take.
        told: called with each finding as it comes.
    """
    if seconds <= 0:
        return Outcome(scenario.name, 0.0, [], "no time was left for it")
    began = time.monotonic()
    findings: list[Finding] = []

    def found(finding: Finding) -> None:
        if isinstance(finding, Figure):
            finding = replace(finding, goal=scenario.goals.get(finding.name))
        findings.append(finding)
        told(finding)

    with tempfile.TemporaryDirectory(prefix=f"{scenario.name}-", dir=setting.folder) as folder:
        context = get_context("spawn")
        receiving, sending = context.Pipe(duplex=False)
        arguments = (scenario.measure, replace(setting, folder=Path(folder)), sending)
        process = context.Process(target=_work, args=arguments, name=scenario.name)
        process.start()
        sending.close()
        try:
            error = _listen(receiving, process, began + seconds, found)
        except KeyboardInterrupt:
            error = INTERRUPTED
        finally:
            _end(process)
    if error == DIED:
        error = f"{DIED} with exit code {process.exitcode}"
    missing = scenario.goals.keys() - {finding.name for finding in findings if isinstance(finding, Figure)}
    if error is None and missing:
        error = f"there are goals, but no figures, for: {', '.join(sorted(missing))}"
    return Outcome(scenario.name, round(time.monotonic() - began, 1), findings, error)


def _listen(receiving: Connection, process: SpawnProcess, until: float, found: Callable[[Finding], None]) -> str | None:
    while receiving.poll(max(0.0, until - time.monotonic())):
        try:
            said = receiving.recv()
        except EOFError:
            said = DIED
        if said is None or isinstance(said, str):
            wait([process.sentinel], 1.0)
            return said
        found(said)
    return "its time was over"


def _end(process: SpawnProcess) -> None:
    """End the process, if it has not ended, and whatever it has started and left."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)  # before join: until then its number is nobody else's
    process.kill()
    process.join()


def _work(measure: Measure, setting: Setting, sending: Connection) -> None:
    """Be the process of a scenario: in a session of its own, so that Ctrl-C is its parent's to handle."""
    os.setsid()
    tempfile.tempdir = str(setting.folder)
    error = None
    try:
        for finding in measure(setting):
            sending.send(finding)
    except Exception as raised:  # noqa: BLE001 - the border of the scenario: the others go on
        traceback.print_exc()
        error = f"{type(raised).__name__}: {raised}"
    sending.send(error)
