"""What an endpoint may answer, and what becomes of the record: over real sockets, with journal, files and judge."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.misbehaviours import MISBEHAVIOURS
from tests.faults.network import Scene

pytestmark = [
    pytest.mark.usefixtures("transport"),
    pytest.mark.parametrize("transport", ["lean", "aiohttp"], indirect=True),
]

RECORDS = 30
VICTIMS = (3, 14, 25)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, RECORDS)


def once(do: str, **rule: Any) -> list[dict[str, Any]]:
    return [{"do": do, "numbers": list(VICTIMS), "attempts": [1, 1], **rule}]


def always(do: str, **rule: Any) -> list[dict[str, Any]]:
    return [{"do": do, "numbers": list(VICTIMS), **rule}]


def paid(do: str) -> int:
    return len(VICTIMS) if MISBEHAVIOURS[do].bills else 0


def of(row: pytest.MarkDecorator, *names: str) -> list[Any]:
    return [pytest.param(name, marks=row) for name in names]


TRANSIENT = [
    *of(pytest.mark.fault(29), "reset-if-reused", "close-if-reused"),
    *of(pytest.mark.fault(30), "reset", "close"),
    *of(pytest.mark.fault(31), "cut-length", "cut-chunked", "cut-to-the-end", "reset-length", "reset-chunked"),
    *of(pytest.mark.fault(32), "slow-headers", "slow-body"),
    *of(pytest.mark.fault(33), "hang", "hang-in-body"),
    *of(
        pytest.mark.fault(34),
        "408",
        "409",
        "425",
        "500",
        "502",
        "502-html",
        "503",
        "503-html",
        "503-retry-after",
        "504",
        "529",
    ),
    *of(
        pytest.mark.fault(35),
        "429",
        "429-seconds",
        "429-float",
        "429-ms",
        "429-date",
        "429-skewed-date",
        "429-nan",
        "429-negative",
    ),
    *of(pytest.mark.fault(36), "402-retry-after"),
    *of(pytest.mark.fault(39), "error-in-200", "empty", "no-choices", "html"),
    *of(pytest.mark.fault(41), "cut-json", "bad-utf8", "brackets"),
    *of(
        pytest.mark.fault(43),
        "gzip-bomb",
        "deflate-bomb",
        "gzip-bomb-500",
        "10000-headers",
        "endless-headers",
        "br",
        "1gib-length",
    ),
]


@pytest.mark.parametrize("do", TRANSIENT)
def test_what_happens_once_is_tried_again(do: str, scene: Scene) -> None:
    """A request that goes wrong once, in whatever way, is sent again, and its record answered; nobody else is."""
    report = scene.run(once(do))
    assert report.ending == "finished"
    assert scene.dead() == {}
    scene.judged(repayable=paid(do) + len(VICTIMS) * do.endswith("-if-reused"))
    for number in range(RECORDS):
        if number % 10 < 9 and not do.endswith("-if-reused"):
            assert scene.asked(number) == 1 + (number in VICTIMS)
    assert report.model_calls == scene.figures["requests"]


REJECTED = ["400", "400-context", "400-context-int", "400-filter", "413", "422"]


@pytest.mark.fault(38)
@pytest.mark.promise("P8")
@pytest.mark.parametrize("do", REJECTED)
def test_a_record_that_can_never_succeed_costs_one_request(do: str, scene: Scene, figure: Any) -> None:
    """A rejected record is asked once and becomes a dead letter with status and reason; the others are answered."""
    scene.run(always(do))
    scene.judged(dead=VICTIMS, unbilled=VICTIMS)
    for number in VICTIMS:
        assert scene.asked(number) == 1
        assert scene.dead()[number]["error"]["status"] == int(do[:3])
        assert scene.dead()[number]["error"]["message"]
    figure.most(max(map(scene.asked, VICTIMS)), "requests each")


UNUSABLE = {"null-content": 39, "content-filter": 40}


@pytest.mark.parametrize("do", [pytest.param(do, marks=pytest.mark.fault(row)) for do, row in UNUSABLE.items()])
def test_an_answer_without_a_text_is_paid_once_and_kept(do: str, scene: Scene) -> None:
    """Null content and a filtered answer are dead letters that keep the completion; they are not asked for again, nor
    when the command is given again."""
    scene.run(always(do))
    for number in VICTIMS:
        assert scene.asked(number) == 1
        assert scene.dead()[number]["error"]["type"] == "unusable_answer"
        assert scene.dead()[number]["completion"]["usage"]["completion_tokens"] == 2
    scene.judged(dead=VICTIMS)
    scene.run(always(do))
    assert not scene.requests


@pytest.mark.fault(39, 41)
@pytest.mark.parametrize("do", ["error-in-200", "empty", "no-choices", "html", "cut-json", "bad-utf8", "brackets"])
def test_success_without_an_answer_is_never_a_row(do: str, scene: Scene, figure: Any) -> None:
    """What is no answer each time ends as a dead letter within bounds, and never as an empty row."""
    scene.run(always(do), max_attempts=3)
    most = 2 if do in {"cut-json", "bad-utf8", "brackets"} else 3
    for number in VICTIMS:
        assert scene.asked(number) == most
    assert set(scene.dead()) == set(VICTIMS)
    assert all(row["output"] for row in scene.rows().values())
    bills = MISBEHAVIOURS[do].bills
    scene.judged(repayable=paid(do) * (most - 1), dead=VICTIMS, unbilled=() if bills else VICTIMS)
    figure.most(0, "empty rows")


@pytest.mark.fault(40)
@pytest.mark.parametrize(("do", "reason"), [("length", "length"), ("unknown-reason", "new_reason")])
def test_an_answer_that_is_not_whole_is_flagged(do: str, reason: str, scene: Scene) -> None:
    """A cut answer, and one that ends for an unknown reason, are rows that say so, paid once."""
    scene.run(always(do))
    scene.judged()
    for number in VICTIMS:
        assert scene.rows()[number]["finish_reason"] == reason
        assert scene.asked(number) == 1


@pytest.mark.fault(40)
def test_an_answer_that_calls_a_tool_is_kept(scene: Scene) -> None:
    """Whatever becomes of an answer that only calls a tool, it is asked for and paid once."""
    scene.run(always("tool-calls"))
    for number in VICTIMS:
        assert scene.asked(number) == 1
        ended = scene.dead().get(number) or scene.rows()[number]
        assert "tool_calls" in json.dumps(ended)


@pytest.mark.parametrize(
    "do",
    [
        *(pytest.param(do, marks=pytest.mark.fault(41)) for do in ("bom", "nan", "duplicate-keys")),
        *(pytest.param(do, marks=pytest.mark.fault(43)) for do in ("gzip", "deflate", "9kb-header")),
        *(
            pytest.param(do, marks=pytest.mark.fault(45))
            for do in ("no-usage", "negative-usage", "huge-usage", "text-usage", "same-id")
        ),
    ],
)
def test_an_answer_that_is_odd_is_an_answer(do: str, scene: Scene) -> None:
    """What can be read is kept: loose JSON, compression that nobody asked for, absurd counts, ids used twice."""
    scene.run(always(do))
    scene.judged()
    for number in VICTIMS:
        assert scene.asked(number) == 1
        usage = scene.rows()[number]["usage"]
        assert all(isinstance(count, int) and 0 <= count < 100 for count in usage.values())


ODD = {
    "surrogate": "half \ufffd a pair",
    "nul": "a\0b",
    "u2028": "a\u2028b\u2029c\u0085d",
    "10mb": "long " * 2_000_000,
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x9b\x1b[31m\x1b]0;title\x07\r\n",
}


@pytest.mark.fault(42)
@pytest.mark.parametrize("do", ODD)
def test_odd_characters_are_kept_in_one_line(do: str, scene: Scene) -> None:
    """NUL, line separators, controls and ten megabytes come out as they went in, half a surrogate pair as U+FFFD; each
    row is one line, with no control character in it."""
    scene.run(always(do))
    for number in VICTIMS:
        assert scene.rows()[number]["output"] == ODD[do]
        assert scene.asked(number) == 1
    assert len(scene.rows()) == RECORDS - RECORDS // 10
    written = (scene.home / "run" / "out.jsonl").read_bytes()
    assert not any(byte < 32 and byte != 10 for byte in written)


@pytest.mark.fault(43)
@pytest.mark.parametrize("do", ["1gib-chunked", "gzip-bomb", "10000-headers"])
def test_an_answer_that_is_too_large_costs_two_attempts(do: str, scene: Scene) -> None:
    """A record whose answer is always too large is asked twice and then a dead letter; the others are unharmed."""
    scene.run(always(do))
    for number in VICTIMS:
        assert scene.asked(number) == 2
        assert scene.dead()[number]["error"]["type"] == "ambiguous"
    scene.judged(repayable=len(VICTIMS), dead=VICTIMS)


@pytest.mark.fault(45)
def test_answers_that_overtake_each_other_find_their_records(scene: Scene) -> None:
    """Answers that come in any order over many connections, all with one id, are each its own record's."""
    scene.run([{"do": "same-id", "after": [0.0, 1.0], "seed": 4}], concurrency=16)
    order = [request["number"] for request in sorted(scene.requests, key=lambda one: one["at"] + one["took"])]
    assert order != sorted(order)
    scene.judged()


@pytest.mark.fault(29)
@pytest.mark.parametrize("do", ["reset-if-reused", "close-if-reused"])
def test_a_stale_connection_costs_nothing(do: str, scene: Scene, figure: Any) -> None:
    """A server that lets go of each connection at its second request: every such request is sent once more at once, on
    a connection of its own, which is counted and leaves the record's other attempts untouched."""
    report = scene.run([{"do": do}], ambiguous_retries=0)
    scene.judged(repayable=0)
    answered = RECORDS - RECORDS // 10
    assert (report.ending, scene.dead()) == ("finished", {})
    assert report.model_calls == scene.figures["requests"] > answered
    assert scene.figures["requests"] <= 2 * answered
    figure.add(scene.figures["requests"] - answered, "requests sent once more")
