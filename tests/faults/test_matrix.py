"""The table, the tests and the page belong together."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.faults.matrix import FAULTS
from tests.faults.promises import PAGE_PATH, PROMISES, page
from tests.mutants.plants import PLANTS

TESTS = Path(__file__).resolve().parents[1]


@cache
def marked(mark: str) -> set[object]:
    """Find what the tests say they prove, without running them."""
    found: set[object] = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == f"pytest.mark.{mark}":
                found.update(argument.value for argument in node.args if isinstance(argument, ast.Constant))
    return found


def test_rows_are_numbered() -> None:
    """Sixty rows, numbered from 1."""
    assert [fault.number for fault in FAULTS] == list(range(1, 61))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.fault)
def test_every_row_is_proven_or_waits(fault) -> None:
    """A row has a test, or says which part it waits for; never both."""
    assert (fault.number in marked("fault")) != bool(fault.waits_for)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_every_promise_is_proven_or_waits(promise) -> None:
    """A promise has a test of its own, or rows of the matrix, or waits for a part."""
    assert promise.name in marked("promise") or promise.faults or promise.waits_for


def test_no_test_proves_what_is_not_promised() -> None:
    """Marks name rows and promises that exist."""
    assert marked("fault") <= {fault.number for fault in FAULTS}
    assert marked("promise") <= {promise.name for promise in PROMISES}


def test_the_page_has_every_row() -> None:
    """The page in docs/ was written from this table: every row and promise stands there as it stands here."""
    stands = PAGE_PATH.read_text()
    for line in page({}).splitlines():
        assert "|".join(line.split("|")[:4]) in stands


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.purpose)
def test_every_planted_fault_has_its_place(plant) -> None:
    """What a fault is planted in stands in the code, once: `make mutants` would stop there."""
    assert (TESTS.parent / "streamproc" / plant.file).read_text().count(plant.before) == 1
