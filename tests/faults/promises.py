"""What is promised, with the figure to reach, and the page that tells what was measured: `docs/promises.md`.

`make test-faults` runs every test that carries `@pytest.mark.fault` or `@pytest.mark.promise`, each of which may note
figures with the fixture `figure`; then `python -m tests.faults.promises RESULTS.json` writes the page.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.matrix import FAULTS, PAGE, PARQUET, POSTGRES

PAGE_PATH = Path(__file__).resolve().parents[2] / "docs" / "promises.md"


@dataclass(frozen=True)
class Promise:
    """One promise.

    Attributes:
        name: in marks and reports.
        text: what is promised.
        goal: the figure to reach.
        faults: rows of the matrix that prove it too.
        waits_for: parts that do not exist yet and that it will have to hold for as well.
    """

    name: str
    text: str
    goal: str
    faults: tuple[int, ...] = ()
    waits_for: tuple[str, ...] = ()


PROMISES = (
    Promise(
        "P1",
        "every record ends once: a row or a dead letter",
        "0 lost, 0 doubled, in every row",
        (1, 2),
        (PARQUET, POSTGRES),
    ),
    Promise("P2", "a kill is harmless wherever it strikes", "every write, flush and change of a name", (1, 2, 3)),
    Promise("P3", "power loss is harmless", "2,000 states a sink, 0 violations", (4,), (PARQUET, POSTGRES)),
    Promise("P4", "a recorded answer is paid once", "1.000 payments each"),
    Promise("P5", "a crash pays again at most what was in flight", "at most the concurrency, each crash", (1, 2, 3)),
    Promise("P6", "without faults nothing is paid twice", "10,000 records, 10,000 calls billed"),
    Promise(
        "P7", "a key or quota that ended stops the run", "at most the calls in flight, exit 4 within 2 s", (36, 37)
    ),
    Promise("P8", "a record that can never succeed costs one request", "1 each", (38,)),
    Promise("P9", "what the provider asks to wait is waited", "0 early, late by under 0.5 s on average", (35,)),
    Promise("P10", "after a storm of 429 nobody floods", "under 10 % wasted, 90 % of the goodput within 30 s", (35,)),
    Promise("P11", "memory is bounded", "under 300 MiB, growing under 1 MiB a minute", (43, 46)),
    Promise("P12", "one Ctrl-C drains", "exit within the drain and 2 s, 130 or 143, 0 paid again", (51,)),
    Promise("P13", "two end the calls", "exit within 2 s, at most the calls in flight paid again", (51,)),
    Promise("P14", "the host may cancel at any step", "1,000 cancellations, 0 lost, no task left", (55,)),
    Promise("P15", "changed input or job is refused", "every change, with both values", (47, 48)),
    Promise("P16", "two runs never share an output", "exit 3 within a second, files untouched", (17, 18)),
    Promise("P17", "no secret leaves", "0 hits"),
    Promise("P18", "what is stored is never executed", "0 executions"),
    Promise("P19", "the dashboard is safe by default", "403 for every foreign host", (57,), (PAGE,)),
    Promise("P20", "time is bounded", "each attempt within its deadline and 1 s", (32, 33)),
    Promise("P21", "a stall discards no answer", "0 records timed out", (50,)),
    Promise("P22", "durable at no visible price", "at least 2,000 records/s, at most 5 % at 200 records/s"),
    Promise("P23", "resuming is quick", "1,000,000 records, 90 % done: first request within 10 s"),
    Promise("P24", "anyone can check", "20 of 20 planted corruptions found", (6, 7, 8)),
    Promise("P25", "the tests can see bugs", "every wrong sink and every planted fault caught"),
    Promise("P26", "the figures are honest", "totals equal the endpoint's bill"),
)

Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""By mark, such as `fault 9` or `promise P4`: tests with `test`, `outcome` and `figures`."""


def page(results: Results) -> str:
    """Write the page."""
    lines = [
        "# Promises",
        "",
        "What streamproc promises, and what was measured when `make test-faults` ran last. Generated; do not edit.",
        "",
        "| | promise | to reach | measured |",
        "|---|---|---|---|",
    ]
    for promise in PROMISES:
        rows = [f"row {number}" for number in promise.faults if not _waits(number)]
        said = [*_figures(results, f"promise {promise.name}"), *([f"see {', '.join(rows)}"] if rows else [])]
        said += [f"waits for {part}" for part in promise.waits_for]
        lines.append(f"| {promise.name} | {promise.text} | {promise.goal} | {'; '.join(said) or 'nothing yet'} |")
    lines += [
        "",
        "## What can go wrong",
        "",
        "| | fault | injected by | outcome | tests | measured |",
        "|---|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        if fault.waits_for:
            last = f"| | waits for {fault.waits_for} |"
        else:
            tests = [test["test"].rpartition("/")[2] for test in results.get(f"fault {fault.number}", ())]
            files = sorted({test.partition("::")[0] for test in tests})
            figures = _figures(results, f"fault {fault.number}")
            last = f"| {len(tests)} in {', '.join(files) or 'none'} | {'; '.join(figures)} |"
        lines.append(f"| {fault.number} | {fault.fault} | {fault.injection} | {fault.outcome} {last}")
    return "\n".join(lines) + "\n"


def _waits(number: int) -> bool:
    return bool(next(fault.waits_for for fault in FAULTS if fault.number == number))


def _figures(results: Results, mark: str) -> list[str]:
    tests = results.get(mark, ())
    failed = [f"FAILED: {test['test']}" for test in tests if test["outcome"] != "passed"]
    numbers: dict[tuple[str, str], list[float]] = {}
    for test in tests:
        for how, number, what, only in test["figures"]:
            if only in ("", mark):
                numbers.setdefault((how, what), []).append(number)
    return failed + [_said(how, what, found) for (how, what), found in numbers.items()]


def _said(how: str, what: str, numbers: Sequence[float]) -> str:
    if how == "say":
        return what.replace("|", "/")
    if how == "add":
        return f"{sum(numbers):,.10g} {what}"
    return f"at most {max(numbers):,.10g} {what}"


if __name__ == "__main__":
    PAGE_PATH.write_text(page(json.loads(Path(sys.argv[1]).read_text())))
