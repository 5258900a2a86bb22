"""An endpoint that misbehaves by a plan and keeps a bill. Shares no code with streamproc: HTTP/1.1 read by hand.

`python -m tests.faults.oracle_server LEDGER PLAN.json` prints its address, and ends with its input; the client is
`OracleEndpoint`. Within a test's own event loop it is `serving(ledger, rules)`.

A plan is `{"rules": [...], "tls": {"certificate": PATH, "key": PATH}}`, the second only where it speaks TLS. The first
rule that fits a request decides; where none fits it answers properly. A rule has `do`, a name in `MISBEHAVIOURS`, and
any of these conditions, all of which must hold:

    numbers   [3, 7]      the number in the prompt is one of these
    every     [10, 3]     that number, divided by 10, leaves 3
    attempts  [1, 2]      it is so often that this prompt was asked, counted from 1; from the first to the last
    requests  [20, 40]    so many requests had come, this one included; from the first to the last
    seconds   [1.5, 3]    so long ago the first request came
    share     0.95        drawn by chance, with `seed`

and these ways: `after` (seconds before it acts, or [least, most], drawn), `wait` (what a refusal asks for; `"rest"`:
the rest of `seconds`), `location` (of a redirect).
"""

import asyncio
import json
import os
import random
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

from tests.faults.misbehaviours import MISBEHAVIOURS, Exchange

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 30.0
LONGEST_HEAD = 1 << 16
PATH = "/v1/chat/completions"

Rule = Mapping[str, Any]


class Oracle:
    """Decides, answers and keeps the books, whatever carries the bytes.

    Attributes:
        requests: what came, in order: `at` (seconds since the first), `number`, `attempt`, `did`, `connection` (its
            number), `asked` (seconds that were asked for, or `None`) and `took`, once it is over.

    Args:
        ledger: the file that gets a line for each request that is billed, before it is answered.
        rules: the plan.
    """

    def __init__(self, ledger: Path, rules: Sequence[Rule]) -> None:
        for rule in rules:
            assert rule["do"] in MISBEHAVIOURS, rule
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._rules = rules
        self._draws = [random.Random(rule.get("seed", 0)) for rule in rules]
        self._attempts: Counter[str] = Counter()
        self._began: float | None = None
        self._connections = 0
        self._running = self._peak = self._billed = 0
        self.requests: list[dict[str, Any]] = []

    def close(self) -> None:
        """Close the ledger."""
        os.close(self._ledger)

    def figures(self) -> dict[str, int]:
        """Count: `requests`, `billed`, `running`, `peak` (of those running), `connections`, and each thing done."""
        done = Counter(request["did"] for request in self.requests)
        own = {"requests": len(self.requests), "billed": self._billed, "running": self._running, "peak": self._peak}
        return {**done, **own, "connections": self._connections}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        self._connections += 1
        number, reused, keep = self._connections, False, True
        try:
            while keep:
                head = await reader.readuntil(b"\r\n\r\n")
                line, _, fields = head.decode("latin-1").partition("\r\n")
                length = re.search(r"(?im)^content-length: *(\d+)", fields)
                body = await reader.readexactly(int(length[1])) if length else b""
                path = line.split(" ")[1]
                if path != PATH:
                    await self._other(path, writer)
                    return
                keep = await self._answer(body, reader, writer, number, reused=reused)
                reused = True
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller left
        finally:
            writer.close()

    async def _answer(
        self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int, *, reused: bool
    ) -> bool:
        prompt = json.loads(body)["messages"][-1]["content"]
        found = re.search(r"\d+", prompt.partition(" ")[2])
        self._attempts[prompt] += 1
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        exchange = Exchange(prompt, int(found[0]) if found else -1, reused, reader, writer)
        entry = {"at": now - self._began, "number": exchange.number, "attempt": self._attempts[prompt]}
        entry |= {"connection": connection, "asked": None, "took": None}
        self.requests.append(entry)
        rule, draw = self._rule(entry)
        entry["did"] = rule["do"]
        if "wait" in rule:
            exchange.wait = rule["seconds"][1] - entry["at"] if rule["wait"] == "rest" else rule["wait"]
        exchange.location = rule.get("location", exchange.location)
        behaviour = MISBEHAVIOURS[rule["do"]]
        self._running += 1
        self._peak = max(self._peak, self._running)
        try:
            if behaviour.bills or (rule["do"].endswith("-if-reused") and not reused):
                self._bill(prompt)
            if after := rule.get("after"):
                await asyncio.sleep(draw.uniform(*after) if isinstance(after, list) else after)
            await behaviour.act(exchange)
        finally:
            self._running -= 1
            entry["took"] = asyncio.get_running_loop().time() - now
            entry["asked"] = exchange.asked
        return exchange.keep

    def _rule(self, entry: Mapping[str, Any]) -> tuple[Rule, random.Random]:
        for rule, draw in zip(self._rules, self._draws, strict=True):
            if self._fits(rule, entry, draw):
                return rule, draw
        return {"do": "answer"}, random.Random()

    def _fits(self, rule: Rule, entry: Mapping[str, Any], draw: random.Random) -> bool:
        if "numbers" in rule and entry["number"] not in rule["numbers"]:
            return False
        if "every" in rule and entry["number"] % rule["every"][0] != rule["every"][1]:
            return False
        spans = (("attempts", entry["attempt"]), ("requests", len(self.requests)), ("seconds", entry["at"]))
        if any(name in rule and not rule[name][0] <= value <= rule[name][1] for name, value in spans):
            return False
        return "share" not in rule or draw.random() < rule["share"]

    def _bill(self, prompt: str) -> None:
        self._billed += 1
        os.write(self._ledger, json.dumps({"prompt": prompt}).encode() + b"\n")

    async def _other(self, path: str, writer: asyncio.StreamWriter) -> None:
        """Tell the figures, or what came; or, at any other address, that there is nothing."""
        told: Any = {"/figures": self.figures(), "/requests": self.requests}.get(path)
        body = json.dumps(told).encode()
        status = "404 Not Found" if told is None else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()


@asynccontextmanager
async def serving(
    ledger: Path, rules: Sequence[Rule] = (), tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, Oracle]]:
    """Serve on a port of its own while the block runs; gives the address and the books."""
    oracle = Oracle(ledger, rules)
    handlers: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        with suppress(asyncio.CancelledError):
            await oracle.connected(reader, writer)
        handlers.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=LONGEST_HEAD, ssl=tls, backlog=1024)
    scheme, host = ("http", "127.0.0.1") if tls is None else ("https", "localhost")
    try:
        yield f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}/v1", oracle
    finally:
        server.close()
        for handler in list(handlers):
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        oracle.close()


class OracleEndpoint:
    """The endpoint as a process of its own. Use it in a `with` block.

    Attributes:
        url: its address.
        ledger: the file of its bill; several may share it.
        pid: its process.

    Args:
        ledger: see above.
        rules: the plan.
        tls: certificate and key, files in PEM, where it speaks TLS.
    """

    def __init__(self, ledger: Path, rules: Sequence[Rule] = (), tls: tuple[Path, Path] | None = None) -> None:
        self.ledger = ledger
        self._plan: dict[str, Any] = {"rules": list(rules)}
        if tls is not None:
            self._plan["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}

    def __enter__(self) -> Self:
        plan = self.ledger.with_name(f"{self.ledger.name}.plan-{time.monotonic_ns()}.json")
        plan.write_text(json.dumps(self._plan))
        command = [sys.executable, "-B", "-m", "tests.faults.oracle_server", str(self.ledger), str(plan)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        self.pid = self._process.pid
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the endpoint did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self._process.stdin.close()
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.stdout.close()

    def freeze(self) -> None:
        """Stop its process: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def figures(self) -> dict[str, int]:
        """Give its figures, see `Oracle`; what was never done counts 0."""
        return Counter(self._get("/figures"))

    def requests(self) -> list[dict[str, Any]]:
        """Give what came, in order, see `Oracle`."""
        return self._get("/requests")

    def wait_until(self, figure: str, least: int, patience: float = PATIENCE_SECONDS) -> None:
        """Wait until one of its figures is that high."""
        deadline = time.monotonic() + patience
        while (figures := self.figures())[figure] < least:
            assert time.monotonic() < deadline, f"{figure} did not reach {least}: {figures}"
            time.sleep(0.01)

    def _get(self, path: str) -> Any:
        assert "tls" not in self._plan, "where it speaks TLS only the ledger tells"
        with urllib.request.urlopen(self.url.removesuffix("/v1") + path, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)


async def _serve(ledger: Path, plan: Mapping[str, Any]) -> None:
    tls = None
    if "tls" in plan:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(plan["tls"]["certificate"], plan["tls"]["key"])
    async with serving(ledger, plan["rules"], tls) as (url, _):
        print(url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())))
