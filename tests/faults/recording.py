"""A pytest plug-in that gathers what tests say about faults and promises; `--fault-results FILE` writes it as JSON."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

MARKS = ("fault", "promise")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-results", metavar="FILE", help="write what was found about faults and promises")


class Figure:
    """Notes what was measured, for `docs/promises.md`; tests of the same row or promise are put together there.

    A test of several rows and promises says with `only` ("promise P4", "fault 9") which of them a figure is about.
    """

    def __init__(self, record_property: Callable[[str, object], None]) -> None:
        self._record = record_property

    def say(self, text: str, only: str = "") -> None:
        """Note a few words."""
        self._record("figure", ["say", 0, text, only])

    def add(self, number: float, what: str, only: str = "") -> None:
        """Note a number to be added up: `figure.add(12, "kills")`."""
        self._record("figure", ["add", number, what, only])

    def most(self, number: float, what: str, only: str = "") -> None:
        """Note a number of which the largest counts: `figure.most(3, "answers paid again by a crash")`."""
        self._record("figure", ["most", number, what, only])


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """Notes what this test measured."""
    return Figure(record_property)


@pytest.fixture(autouse=True)
def _marks(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    for mark in MARKS:
        for found in request.node.iter_markers(mark):
            for name in found.args:
                record_property("mark", f"{mark} {name}")


class Recorder:
    """Runs where the reports come together, whichever process ran the tests."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._found: dict[str, list[dict[str, object]]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        figures = [text for name, text in report.user_properties if name == "figure"]
        for name, mark in report.user_properties:
            if name == "mark":
                found = {"test": report.nodeid, "outcome": report.outcome, "figures": figures}
                self._found[mark].append(found)

    def pytest_sessionfinish(self) -> None:
        self._target.write_text(json.dumps(self._found, indent=1, sort_keys=True))


def pytest_configure(config: pytest.Config) -> None:
    target = config.getoption("--fault-results")
    if target and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(Path(target)))
