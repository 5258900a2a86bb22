"""How long prompts and answers are, in tokens: mixtures fitted to recorded traffic.

The traces: Azure's of code and conversation (2023), Mooncake's conversation, and the arXiv summaries of Vidur. The
fits' medians and 90th percentiles are those of the traces; the prompts of `azure-code` ended at 7,436 tokens there
and have a tail here. In the live traces the length of an answer says nothing about that of its prompt, so the two are
drawn independently.
"""

from __future__ import annotations

import random

from msgspec import Struct

LONGEST = 32_768
"""Tokens. The fits' tails go on for ever; requests do not."""


class LogNormal(Struct, frozen=True, tag="lognormal"):
    """The natural logarithm has mean `mu` and standard deviation `sigma`."""

    mu: float
    sigma: float

    def draw(self, source: random.Random) -> float:
        """Draw a length."""
        return source.lognormvariate(self.mu, self.sigma)


class Gamma(Struct, frozen=True, tag="gamma"):
    """Gamma with mean `shape` * `scale`."""

    shape: float
    scale: float

    def draw(self, source: random.Random) -> float:
        """Draw a length."""
        return source.gammavariate(self.shape, self.scale)


class Weibull(Struct, frozen=True, tag="weibull"):
    """Weibull: narrow around `scale` for a large `shape`."""

    shape: float
    scale: float

    def draw(self, source: random.Random) -> float:
        """Draw a length."""
        return source.weibullvariate(self.scale, self.shape)


class Mixture(Struct, frozen=True, tag="mixture"):
    """The first of two with probability `share`, else the second."""

    share: float
    first: LogNormal
    second: LogNormal

    def draw(self, source: random.Random) -> float:
        """Draw a length."""
        return (self.first if source.random() < self.share else self.second).draw(source)


Lengths = LogNormal | Gamma | Weibull | Mixture


class Workload(Struct, frozen=True):
    """What a kind of traffic asks for.

    Attributes:
        name: of the trace.
        prompt: tokens of a prompt.
        output: tokens of an answer.
        longest: tokens; longer ones are cut to this.
    """

    name: str
    prompt: Lengths
    output: Lengths
    longest: int = LONGEST

    def draw(self, source: random.Random) -> tuple[int, int]:
        """Draw the tokens of a prompt and of its answer, each from 1 to `longest`."""
        prompt, output = round(self.prompt.draw(source)), round(self.output.draw(source))
        return min(max(1, prompt), self.longest), min(max(1, output), self.longest)


WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(
            "azure-code",
            prompt=Gamma(0.93, 2201),
            output=Mixture(0.66, LogNormal(2.365, 0.383), LogNormal(3.605, 0.899)),
        ),
        Workload(
            "azure-conversation",
            prompt=LogNormal(6.633, 0.985),
            output=Mixture(0.72, LogNormal(4.639, 0.708), LogNormal(6.007, 0.05)),
        ),
        Workload(
            "mooncake-conversation",
            prompt=Mixture(0.11, LogNormal(6.824, 0.05), LogNormal(8.97, 1.055)),
            output=Mixture(0.34, LogNormal(4.024, 1.617), LogNormal(6.008, 0.346)),
        ),
        Workload(
            "arxiv-summaries",
            prompt=Weibull(2.88, 2860),
            output=Mixture(0.87, LogNormal(5.055, 0.51), LogNormal(6.079, 1.50)),
        ),
    )
}
"""The fitted traces by name."""
