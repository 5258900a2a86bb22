"""The policies by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args

from streamproc.cache.eviction.gdsf import GDSFPolicy
from streamproc.cache.eviction.lru import LRUPolicy
from streamproc.cache.eviction.policy import EvictionPolicy
from streamproc.cache.eviction.s3fifo import S3FIFOPolicy

K = TypeVar("K")

PolicyName = Literal["lru", "gdsf", "s3fifo"]
"""How a job names a policy."""

_MAKERS: dict[str, Callable[[int], EvictionPolicy[Any]]] = {
    "lru": lambda max_bytes: LRUPolicy(),
    "gdsf": lambda max_bytes: GDSFPolicy(),
    "s3fifo": S3FIFOPolicy,
}


def make_policy(name: PolicyName, max_bytes: int) -> EvictionPolicy[Any]:
    """Make the policy of that name for one cache.

    Args:
        name: `lru` looks at use alone, `gdsf` also at cost and size, `s3fifo` is made for many keys asked for once.
        max_bytes: the bound of that cache.

    Raises:
        ValueError: there is no such policy.
    """
    if name not in _MAKERS:
        raise ValueError(f"policy must be one of {', '.join(get_args(PolicyName))}, got {name!r}")
    return _MAKERS[name](max_bytes)
