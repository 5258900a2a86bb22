"""`streamproc bench`: the benchmarks, which lie beside the package in its source and not in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import streamproc
from streamproc.errors import ConfigError

SCENARIOS = {
    "pipeline": ["bench"],
    "cache": ["bench.cache_paths"],
    "control": ["bench.control", "--seeds", "both"],
    "control-http": ["bench.control_http"],
    "embeddings": ["bench.embeddings"],
    "supervisor": ["bench.supervisor_cost"],
}
"""Modules that are run, with their arguments, by the scenarios' names."""


def run_scenarios(names: list[str]) -> int:
    """Run the scenarios named, or all, one after another, and give the first exit code that is not 0.

    Raises:
        ConfigError: there is none of that name, or this is no source checkout.
    """
    for name in names:
        if name not in SCENARIOS:
            raise ConfigError(f"{name}: no such scenario; there are {', '.join(SCENARIOS)}")
    home = Path(streamproc.__file__).parents[1]
    if not (home / "bench" / "__main__.py").exists():
        raise ConfigError("bench: the benchmarks come with the source; clone it, and run `make bench` there")
    codes = [
        subprocess.run([sys.executable, "-m", *SCENARIOS[name]], cwd=home, check=False).returncode  # noqa: S603 - our own
        for name in names or SCENARIOS
    ]
    return next((code for code in codes if code), 0)
