"""The secrets of this process: known by their value, struck out of whatever the command writes."""

from __future__ import annotations

import json
import os
import re
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO, cast
from urllib.parse import quote, quote_plus

from streamproc.secret import SHORTEST_SECRET, looks_secret, secrets_in_url

STRUCK_OUT = "***"


class Secrets:
    """Texts that nobody may see, in every form in which they are likely to appear.

    Attributes:
        environ: the environment; whatever is looked up there under a name that looks like a secret's, and any password
            within an address, is known from then on.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ: Mapping[str, str] = _Noticing(environ, self)
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, *texts: str) -> None:
        """Learn texts; those of fewer than 8 characters are passed over."""
        before = len(self._known)
        for text in texts:
            self._known.update(each for each in (text, *text.splitlines()) if len(each) >= SHORTEST_SECRET)
        if len(self._known) > before:
            forms = sorted({form for text in self._known for form in forms_of(text)}, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, forms)))

    def forget(self) -> None:
        """Know nothing any more."""
        self._known.clear()
        self._pattern = None

    def strike(self, text: str) -> str:
        """Give a text with `***` for each secret."""
        return text if self._pattern is None else self._pattern.sub(STRUCK_OUT, text)


def forms_of(secret: str) -> set[str]:
    """Give the forms of a text: itself, within JSON and Python, in an address, and in base64 wherever it begins."""
    plain = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    quoted = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    quoted |= {re.sub("%..", lambda found: found[0].lower(), text) for text in quoted}
    raw = secret.encode(errors="surrogateescape")
    encoded: set[str] = set()
    for skipped in range(3):  # where in a group of three bytes it begins, as after the colon of `user:password`
        whole = 4 * ((skipped + len(raw)) // 3)
        first = 0 if not skipped else skipped + 1
        encoded |= {encode(b"\0" * skipped + raw).decode()[first:whole] for encode in (b64encode, urlsafe_b64encode)}
    return plain | quoted | {text for text in encoded if len(text) >= SHORTEST_SECRET}


@contextmanager
def struck_out(secrets: Secrets) -> Iterator[None]:
    """Have secrets struck out of standard output and standard error while the block runs, whoever writes there."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, _Striking(out, secrets)), cast(TextIO, _Striking(err, secrets))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


class _Striking:
    """A stream of text that strikes secrets out of what is written to it."""

    def __init__(self, stream: TextIO, secrets: Secrets) -> None:
        self._stream = stream
        self._secrets = secrets

    def write(self, text: str) -> int:
        self._stream.write(self._secrets.strike(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Noticing(Mapping[str, str]):
    """An environment that notices which secrets are taken from it."""

    def __init__(self, environ: Mapping[str, str], secrets: Secrets) -> None:
        self._environ = environ
        self._secrets = secrets

    def __getitem__(self, name: str) -> str:
        value = self._environ[name]
        self._secrets.add(*secrets_in_url(value), *([value, value.strip()] if looks_secret(name) else []))
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)


KNOWN = Secrets()
"""What this process must not show. The command learns and uses it; a program that embeds streamproc need not."""
