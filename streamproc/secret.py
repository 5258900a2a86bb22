"""A text that must not be shown."""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

SHORTEST_SECRET = 8
"""Characters of a secret that is struck out by its value. What is shorter ("EMPTY", "x") is part of many words, and
striking it out would spoil logs, and the codes in error bodies too."""


class SecretStr:
    """Holds a secret so that printing, formatting, copying or dumping it shows `***` or fails."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the text itself, for the one place that must send it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "SecretStr('***')"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied to disk")


_NAMES = frozenset(
    {"key", "apikey", "token", "secret", "password", "passwd", "pwd", "passphrase", "pass", "dsn", "credentials"}
)


def looks_secret(variable: str) -> bool:
    """Tell whether a variable of the environment holds a secret, as far as one of the words in its name says so."""
    return not _NAMES.isdisjoint(variable.lower().split("_"))


def secrets_in_url(url: str) -> list[str]:
    """Give what must not be shown of an address: the password, or the user where there is none, and one in its query.

    A user beside a password is a name like others, and no secret.
    """
    try:
        parts = urlsplit(url)
        user, password = parts.username, parts.password
    except ValueError:
        return []
    asked = [value for name, values in parse_qs(parts.query).items() if looks_secret(name) for value in values]
    found = [password or user or "", *asked]
    return [text for each in found for text in dict.fromkeys((each, unquote(each))) if text]
