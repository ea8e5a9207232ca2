import os
import socket
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

# Seconds beyond the call's deadline that a stopping server gives its running requests to record the outcome.
GRACE_AFTER_DEADLINE_S = 20


class Command(BaseCommand):
    help = "Serve the site with the production server, granian, until it gets SIGTERM or SIGINT."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        _assert_free(options["host"], options["port"])
        self._finish_what_was_left_open()
        sys.stdout.flush()
        arguments = server_arguments(options["host"], options["port"])
        # With an arena for each thread the C library would keep what long answers took.
        os.environ.setdefault("MALLOC_ARENA_MAX", "2")
        os.chdir(settings.BASE_DIR)
        os.execv(sys.executable, arguments)  # noqa: S606 (no shell, and nothing of it comes from outside)

    def _finish_what_was_left_open(self) -> None:
        """Run `reconcile` without a token, before any worker starts; what it cannot do must not keep the site down."""
        os.environ.pop("TMS_TOKEN", None)  # it is for commands; a server has no use for it
        try:
            call_command("reconcile", stdout=self.stdout)
        except SystemExit:
            return  # it said what is left to a token or a person
        except CommandError as error:
            self.stderr.write(f"What was left open stays so for now. {error}")


def _assert_free(host: str, port: int) -> None:
    """Raise CommandError unless the address can be had: granian would share it with whoever listens there."""
    if not 1 <= port <= 65_535:
        raise CommandError(f"Cannot listen on {host}, port {port}. Choose a PORT from 1 to 65535.")
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(address[0]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address[4])
    except OSError as error:
        raise CommandError(f"Cannot listen on {host}, port {port}: {error}. Choose another HOST or PORT.") from None


def server_arguments(host: str, port: int) -> list[str]:
    """Return the command line of the server.

    One process: SQLite has one writer, and threads of one process queue fairly for it. A stopping
    server waits longer than a call may take, so that no call is cut off after TMS applied it.
    """
    return [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "tmsdash.wsgi:application"),
        *("--host", host, "--port", str(port), "--workers", "1"),
        *("--blocking-threads", str(settings.WEB_THREADS)),
        *("--workers-kill-timeout", str(settings.TMS_DEADLINE_S + GRACE_AFTER_DEADLINE_S)),
        *("--blocking-threads-idle-timeout", "600", "--respawn-failed-workers", "--no-ws", "--http", "1"),
    ]
