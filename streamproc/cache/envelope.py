"""What is stored around a value, so that a reader can tell whether it is the value that was asked for.

1 byte   version
8 bytes  when it expires, in seconds since 1970 (IEEE double, little-endian); infinity for never
4 bytes  what it cost to make, in whatever unit the writer counts (IEEE single)
16 bytes BLAKE2b of key, head and payload: a value under another key's name is not believed, nor is a damaged one
the rest payload
"""

from __future__ import annotations

import hashlib
import math
import struct

VERSION = 2
_HEAD = struct.Struct("<Bdf")
_DIGEST_BYTES = 16
_PAYLOAD = _HEAD.size + _DIGEST_BYTES
_LARGEST_COST = 3.0e38
"""What a single can hold."""


def _digest(key: str, head: bytes, payload: bytes) -> bytes:
    name = key.encode(errors="surrogatepass")
    whole = b"".join((head, len(name).to_bytes(4, "little"), name, payload))
    return hashlib.blake2b(whole, digest_size=_DIGEST_BYTES).digest()


def seal(key: str, payload: bytes, expires_at: float | None, cost: float = 1.0) -> bytes:
    """Wrap a payload for storage under `key`.

    Args:
        key: the name it will be asked for by.
        payload: the value, encoded.
        expires_at: seconds since 1970; `None` for never.
        cost: what it cost to make, at least 0.
    """
    head = _HEAD.pack(VERSION, math.inf if expires_at is None else expires_at, min(cost, _LARGEST_COST))
    return head + _digest(key, head, payload) + payload


def deadline_of(sealed: bytes) -> float | None:
    """Give when bytes that `seal` made expire, in seconds since 1970; `None` for never."""
    deadline: float = _HEAD.unpack_from(sealed)[1]
    return None if deadline == math.inf else deadline


def unseal(key: str, stored: bytes, now: float) -> bytes | None:
    """Give the payload, or `None` if these bytes are not a whole, living value of `key`. Never raises.

    Args:
        key: what was asked for.
        stored: whatever a back end gave.
        now: seconds since 1970.
    """
    if len(stored) < _PAYLOAD:
        return None
    version, expires_at, _ = _HEAD.unpack_from(stored)
    if version != VERSION or not now < expires_at:
        return None
    head, digest, payload = stored[: _HEAD.size], stored[_HEAD.size : _PAYLOAD], stored[_PAYLOAD:]
    return payload if digest == _digest(key, head, payload) else None


def cost_of(stored: bytes) -> float:
    """Give what a value cost to make, by its envelope; 1 where the bytes have none. Never raises."""
    if len(stored) < _PAYLOAD or stored[0] != VERSION:
        return 1.0
    cost: float = _HEAD.unpack_from(stored)[2]
    return cost if math.isfinite(cost) and cost >= 0 else 1.0
