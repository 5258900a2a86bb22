"""What is stored around a value, so that a reader can tell whether it is the value that was asked for.

1 byte   version
16 bytes BLAKE2b of the key: a value under another key's name is not believed
8 bytes  when it expires, in seconds since 1970 (IEEE double, little-endian); infinity for never
16 bytes BLAKE2b of the payload: neither is a damaged one
the rest payload
"""

from __future__ import annotations

import hashlib
import math
import struct

VERSION = 1
_HEAD = struct.Struct("<B16sd16s")


def _mark(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def seal(key: str, payload: bytes, expires_at: float | None) -> bytes:
    """Wrap a payload for storage under `key`; `expires_at` in seconds since 1970, `None` for never."""
    deadline = math.inf if expires_at is None else expires_at
    return _HEAD.pack(VERSION, _mark(key.encode()), deadline, _mark(payload)) + payload


def unseal(key: str, stored: bytes, now: float) -> bytes | None:
    """Give the payload, or `None` if these bytes are not a whole, living value of `key`. Never raises.

    Args:
        key: what was asked for.
        stored: whatever a back end gave.
        now: seconds since 1970.
    """
    if len(stored) < _HEAD.size:
        return None
    version, key_mark, deadline, payload_mark = _HEAD.unpack_from(stored)
    payload = stored[_HEAD.size :]
    if version != VERSION or key_mark != _mark(key.encode()) or payload_mark != _mark(payload) or not now < deadline:
        return None
    return payload
