"""LangChain's generations as plain data in bytes, rebuilt only into classes named here or in LangChain's own table.

LangChain's `dumps` and `loads` let stored data choose a class to build (CVE-2025-68664), so they are not used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from langchain_core.messages import message_to_dict, messages_from_dict
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk

from streamproc.cache import plain_data

_CHAT: dict[str, Callable[..., Generation]] = {kind.__name__: kind for kind in (ChatGeneration, ChatGenerationChunk)}
_TEXT: dict[str, Callable[..., Generation]] = {kind.__name__: kind for kind in (Generation, GenerationChunk)}


class _Message(msgspec.Struct, frozen=True):
    type: str
    data: dict[str, Any]


class _Stored(msgspec.Struct, frozen=True):
    kind: str
    text: str
    info: dict[str, Any] | None
    message: _Message | None


def pack(generations: Sequence[Generation]) -> bytes:
    """Encode generations.

    Raises:
        TypeError: they hold something that is no plain data, or are of a class that cannot be rebuilt.
    """
    return plain_data.encode([_as_plain(generation) for generation in generations])


def unpack(data: bytes) -> list[Generation] | None:
    """Give the generations that `pack` made `data` of; `None` if these bytes are of another writer."""
    try:
        return [_rebuilt(stored) for stored in msgspec.convert(plain_data.decode(data), list[_Stored])]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):  # pydantic's errors are ValueErrors
        return None


def _as_plain(generation: Generation) -> dict[str, Any]:
    kind = type(generation).__name__
    if type(generation) not in (_CHAT.get(kind), _TEXT.get(kind)):
        raise TypeError(f"only LangChain's own generations can be stored, got {type(generation).__qualname__}")
    if isinstance(generation, ChatGeneration):  # its text is its message's
        text, message = "", message_to_dict(generation.message)
    else:
        text, message = generation.text, None
    return {"kind": kind, "text": text, "info": generation.generation_info, "message": message}


def _rebuilt(stored: _Stored) -> Generation:
    if stored.message is None:
        return _TEXT[stored.kind](text=stored.text, generation_info=stored.info)
    (message,) = messages_from_dict([msgspec.to_builtins(stored.message)])
    return _CHAT[stored.kind](message=message, generation_info=stored.info)
