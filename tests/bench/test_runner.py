"""Scenarios run in processes of their own, whatever becomes of them."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from bench.__main__ import FAILED, INTERRUPT, USAGE, main
from bench.figures import Figure
from bench.results import read
from bench.runner import measured
from bench.scenario import Setting
from tests.bench.fakes import DYING, FAILING, FAKES, FINE, FORGETFUL, LITTERING, WAITING

ROOT = Path(__file__).parents[2]


def run(scenario, folder, seconds=60.0):
    told = []
    outcome = measured(scenario, Setting(folder), seconds, told.append)
    assert told == outcome.findings
    assert not list(folder.iterdir())
    return outcome


def test_a_scenario_gives_its_findings_with_their_goals(tmp_path):
    """Findings arrive in order; those that have a goal in the table carry it."""
    outcome = run(FINE, tmp_path)
    assert (outcome.scenario, outcome.error, len(outcome.findings)) == ("fine", None, 4)
    rate, times = outcome.figures
    assert (rate.median, rate.lowest, rate.highest, rate.good) == (0.5, 0.4, 0.6, False)
    assert (times.median, times.lowest, times.highest, times.good) == (-50.0, -120.0, -40.0, True)


@pytest.mark.parametrize(
    ("scenario", "words"),
    [(FAILING, "RuntimeError: no endpoint"), (DYING, "its process died with exit code 9")],
)
def test_what_was_found_before_the_end_is_kept(tmp_path, scenario, words):
    """A scenario that raises or dies says so, and keeps its figures."""
    outcome = run(scenario, tmp_path)
    assert outcome.error == words
    assert [figure.name for figure in outcome.figures] == ["before"]


def test_a_scenario_that_takes_too_long_is_ended(tmp_path):
    """When its time is over a scenario that hangs is ended, and that is said of it."""
    assert run(WAITING, tmp_path, 1.0).error == "its time was over"


def test_where_no_time_is_left_nothing_is_begun(tmp_path):
    """A scenario whose turn comes too late is named as not measured."""
    assert run(FINE, tmp_path, 0.0).error == "no time was left for it"


def test_a_goal_without_a_figure_is_an_error(tmp_path):
    """A goal in the table for what nobody measures cannot pass unseen."""
    assert run(FORGETFUL, tmp_path).error == "there are goals, but no figures, for: speed"


def test_what_a_scenario_leaves_running_is_ended(tmp_path):
    """Servers that a scenario started are gone when it is."""
    (figure,) = run(LITTERING, tmp_path).figures
    with suppress(psutil.NoSuchProcess):
        left = psutil.Process(int(figure.ours))
        gone_by = time.monotonic() + 30
        while left.is_running() and left.status() != psutil.STATUS_ZOMBIE:  # killed, which takes a moment
            assert time.monotonic() < gone_by
            time.sleep(0.01)


def test_the_others_go_on_and_the_exit_code_tells(tmp_path, capsys):
    """Where scenarios fail the others are measured, the last line names those that failed, and the code is 1."""
    code = main(["--results", str(tmp_path)], FAKES)
    said = capsys.readouterr().out
    assert code == FAILED
    assert "1 of 2 goals met; not measured to their end: failing, dying" in said
    (path,) = tmp_path.glob("*.json")
    outcomes = read(path).outcomes
    assert [outcome.scenario for outcome in outcomes] == ["fine", "failing", "dying"]
    assert all(len(outcome.figures) for outcome in outcomes)
    assert {picture.name[11:] for picture in tmp_path.glob("*.png")} == {"throughput.png", "memory.png"}


def test_all_is_well_where_scenarios_end_well(tmp_path, capsys):
    """A missed goal is told, and is no failure to measure: the code is 0. A part of the scenarios has its own file."""
    assert main(["fine", "--quick", "--results", str(tmp_path)], FAKES) == 0
    assert "1 of 2 goals met" in capsys.readouterr().out
    (path,) = tmp_path.glob("*.json")
    assert path.stem.endswith("-quick-fine")
    assert read(path).quick


def test_an_unknown_scenario_is_named(capsys):
    """Nothing is measured for a name that is not in the table."""
    assert main(["fine", "nope"], FAKES) == USAGE
    assert "nope: no such scenario; there are fine, failing" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_measured_before_ctrl_c_is_written_down(tmp_path, number):
    """Interrupted in the middle of a scenario, the run writes down what it has, and ends with 130."""
    command = [sys.executable, "-m", "tests.bench.fakes", "fine", "waiting", "--results", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert any("before" in line for line in process.stdout)
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait() == INTERRUPT
    assert time.monotonic() - began < 20
    (path,) = tmp_path.glob("*.json")
    fine, waiting = read(path).outcomes
    assert (fine.error, waiting.error) == (None, "interrupted")
    assert [type(finding) for finding in waiting.findings] == [Figure]
