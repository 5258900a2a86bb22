"""The gate on what a record costs."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.gate.__main__ import main
from bench.gate.checks import CHECKS, REFERENCE
from bench.gate.counted import Fork
from bench.gate.judge import MUCH_LESS, TOO_MUCH, judge, read, renew, this_python
from bench.gate.valgrind import VALGRIND, Count, count, counts_of, executed_in, is_here

PLANTED = str(Path(__file__).parent / "slow_line.py")


@pytest.mark.parametrize(
    ("growth", "judgement"),
    [
        (1.0, "as before"),
        (1.19, "as before"),
        (1.25, "too much"),
        (TOO_MUCH + 0.01, "too much"),
        (MUCH_LESS - 0.01, "much less"),
        (0.5, "much less"),
    ],
)
def test_growth_by_a_quarter_is_too_much(growth: float, judgement: str) -> None:
    """A check is judged by its growth over its baseline, in times the loop by hand."""
    (verdict,) = judge({"a": Count(1.0, 10.0 * growth)}, {"a": Count(1e9, 10.0)})
    assert verdict.judgement == judgement
    assert verdict.growth == pytest.approx(growth)


def test_without_a_baseline_nothing_is_judged() -> None:
    """A check without a baseline is told apart from one that is as before."""
    (verdict,) = judge({"a": Count(1.0, 1.0)}, {})
    assert (verdict.judgement, verdict.growth) == ("no baseline", None)


def test_a_record_costs_what_many_cost_beyond_few() -> None:
    """Start, end, and what the process executed before it was forked are in no count."""
    forks = [
        Fork(REFERENCE.name, 10, worked=1, idle=2),
        Fork(REFERENCE.name, 30, worked=3, idle=4),
        Fork("a", 10, worked=5, idle=6),
        Fork("a", 20, worked=7, idle=8),
    ]
    told = {1: 1_150, 2: 1_000, 3: 2_250, 4: 2_000}  # 150 and 250: 5 a record
    told |= {5: 500, 6: 100, 7: 1_600, 8: 1_000}  # 20 a record
    assert counts_of(forks, told) == {"a": Count(20.0, 4.0)}


def test_the_summary_of_cachegrind_is_read() -> None:
    """The count is the first figure of the summary; a report without one is an error."""
    assert executed_in("desc: x\nevents: Ir\nfn=a\n1 2\nsummary: 1234\n") == 1234
    with pytest.raises(ValueError, match="summary"):
        executed_in("desc: x\n")


def test_each_check_has_a_baseline_and_no_other_has() -> None:
    """The file of baselines names the checks that there are, for each Python in it."""
    for baselines in read().values():
        assert list(baselines) == [check.name for check in CHECKS]


def test_renewing_leaves_other_pythons_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New baselines are those of this Python; they are read back as they were written."""
    monkeypatch.setattr("bench.gate.judge.FILE", tmp_path / "baselines.json")
    (tmp_path / "baselines.json").write_text('{"2.7": {"a": {"instructions": 1, "times": 2}}}')
    renew({"a": Count(123.4, 0.0123456)})
    assert read() == {"2.7": {"a": Count(1, 2)}, this_python(): {"a": Count(123, 0.01235)}}


@pytest.mark.parametrize(("times", "code", "said"), [(1.0, 0, "as before"), (1.25, 1, "FAILED"), (0.5, 0, "--renew")])
def test_the_command_fails_on_growth_and_tells_of_gain(times, code, said, monkeypatch, capsys) -> None:
    """Exit code 1 is growth; a gain is told, and how to keep it."""
    baselines = {check.name: Count(1.0, 1.0) for check in CHECKS}
    monkeypatch.setattr("bench.gate.__main__.is_here", lambda: True)
    monkeypatch.setattr("bench.gate.__main__.read", lambda: {this_python(): baselines})
    counted = {**baselines, "hit path": Count(1.0, times)}
    monkeypatch.setattr("bench.gate.__main__.count", lambda wanted: counted)
    monkeypatch.setattr(sys, "argv", ["gate"])
    assert main() == code
    assert said in capsys.readouterr().out


def instructions_of_a_turn(folder: Path) -> float:
    """Count what a turn of an empty loop costs on this interpreter."""
    told = []
    for turns in (1_000, 101_000):
        code = f"from itertools import repeat\ndef work():\n    for _ in repeat(None, {turns}): pass\nwork()"
        report = folder / f"{turns}"
        subprocess.run(
            [*VALGRIND, f"--cachegrind-out-file={report}", sys.executable, "-I", "-S", "-c", code],
            check=True,
            capture_output=True,
        )
        told.append(executed_in(report.read_text(encoding="utf-8")))
    return (told[1] - told[0]) / 100_000


@pytest.mark.slow
def test_a_slow_line_that_is_planted_fails_the_gate(tmp_path: Path) -> None:
    """A line that costs each record a quarter of its baseline, planted where prompts are rendered, is found."""
    assert is_here(), "apt-get install valgrind"
    baselines = read().get(this_python())
    if baselines is None:
        pytest.skip(f"Python {this_python()} has no baselines")
    turns = round(baselines["miss path"].instructions / 4 / instructions_of_a_turn(tmp_path))
    counts = count(["miss path", "LRUCache.get"], [PLANTED, str(turns)])
    found = {verdict.check: verdict for verdict in judge(counts, baselines)}
    assert found["miss path"].judgement == "too much"
    assert found["miss path"].growth == pytest.approx(1.25, abs=0.04)
    assert found["LRUCache.get"].judgement == "as before"
