"""The webhook that a configuration asks for; loaded only where it asks for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from streamproc.errors import ConfigError
from streamproc.monitoring.config import AlertsConfig
from streamproc.secret import SecretStr

if TYPE_CHECKING:
    from streamproc.monitoring.webhook import Webhook


def webhook_from(config: AlertsConfig, getenv: Callable[[str], str | None]) -> Webhook | None:
    """Make the webhook that a configuration asks for, or give `None` if it asks for none.

    Args:
        config: names the variable that holds the address.
        getenv: looks a variable up. Not the environment itself, which a traceback with variables would show whole.

    Raises:
        ConfigError: the variable is not set, or holds no address that is allowed.
    """
    name = config.webhook_url_env
    if name is None:
        return None
    from streamproc.monitoring.webhook import Webhook  # with a client of HTTP

    url = SecretStr((getenv(name) or "").strip())
    if not url:
        raise ConfigError(f"alerts.webhook_url_env: the environment variable {name} is not set")
    return Webhook(url, allow_private=config.allow_private, name=f"alerts.webhook_url_env: the address in {name}")
