"""Servers that take each other's place under load, time and again, on one socket: is any request refused or lost?"""

import random
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from setactions.devtools.proofs.campaign import Remains
from setactions.devtools.proofs.reconciler import read_report, start_reconcile
from setactions.devtools.proofs.site import HOST, OPEN_AFTER_S, Server, Site
from setactions.devtools.proofs.steady_load import RATE, SteadyLoad
from setactions.devtools.simulator import Simulator

LATENCY_S = 0.3  # of TMS, so that some calls run whenever the server is asked to end
PAUSES_S = (0.5, 2.0)  # that a server is left in peace before the next one takes its place
BACKLOG = 4096  # of the socket, as systemd's
CLUSTER = "main"


def held_socket() -> socket.socket:
    """Return a socket that listens on loopback and can be passed to servers, one after the other."""
    held = socket.create_server((HOST, 0), backlog=BACKLOG)
    held.set_inheritable(True)
    return held


def run_restarts(
    folder: Path, *, restarts: int, seed: int, say: Callable[[str], None], server: str = "", rate: int = RATE
) -> Remains:
    """Let so many servers follow each other under `rate` requests a second; for the rest see `run_campaign`.

    What fails is a surprise.
    """
    with ExitStack() as stack:
        held = stack.enter_context(held_socket())
        tms = stack.enter_context(Simulator(latency_s=LATENCY_S))
        site = stack.enter_context(Site(folder, {CLUSTER: tms.url}, server))
        site.set_up()
        dashboard = Server(site, 1, held)
        dashboard.wait_until_healthy()
        load = SteadyLoad(dashboard.url, tms.url, share=rate / RATE)
        taken_s = []
        with load:
            for number in range(restarts):
                rest_s = random.Random(f"{seed} {number}").uniform(*PAUSES_S)  # noqa: S311 (repeatable, not secret)
                time.sleep(rest_s)  # load goes on meanwhile; there is no event to wait for
                taken_s.append(dashboard.replace())
                say(f"{number + 1:,} of {restarts:,} restarts, {taken_s[-1]:.1f} s until the next server was there")
        load.facts["longest restart, ms"] = round(max(taken_s) * 1000)
        dashboard.stop()
        time.sleep(OPEN_AFTER_S)  # reconcile goes by the age of attempts
        report = read_report(site, start_reconcile(site, with_token=True))
        surprises = [*load.surprises, *site.audit_problems()]
        site.leave_files()
        return Remains(folder, tms.calls(), load.shown, {"restarts": restarts, **load.facts}, surprises, report)
