"""Strike out what looks like a key in text that others wrote, before it reaches a log or a dead letter.

Providers repeat the key they refuse ("Incorrect API key provided: sk-..."). This is a guess by shape and may
strike out too much; the keys that are known are better found by their value, where they are known.
"""

from __future__ import annotations

import re

STRUCK_OUT = "[redacted]"

_PREFIXED = re.compile(r"(?<![A-Za-z])(?:[spr]k[-_]|gsk_|xai-|hf_|pplx-|nvapi-|AIza|AKIA|eyJ)[^\s\"'`,;)\]}<>]{3,}")
_AUTHORIZATION = re.compile(r"\b(bearer\s+|basic\s+(?=[\w+/=]{12}))[^\s\"'`,;)\]}<>]+", re.IGNORECASE)
_AFTER_KEY = re.compile(r"(key.{0,24}?[^\w+/*])[\w+/=*.-]{16,}", re.IGNORECASE)
"""A long run of base64 letters soon after the word: some vendors' keys (Azure's) have no known prefix."""


def redact(text: str) -> str:
    """Replace everything that looks like a key by `[redacted]`. Linear in the text's length; never raises."""
    text = _PREFIXED.sub(STRUCK_OUT, text)
    text = _AUTHORIZATION.sub(rf"\1{STRUCK_OUT}", text)
    return _AFTER_KEY.sub(rf"\1{STRUCK_OUT}", text)
