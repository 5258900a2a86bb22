"""Other people's text on a terminal: what would move the cursor, change a title or forge a line is shown, not done."""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1, line and paragraph separators, what turns the direction of writing, and halves of surrogate pairs."""


def one_line(text: str) -> str:
    """Give a text with every control character as its escape, line feeds included."""
    return _CONTROLS.sub(_escape, text)


def lines(text: str) -> str:
    """Give a text of our own making with every control character but line feeds as its escape."""
    return "\n".join(map(one_line, text.split("\n")))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode()
