"""Other people's text on the operator's terminal: it is shown, and nothing that it says to the terminal is done."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.observe.printable import lines, one_line
from tests.faults.recording import Figure
from tests.security.canaries import Parrot, http
from tests.security.conftest import Sweep, job

pytestmark = pytest.mark.promise("P17")
TRICKS = "\x1b]0;owned\x07 \x1b[2J\x1b[31m \r forged \x9b31m \x85 \x7f \u2028 \u202egnp.exe \x00 \x08\x08"
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_text_of_others_reaches_the_terminal(
    sweep: Sweep, echo: Parrot, folder: Path, form: str, figure: Figure
) -> None:
    """Ids, fields, provider's messages and names of files with control characters: every stream stays clean."""
    name = f"in{TRICKS}.jsonl".replace("/", "").replace("\0", "")
    rows = [{"id": f"{TRICKS}{n}", "text": f"{n}{TRICKS}"} for n in range(2)] + [{"id": "\x1b[2J\x9b", TRICKS: 1}]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows) + TRICKS + "\n")
    echo.answer = http("400 No", json.dumps({"error": {"message": TRICKS, "code": TRICKS, "type": TRICKS}}))
    tree = job(echo.url, source={"path": name}, sink={"path": f"out{name}"}, llm={"model": TRICKS})
    options = ("--log-level", "debug", "--log-bodies", "--log-format", form, "--progress", "plain")
    ends = [sweep("run", tree, *options), sweep("verify", tree), sweep("check", tree), sweep("cache stats", tree)]
    (folder / name).write_text((folder / name).read_text().replace('"text": "0', '"text": "9', 1))
    ends += [sweep("verify", tree), sweep("run", tree, *options)]
    ends += [sweep("run", {**tree, TRICKS: 1}), sweep("run", f"a: 1\nb{TRICKS}: [\n".replace("\0", ""))]
    ends += [sweep("run", job(echo.url, source={"path": f"none{TRICKS}"})), sweep("run", tree, "--set", f"{TRICKS}=1")]
    assert [each.code for each in ends][:4] == [1, 0, 0, 0]
    for each in ends:
        assert OBEYED.findall(each.out + each.err) == []
        assert "\n forged" not in each.out + each.err
    if form == "json":
        assert all(json.loads(line) for line in ends[0].err.splitlines())
    figure.add(len(ends), "commands on hostile texts, terminal untouched")


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    """No control character is left; a text without any is left as it is; only `lines` keeps line feeds."""
    shown = one_line(text)
    assert not OBEYED.search(shown)
    assert "\n" not in shown
    assert text.isprintable() <= (shown == text)
    assert lines(text).count("\n") == text.count("\n")
    assert one_line(shown) == shown
    shown.encode()
