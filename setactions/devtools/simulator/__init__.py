"""The TMS simulator: a fake of TMS's HTTP API on loopback, for the demo and the tests.

    with Simulator(fleet=100) as tms:
        requests.post(f"{tms.url}/tms/v1/set/action", ...)
        [call] = tms.calls()

It speaks HTTP over real sockets, remembers every call, and misbehaves on demand: the bearer token
``fault:<name>[:<argument>]`` picks one of `FAULTS`; with any other token it answers as TMS does.
Standard library only; it knows nothing of Django.
"""

from .calls import Call
from .faults import FAULTS, describe_faults
from .fleet import fleet_ids
from .server import Simulator

__all__ = ["FAULTS", "Call", "Simulator", "describe_faults", "fleet_ids"]
