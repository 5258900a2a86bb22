"""Figures, how they are taken, written down and shown."""

import statistics
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Series, at_least, at_most, figure
from bench.machine import CORES, beside, describe
from bench.measures.first_request import first_request
from bench.pairs import alternate, compare
from bench.plots import draw
from bench.results import Result, newest, read, stem_of, write
from bench.runner import Outcome
from bench.scenarios import SCENARIOS
from bench.show import markdown_of, number
from streamproc import PerformanceBenchmark

SIDES = st.floats(0.001, 1e6)
RELATIONS = {"ratio": lambda r, o: o / r, "difference": lambda r, o: o - r, "ours": lambda r, o: o}
RATES = figure("rate", "by hand", "/s", [(100.0, 50.0), (200.0, 80.0), (100.0, 60.0)])


@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=9), st.sampled_from(sorted(RELATIONS)))
def test_a_figure_is_the_median_over_its_pairs(pairs, relation):
    """Median, lowest and highest are those of the relation pair by pair, not of the sides by themselves."""
    values = [RELATIONS[relation](*pair) for pair in pairs]
    found = figure("f", "by hand", "s", pairs, relation)
    assert (found.median, found.lowest, found.highest) == (statistics.median(values), min(values), max(values))
    assert found.ours == statistics.median(ours for _, ours in pairs)


@given(SIDES, SIDES)
def test_goals_include_their_bound(median, bound):
    """`at_least` and `at_most` are kept at the bound itself, and on one side of it."""
    assert at_least(bound).met(median) == (median >= bound)
    assert at_most(bound).met(median) == (median <= bound)


def test_sides_take_turns_and_the_first_pair_does_not_count():
    """Each pair has one run of each; who begins changes; the first of all is left out."""
    order = []
    timings = alternate(lambda folder: order.append("r"), lambda folder: order.append("o"), pairs=3)
    assert "".join(order) == "roorroor"
    assert len(timings) == 3


def test_rates_and_cpu_time_come_from_the_same_runs():
    """Comparing gives the ratio of rates, and the difference in CPU time a record."""
    ratio, cpu = compare("sum", "nothing", 1000, lambda folder: None, lambda folder: sum(range(300_000)), pairs=2)
    assert ratio.relation == "ratio"
    assert ratio.median < 1
    assert (cpu.name, cpu.relation) == ("sum: CPU a record beyond it", "difference")
    assert cpu.median > 0


def result(at, quick=False):
    series = Series("memory", "resident", "run 1", "records", [1, 10], [5, 6])
    outcomes = [Outcome("fine", 1.5, [RATES, series]), Outcome("failing", 0.5, [], "RuntimeError: x")]
    return Result(at, quick, describe(), outcomes)


def test_a_result_is_read_as_it_was_written(tmp_path):
    """Figures, series and errors survive the file, and the newest whole run is found among others."""
    for day in (3, 11):
        at = datetime(2026, 1, day, tzinfo=UTC)
        write(result(at), tmp_path / f"{stem_of(at, False, [])}.json")
    write(result(at, quick=True), tmp_path / f"{stem_of(at, True, [])}.json")
    write(result(at), tmp_path / f"{stem_of(at, False, ['miss', 'hit'])}.json")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"2026-01-03.json", "2026-01-11.json", "2026-01-11-quick.json", "2026-01-11-hit-miss.json"}
    assert newest(tmp_path) == tmp_path / "2026-01-11.json"
    assert read(tmp_path / "2026-01-11.json") == result(at)


def test_markdown_has_a_row_for_each_figure_and_each_failure():
    """What was missed or not measured is said where the figures stand."""
    lines = markdown_of(result(datetime(2026, 1, 3, tzinfo=UTC))).splitlines()
    assert lines[4] == "| fine | rate | 0.500 (0.400 to 0.600) |  | 60.00/s | 100/s | by hand |"
    assert "RuntimeError: x" in lines[5]
    assert {line.count("|") for line in lines[2:]} == {8}


@pytest.mark.parametrize(
    ("value", "unit", "text"), [(0.3764, "", "0.376"), (14.26, "us", "14.26 us"), (11230.9, "/s", "11,231/s")]
)
def test_numbers_are_written_as_exact_as_they_are_worth(value, unit, text):
    """Small ones with three places, large ones with none, and their unit."""
    assert number(value, unit) == text


def test_pictures_are_drawn_of_what_there_is(tmp_path):
    """Rates make a picture, each plot named by a series makes one, and where there is nothing none is made."""
    outcomes = result(datetime(2026, 1, 3, tzinfo=UTC)).outcomes
    paths = draw(outcomes, tmp_path / "2026-01-03")
    assert [path.name for path in paths] == ["2026-01-03-throughput.png", "2026-01-03-memory.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert draw(outcomes[1:], tmp_path / "none") == []


def test_the_table_of_scenarios_is_sound():
    """Names are unique, and each scenario says what it is."""
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert all(scenario.what for scenario in SCENARIOS)
    assert [scenario.name for scenario in SCENARIOS if not scenario.default] == ["control-http"]


@pytest.mark.skipif(len(CORES) < 2, reason="there is one core")
def test_servers_run_on_another_core():
    """What is started beside runs on the endpoint's core, and who started it runs where it ran."""
    ask = [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"]
    with beside():
        there = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    here = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    assert (there.strip(), here.strip()) == (str([CORES[1]]), str(CORES))


def test_the_first_request_is_timed_from_the_start_of_the_process():
    """It counts when a request arrives; a process that ends without one is an error with its last words."""
    post = "import sys, urllib.request as u; u.urlopen(sys.argv[1], data=b'{}')"
    with PerformanceBenchmark("all") as benchmark, benchmark.measure():
        seconds = first_request(lambda url: [sys.executable, "-c", post, url])
    assert 0 < seconds < benchmark.report().mean
    with pytest.raises(RuntimeError, match="no key"):
        first_request(lambda url: [sys.executable, "-c", "import sys; sys.exit('no key')"])
