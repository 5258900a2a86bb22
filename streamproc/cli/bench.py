"""`streamproc bench`: the benchmarks, which lie beside the package in its source and not in it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import streamproc
from streamproc.errors import ConfigError


def run_bench(arguments: Sequence[str]) -> int:
    """Hand the command line to the benchmarks, and give their exit code.

    Raises:
        ConfigError: this is no source checkout.
    """
    home = Path(streamproc.__file__).parents[1]
    if not (home / "bench" / "__main__.py").exists():
        raise ConfigError("bench: the benchmarks come with the source; clone it, and run `make bench` there")
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))
    code: int = importlib.import_module("bench.__main__").main(arguments)
    return code
