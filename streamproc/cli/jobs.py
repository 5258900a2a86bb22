"""How every subcommand reads a job: with its secrets learned, so that none of them is ever shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from streamproc.observe.secrets import KNOWN, Secrets
from streamproc.pipeline.config import PipelineConfig
from streamproc.secret import secrets_in_url


def load_job(path: Path, settings: list[str]) -> PipelineConfig:
    """Read a job file.

    Raises:
        ConfigError: something is wrong with it.
    """
    config = PipelineConfig.load(path, settings=settings, environ=KNOWN.environ)
    learn(KNOWN, config, os.environ)
    return config


def learn(secrets: Secrets, config: PipelineConfig, environ: Mapping[str, str]) -> None:
    """Learn every secret of a job: the API key, the cache's password, the webhook's address.

    What the job file took from the environment under a secret's name was learned when it was read.
    """
    secrets.add(environ.get(config.llm.api_key_env, "").strip())
    secrets.add(*secrets_in_url(config.cache.url or ""))
    webhook = environ.get(config.alerts.webhook_url_env or "", "").strip()
    secrets.add(webhook, *secrets_in_url(webhook))
