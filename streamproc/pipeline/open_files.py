"""As many connections as this process may open, beside the files that it needs."""

from __future__ import annotations

import os
import resource

import msgspec

from streamproc._log import log
from streamproc.pipeline.config import PipelineConfig

SPARE = 16
"""For files that open later: dead letters, those of a webhook, a name server or SQLite, and looks at the machine."""


def within_open_files(config: PipelineConfig) -> PipelineConfig:
    """Give the configuration with as many calls at once as open files leave room for, and warn if that is less.

    A commit that finds no room for its file would end the run. Call it once everything else is open.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = config.resources.max_concurrent
    if allowed == resource.RLIM_INFINITY:
        return config
    room = max(1, allowed - len(os.listdir("/dev/fd")) - SPARE)  # noqa: PTH208 - a path for each would be made for its count
    if room >= wanted:
        return config
    log.warning("files.scarce", open_files=allowed, calls=room, wanted=wanted, advice="raise it with ulimit -n")
    return msgspec.structs.replace(config, resources=msgspec.structs.replace(config.resources, max_concurrent=room))
