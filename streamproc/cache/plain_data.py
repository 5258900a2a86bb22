"""Plain data as bytes: what is read back equals what was stored, type for type, and no code is ever run for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})


def encode(value: object) -> bytes:
    """Encode `None`, bool, int, float, str, bytes, and lists and dicts of these.

    A tuple would come back as a list, and an object as a dict, so they are refused.

    Raises:
        TypeError: there is something else in the value, an int beyond 64 bits, a str that UTF-8 cannot hold, or more
            nesting than the interpreter's stack.
    """
    try:
        _check(value)
        return msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError, RecursionError) as error:
        raise TypeError(f"only plain data can be stored: {error}") from error


def _refuse_extension(code: int, _: memoryview) -> None:
    raise msgspec.ValidationError(f"extension {code} is none of ours")


def decoder(kind: Any = Any) -> Callable[[bytes], Any]:
    """Make what reads values of a type back. Bytes that hold none, whoever made them, raise `msgspec.DecodeError`."""
    read = msgspec.msgpack.Decoder(kind, ext_hook=_refuse_extension).decode

    def decode(data: bytes) -> Any:
        try:
            return read(data)
        except (UnicodeDecodeError, RecursionError) as error:
            raise msgspec.DecodeError(f"not of this writer: {error}") from error

    return decode


_decode = decoder()


def decode(data: bytes) -> Any:
    """Give the value that `encode` made `data` of.

    Raises:
        msgspec.DecodeError: these bytes are not of `encode`.
    """
    return _decode(data)


def _check(value: object) -> None:
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind is list:
        for item in value:  # type: ignore[attr-defined]  # it is a list
            _check(item)
    elif kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]  # it is a dict
            if type(key) not in _SCALARS:
                raise TypeError(f"only plain data can be stored, got a key of type {type(key).__qualname__}: {key!r}")
            _check(item)
    else:
        raise TypeError(f"only plain data can be stored, got {kind.__qualname__}: {value!r:.100}")
