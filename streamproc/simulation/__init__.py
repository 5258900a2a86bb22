"""An OpenAI-compatible endpoint that behaves like a real engine under load: in process, or over HTTP.

`Service` is arithmetic without a clock, `Engine` runs it on the event loop's clock, and
`SimulatedCompleter` and `SimulatedServer` are two doors to the same engine. Nothing here knows a pipeline.
"""

from streamproc.simulation.completer import SimulatedCompleter
from streamproc.simulation.profiles import PROFILES, Profile, profile_named
from streamproc.simulation.server import SimulatedServer

__all__ = ["PROFILES", "Profile", "SimulatedCompleter", "SimulatedServer", "profile_named"]
