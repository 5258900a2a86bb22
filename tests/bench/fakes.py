"""Scenarios that take no time, each ending in its own way. `python -m tests.bench.fakes ARGUMENTS` runs some."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

from bench.figures import Finding, Series, at_least, at_most, figure
from bench.scenario import Scenario, Setting

PAIRS = [(100.0, 50.0), (200.0, 80.0), (100.0, 60.0)]


def fine(setting: Setting) -> Iterator[Finding]:
    assert not list(setting.folder.iterdir())
    yield figure("rate", "by hand", "/s", PAIRS)
    yield figure("time", "by hand", "us", PAIRS, "difference")
    yield Series("memory", "resident", "run 1", "records", [1, 10, 100], [5, 6, 6])
    yield Series("memory", "resident", "goal", "records", [1, 100], [8, 8], bound=True)


def failing(setting: Setting) -> Iterator[Finding]:
    yield figure("before", "by hand", "s", PAIRS)
    raise RuntimeError("no endpoint")


def dying(setting: Setting) -> Iterator[Finding]:
    yield figure("before", "by hand", "s", PAIRS)
    time.sleep(0.2)  # what was sent is on its way in the pipe
    os._exit(9)


def waiting(setting: Setting) -> Iterator[Finding]:
    yield figure("before", "by hand", "s", PAIRS)
    time.sleep(600)


def littering(setting: Setting) -> Iterator[Finding]:
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield figure("pid", "nothing", "", [(1.0, float(left.pid))])


FINE = Scenario("fine", "ends well", fine, {"rate": at_least(0.9), "time": at_most(0)})
FAILING = Scenario("failing", "raises", failing)
DYING = Scenario("dying", "is killed", dying)
WAITING = Scenario("waiting", "hangs", waiting, default=False)
LITTERING = Scenario("littering", "leaves a process behind", littering)
FORGETFUL = Scenario("forgetful", "has a goal for what it does not measure", fine, {"speed": at_least(1)})
FAKES = (FINE, FAILING, DYING, WAITING)


if __name__ == "__main__":
    from bench.__main__ import main

    sys.exit(main(scenarios=FAKES))
