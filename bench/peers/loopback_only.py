"""Nothing is told to anybody: a process that may connect to this machine only, and remembers what else was tried."""

from __future__ import annotations

import sys
from typing import Any

_HERE = ("127.0.0.1", "::1", "localhost")
_ASKS_FOR_AN_ADDRESS = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_TELLS_AN_ADDRESS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})

SILENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
"""What the peers' documentation offers against fetching and reporting; in the environment of each."""


def forbid_others() -> list[str]:
    """Refuse this process any address but its own machine's, from now on, and for good.

    Returns:
        Where to it was tried all the same, as it comes.
    """
    tried: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _TELLS_AN_ADDRESS:
            address = arguments[1]
            host = address[0] if isinstance(address, tuple) else None
        elif event in _ASKS_FOR_AN_ADDRESS:
            host = arguments[0]
        else:
            return
        if isinstance(host, bytes):
            host = host.decode()
        if host is not None and host not in _HERE:
            tried.append(str(host))
            raise PermissionError(f"only this machine may be asked here, and not {host}")

    sys.addaudithook(watch)
    return tried
