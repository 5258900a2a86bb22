"""Whom to tell of alerts beside the log."""

from __future__ import annotations

import re

from streamproc.config import Config
from streamproc.errors import ConfigError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class AlertsConfig(Config, frozen=True, kw_only=True):
    """Where alerts go. They are always logged.

    Attributes:
        webhook_url_env: the name of the environment variable that holds the address to post alerts to, which is a
            secret with most services. The address itself never stands in a file.
        allow_private: whether it may lead to this machine or a private network, there also without TLS. Addresses of
            cloud metadata are refused even so.
    """

    webhook_url_env: str | None = None
    allow_private: bool = False

    def check(self) -> None:
        if self.webhook_url_env is not None and not _VARIABLE.fullmatch(self.webhook_url_env):
            raise ConfigError("webhook_url_env: must be the NAME of an environment variable such as ALERTS_URL")
