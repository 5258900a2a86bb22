"""Count what streamproc does for a record, and fail where that has grown by a fifth since its baseline was written.

`--renew` writes new baselines, to be reviewed like code. Where valgrind is not installed nothing is counted, and where
this version of Python has no baselines nothing is judged; both are said.
"""

from __future__ import annotations

import argparse
import sys

from bench.gate.checks import CHECKS
from bench.gate.judge import FILE, Verdict, judge, read, renew, this_python
from bench.gate.valgrind import count, is_here


def line_of(verdict: Verdict) -> str:
    """Say what was found about a check."""
    beside = f"{verdict.growth:.2f} of its baseline: " if verdict.growth is not None else ""
    found = f"{verdict.count.instructions:>9,.0f} instructions a record, {verdict.count.times:7.3f} x the loop by hand"
    return f"gate: {verdict.check:<28}{found}; {beside}{verdict.judgement}"


def main() -> int:
    """Count, and tell what came of it; 1 where something has grown too much."""
    names = [check.name for check in CHECKS]
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description=__doc__)
    parser.add_argument("checks", nargs="*", choices=[*names, []], help="all if none is named")
    parser.add_argument("--renew", action="store_true", help="write what is counted down as the new baselines")
    options = parser.parse_args()
    if not is_here():
        print("gate: valgrind is not installed (apt-get install valgrind, on Linux); nothing was counted")
        return int(options.renew)
    if options.renew:
        renew(count(names))
        print(f"gate: baselines of Python {this_python()} written to {FILE}")
        return 0
    verdicts = judge(count(options.checks or names), read().get(this_python(), {}))
    for verdict in verdicts:
        print(line_of(verdict))
    judgements = {verdict.judgement for verdict in verdicts}
    if "much less" in judgements:
        print("gate: much less than before: `python -m bench.gate --renew` keeps it so")
    if "no baseline" in judgements:
        print(f"gate: Python {this_python()} has no baseline for what says so; it was not judged")
    if "too much" in judgements:
        print("gate: FAILED: make it cheaper again; if it must cost that, `python -m bench.gate --renew`, and say why")
    return int("too much" in judgements)


if __name__ == "__main__":
    sys.exit(main())
