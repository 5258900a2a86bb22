import json

import pytest

from tests.system import oracle

MARK = "m"


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path):
    """Ten records worked off faultlessly, each paid once."""
    folder = tmp_path / "run"
    oracle.write_input(folder, 10, MARK)
    rows = [json.loads(line) for line in (folder / oracle.INPUT).read_text().splitlines()]
    answered = [{"id": row["id"], "input": row, "output": row["text"].split(".")[0]} for row in rows[:9]]
    (folder / "out.jsonl").write_text(lines(answered))
    (folder / "out.jsonl.dead.jsonl").write_text(lines([{"id": "r9", "input": rows[9]}]))
    others = [{"prompt": "mm 1"}]
    (tmp_path / "ledger").write_text(lines([*({"prompt": row["text"]} for row in rows[:9]), *others, *others]))
    return folder


def judged(folder, repayable=0):
    return oracle.judge(folder, folder.parent / "ledger", 0, MARK, repayable)


def test_a_faultless_run_is_acquitted(folder):
    """Where every promise was kept nothing is found, whatever else stands on the bill."""
    assert judged(folder) == oracle.Verdict()


def cut(rows):
    return rows[:-20]


def without_one(rows):
    return rows.partition("\n")[2]


def with_one_twice(rows):
    return rows + rows.partition("\n")[0] + "\n"


def with_a_stranger(rows):
    return rows.replace('"id": "r3"', '"id": "x"')


def with_two_answers_swapped(rows):
    return rows.replace('"output": "m 3"', '"output": "m 4"')


def with_a_tear_inside(rows):
    return rows[:30] + rows


@pytest.mark.parametrize(
    "spoil", [cut, without_one, with_one_twice, with_a_stranger, with_two_answers_swapped, with_a_tear_inside]
)
def test_a_spoiled_output_is_found(spoil, folder):
    """Whatever is missing, doubled, torn, foreign or mixed up in the output is a violation."""
    output = folder / "out.jsonl"
    output.write_text(spoil(output.read_text()))
    assert judged(folder).violations


def test_a_record_in_both_files_is_found(folder):
    """A record may end as a row or as a dead letter, not as both."""
    with (folder / "out.jsonl.dead.jsonl").open("a") as file:
        file.write((folder / "out.jsonl").read_text().splitlines()[0] + "\n")
    verdict = judged(folder)
    assert (verdict.lost, verdict.doubled) == (0, 1)
    assert verdict.violations


def test_paying_again_is_found_beyond_what_may_be(folder):
    """Two answers that were billed twice are a violation where one may be, and none where two may be."""
    ledger = folder.parent / "ledger"
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:2]) + ledger.read_text())
    assert judged(folder, repayable=1).violations
    assert judged(folder, repayable=2) == oracle.Verdict(repaid=2)
