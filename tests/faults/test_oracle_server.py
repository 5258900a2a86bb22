"""The misbehaving endpoint itself: what it bills, what it decides, and that each misbehaviour ends."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.misbehaviours import MISBEHAVIOURS
from tests.faults.oracle_server import OracleEndpoint, serving

ENDLESS = {"hang", "hang-in-body", "slow-headers", "slow-body", "endless-headers"}


async def ask(url: str, *texts: str, patience: float = 5.0) -> list[bytes]:
    """Send requests over one connection, one after another; give what came back before the next was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2].removesuffix("/v1")))
    came = []
    try:
        for text in texts:
            body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            try:
                async with asyncio.timeout(patience):
                    came.append(await _response(reader))
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError) as error:
                came.append(type(error).__name__.encode())
    finally:
        writer.close()
    return came


async def _response(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    if b"Content-Length" in lines:
        return head + await reader.readexactly(min(int(lines[b"Content-Length"]), 1 << 20))
    return head + await reader.read(1 << 20)


def bill(ledger: Path) -> list[str]:
    return [json.loads(line)["prompt"] for line in ledger.read_text().splitlines()]


def test_it_answers_and_bills(tmp_path: Path) -> None:
    """Where no rule fits it answers with the prompt's first sentence, keeps the connection, and bills each request."""

    async def main() -> None:
        async with serving(tmp_path / "ledger") as (url, oracle):
            first, second = await ask(url, "m 1. And more.", "m 2. And more.")
        assert json.loads(first.partition(b"\r\n\r\n")[2])["choices"][0]["message"]["content"] == "m 1"
        assert b'"m 2"' in second
        counts = {"answer": 2, "requests": 2, "billed": 2, "running": 0, "peak": 1, "connections": 1}
        assert oracle.figures() == counts
        assert bill(tmp_path / "ledger") == ["m 1. And more.", "m 2. And more."]

    asyncio.run(main())


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_each_misbehaviour_acts_and_is_billed_as_it_says(name: str, tmp_path: Path) -> None:
    """Every misbehaviour does something other than an answer, or something odd beside it, and bills or does not."""

    async def main() -> bytes:
        async with serving(tmp_path / "ledger", [{"do": name}]) as (url, oracle):
            patience = 0.3 if name in ENDLESS else 20.0
            times = 2 if name.endswith("-if-reused") else 1
            came = await ask(url, *["m 1. And more."] * times, patience=patience)
            assert oracle.figures()[name] == times
        return came[-1]

    came = asyncio.run(main())
    assert came
    assert len(bill(tmp_path / "ledger")) == (MISBEHAVIOURS[name].bills or name.endswith("-if-reused"))


RULES = [
    ({"numbers": [2, 4]}, [2, 4]),
    ({"every": [3, 1]}, [1, 4]),
    ({"requests": [2, 3]}, [2, 3]),
    ({"attempts": [2, 9]}, []),
    ({"share": 0.5, "seed": 3}, None),
    ({"seconds": [5, 9]}, []),
    ({"seconds": [0, 60], "numbers": [1]}, [1]),
]


@pytest.mark.parametrize(("conditions", "hit"), RULES)
def test_a_rule_fits_where_all_its_conditions_hold(
    conditions: dict[str, Any], hit: list[int] | None, tmp_path: Path
) -> None:
    """Number, remainder, attempt, count, time and chance decide, each by itself and together."""

    async def main() -> list[int]:
        async with serving(tmp_path / "ledger", [{"do": "500", **conditions}]) as (url, oracle):
            await ask(url, *[f"m {number}. x" for number in range(6)][1:])
        return [request["number"] for request in oracle.requests if request["did"] == "500"]

    found = asyncio.run(main())
    if hit is None:
        assert 0 < len(found) < 5
        assert found == asyncio.run(main())
    else:
        assert found == hit


def test_a_plain_example(tmp_path: Path) -> None:
    """As a process of its own: asked twice, refused and then answered, it tells what came."""
    with OracleEndpoint(tmp_path / "ledger", [{"do": "429-float", "attempts": [1, 1], "wait": 0.5}]) as endpoint:
        refused, answered = asyncio.run(ask(endpoint.url, "m 7. x", "m 7. x"))
        endpoint.wait_until("requests", 2)
        assert endpoint.figures()["billed"] == 1
        told = [(entry["number"], entry["attempt"], entry["did"], entry["asked"]) for entry in endpoint.requests()]
    assert b"Retry-After: 0.500" in refused
    assert b'"m 7"' in answered
    assert told == [(7, 1, "429-float", 0.5), (7, 2, "answer", None)]
