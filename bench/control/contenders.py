"""Who takes part."""

from __future__ import annotations

from collections.abc import Callable

from bench.control.aimd import ClassicAimd, EpisodeAimd
from bench.control.by_seconds import Gradient2, Vegas
from bench.control.controller import Controller
from bench.control.fixed import Fixed
from bench.control.ours import Streamproc

CONTROLLERS: dict[str, Callable[[int], Controller]] = {
    "fixed20": lambda maximum: Fixed(min(20, maximum)),
    "fixed64": lambda maximum: Fixed(min(64, maximum)),
    "fixed512": lambda maximum: Fixed(min(512, maximum)),
    "aimd": ClassicAimd,
    "aimd-episode": EpisodeAimd,
    "gradient2": Gradient2,
    "vegas": Vegas,
    "streamproc": Streamproc,
}
"""Makes a new controller, given the most permits it may have."""
