"""Says whether a folder holds what was promised. Shares no code with streamproc: it reads files, and decides."""

import json
import sqlite3
from collections import Counter
from collections.abc import Set
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

INPUT = "input.jsonl"
OUTPUTS = ("out.jsonl", "out.db")
UNANSWERABLE_EVERY = 10
"""Each tenth record lacks the field that the prompt names, and must become a dead letter."""


def write_input(folder: Path, records: int, mark: str) -> None:
    """Write the input. The mark is in every prompt, so that the bill can be told from other runs' bills."""
    folder.mkdir()
    rows = []
    for number in range(records):
        row = {"id": f"r{number}", "text": f"{mark} {number}. And what follows it."}
        if number % UNANSWERABLE_EVERY == UNANSWERABLE_EVERY - 1:
            del row["text"]
        rows.append(json.dumps(row) + "\n")
    (folder / INPUT).write_text("".join(rows))


@dataclass
class Verdict:
    """What was found.

    Attributes:
        violations: broken promises, as sentences.
        lost: records that ended nowhere.
        doubled: records that ended more than once.
        repaid: answers that were billed again.
    """

    violations: list[str] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    repaid: int = 0


def judge(
    folder: Path,
    ledger: Path,
    since: int,
    mark: str,
    repayable: int,
    *,
    dead: Set[int] = frozenset(),
    unbilled: Set[int] = frozenset(),
) -> Verdict:
    """Compare input, output, dead letters and bill.

    Args:
        folder: holds the run's files; the run is over.
        ledger: the endpoint's bill.
        since: the ledger's size before the first run.
        mark: what `write_input` was given.
        repayable: most answers that may have been billed again.
        dead: records that must have failed although they have a text, by number.
        unbilled: records that have a text and must not have been billed, by number.
    """
    doomed = {f"r{number}" for number in dead}
    verdict = Verdict()
    rows = [json.loads(line) for line in (folder / INPUT).read_text().splitlines()]
    answered = _rows(folder, verdict)
    failed = _lines(next(folder.glob("out.*.dead.jsonl"), None), verdict)
    ended = Counter(row["id"] for row in answered + failed)
    verdict.lost = sum(row["id"] not in ended for row in rows)
    verdict.doubled = sum(times > 1 for times in ended.values())
    if verdict.lost or verdict.doubled or len(ended) != len(rows):
        verdict.violations.append(f"{verdict.lost} records lost, {verdict.doubled} doubled, {len(ended)} ended")
    given = {row["id"]: row for row in rows}
    for row in answered:
        if row["id"] in doomed:
            verdict.violations.append(f"a record was answered that had to fail: {row}")
        if row["input"] != given.get(row["id"]) or not row["input"].get("text", "").startswith(row["output"]):
            verdict.violations.append(f"a row that is no answer to its record: {row}")
    for row in failed:
        if row["input"] != given.get(row["id"]) or ("text" in row["input"] and row["id"] not in doomed):
            verdict.violations.append(f"a record failed that has an answer: {row}")
    billed = _bill(ledger, since, mark)
    verdict.repaid = billed.total() - len(billed)
    if verdict.repaid > repayable:
        verdict.violations.append(f"{verdict.repaid} answers were paid again, {repayable} may be")
    free = {given[f"r{number}"]["text"] for number in unbilled}
    if free & set(billed):
        verdict.violations.append(f"billed for nothing: {sorted(free & set(billed))}")
    if len(billed) != sum("text" in row for row in rows) - len(free):
        verdict.violations.append(f"{len(billed)} different prompts were billed")
    return verdict


def bill_size(ledger: Path) -> int:
    """Give the size of a ledger that may not be there yet."""
    return ledger.stat().st_size if ledger.exists() else 0


def billed(ledger: Path, since: int, mark: str) -> int:
    """Count what was billed for a mark so far."""
    return _bill(ledger, since, mark).total()


def _bill(ledger: Path, since: int, mark: str) -> Counter[str]:
    if not ledger.exists():
        return Counter()
    with ledger.open("rb") as file:
        file.seek(since)
        prompts = (json.loads(line)["prompt"] for line in file)
        return Counter(prompt for prompt in prompts if prompt.startswith(f"{mark} "))


def _rows(folder: Path, verdict: Verdict) -> list[dict]:
    lines, database = (folder / name for name in OUTPUTS)
    if not database.exists():
        return _lines(lines, verdict)
    with closing(sqlite3.connect(database)) as connection:
        ((sound,),) = connection.execute("PRAGMA integrity_check")
        if sound != "ok":
            verdict.violations.append(f"{database}: {sound}")
        rows = connection.execute("SELECT id, input, output FROM results").fetchall()
    return [{"id": name, "input": json.loads(given), "output": json.loads(got)} for name, given, got in rows]


def _lines(path: Path | None, verdict: Verdict) -> list[dict]:
    if path is None or not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            verdict.violations.append(f"{path}: line {number} is no JSON: {line[:200]!r}")
        if not line.endswith(b"\n"):
            verdict.violations.append(f"{path}: line {number} has no end")
    return rows
