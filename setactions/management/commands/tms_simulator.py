"""manage.py tms_simulator: a fake TMS to try the product with."""

import argparse
import errno
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter

from setactions.devtools.simulator import Simulator, describe_faults
from tmsdash.processes import heeded


class _HelpFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the table of faults as they are."""


class Command(BaseCommand):
    help = "Serve a simulated TMS on loopback. It accepts every bearer token; those at the end choose a fault."
    requires_system_checks = ()  # it uses nothing of the site, which may not be set up yet

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        epilog = f"Bearer tokens that choose a fault:\n{describe_faults()}"
        return super().create_parser(prog_name, subcommand, epilog=epilog, formatter_class=_HelpFormatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port", type=int, default=9000, help="port to listen on; 0 picks a free one (default: %(default)s)"
        )
        parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (default: %(default)s)")
        parser.add_argument(
            "--latency-ms", type=int, default=0, help="milliseconds that every TMS call takes (default: %(default)s)"
        )
        parser.add_argument(
            "--fleet", type=int, default=0, help="how many customers exist; 0 for every id (default: %(default)s)"
        )

    def handle(self, *, port: int, host: str, latency_ms: int, fleet: int, **_options: Any) -> None:
        if settings.HTTPS_ONLY:
            raise CommandError("The TMS simulator does not run in a production installation (HTTPS_ONLY is true).")
        try:
            simulator = Simulator(port=port, host=host, latency_s=latency_ms / 1000, fleet=fleet)
        except ValueError as error:
            raise CommandError(str(error)) from error
        end_signals = heeded(signal.SIGINT, signal.SIGTERM)
        # Blocked before the first thread starts, so that the signals reach nobody but sigwait.
        previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, end_signals)
        try:
            try:
                simulator.start()
            except OSError as error:
                reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
                raise CommandError(f"The TMS simulator cannot listen on {host}, port {port}: {reason}.") from error
            self.stdout.write(f"TMS simulator on {simulator.url}")
            self.stdout.flush()  # whoever started this in the background waits for the line
            signal.sigwait(end_signals)
        finally:
            simulator.stop()
            signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
