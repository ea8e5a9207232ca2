import logging
import os
import ssl
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import certifi
from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError

from audit.proof.commands import BROKEN
from audit.stream.cursor import StreamError, carried, forget
from audit.stream.following import OutputError, Stream
from audit.stream.outputs import FileOutput, Output, StandardOutput
from audit.stream.reading import HistoryError
from audit.stream.syslog import LocalSyslog, TcpSyslog
from tmsdash import site_keys
from tmsdash.commands import Command as BaseCommand
from tmsdash.env import is_loopback
from tmsdash.env_addresses import MAX_PORT
from tmsdash.processes import asked_to_end
from tmsdash.text import one_line

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Send every entry of the audit to where logs are kept, as JSON lines: what is there, and then whatever comes, "
        "until SIGTERM. It goes on where it ended, so that each entry is sent at least once. Exit code 0: it was told "
        "to end, or with --once all is sent; 1: it cannot begin or go on, or its reader is gone; 3: the audit does not "
        "go on from what was sent."
    )
    needed_keys = site_keys.KEPT  # archives are read with the audit's keys, and each is compared by then

    def add_arguments(self, parser: CommandParser) -> None:
        output = parser.add_mutually_exclusive_group()
        output.add_argument(
            "--output", default="-", metavar="FILE", help="append to this file (default: -, print them)"
        )
        output.add_argument(
            "--syslog",
            metavar="HOST:PORT",
            help="send them by syslog, over TCP (RFC 6587, RFC 5424), or to a socket of this host such as /dev/log",
        )
        parser.add_argument("--tls", action="store_true", help="with --syslog HOST:PORT: by TLS (RFC 5425)")
        parser.add_argument("--ca-bundle", metavar="FILE", help="with --tls: its authorities (default: certifi's list)")
        parser.add_argument("--name", default="default", help="of the stream: each has a cursor of its own")
        parser.add_argument(
            "--from-now", action="store_true", help="a new stream begins behind the last entry, not with the first"
        )
        parser.add_argument("--once", action="store_true", help="end when everything that is there is sent")
        parser.add_argument("--archives", metavar="FOLDER", help="where the archives are (default: AUDIT_SEAL_DIR)")
        parser.add_argument("--forget", action="store_true", help="send nothing: end the stream, and drop its cursor")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["forget"]:
                position = forget(options["name"])
                self.stdout.write(f"The stream {options['name']} is forgotten. It was at entry {position.sequence}.")
                return
            self._stream(_output_of(options, self.stdout._out), options)
        except BrokenPipeError:  # whoever reads standard output has stopped; nothing more can be said there
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except HistoryError as error:
            raise CommandError(str(error), returncode=BROKEN) from None
        except StreamError as error:
            raise CommandError(str(error)) from None
        except OutputError as error:
            raise CommandError(f"The output takes nothing more. {error}. What it took is noted.") from None
        except AnyDatabaseError as error:
            raise CommandError(f"A database cannot be used. {one_line(str(error))}") from None
        except OSError as error:
            raise CommandError(f"{error.filename or options['output']} cannot be used: {error.strerror}.") from None

    def _stream(self, output: Output, options: dict[str, Any]) -> None:
        archives = Path(options["archives"]) if options["archives"] else None
        with closing(output), asked_to_end() as wait, carried(options["name"], from_now=options["from_now"]) as cursor:
            stream = Stream(cursor, output, archives)
            if options["once"]:
                stream.go_on(lambda: wait(0))
            else:
                stream.follow(wait)
        logger.info(
            "[STREAM] %s ends: %d sent, the last is entry %d", cursor.name, stream.sent, cursor.position.sequence
        )


def _output_of(options: dict[str, Any], stdout: Any) -> Output:
    address = options["syslog"] or ""
    if (options["tls"] and (not address or address.startswith("/"))) or (options["ca_bundle"] and not options["tls"]):
        raise CommandError("--tls is for --syslog HOST:PORT, and --ca-bundle for --tls.")
    if address.startswith("/"):
        return LocalSyslog(address)
    if address:
        host, port = _host_and_port(address)
        if not options["tls"] and not is_loopback(host):
            logger.warning("[STREAM] Plain TCP to %s: whoever is between can read the audit. Use --tls.", host)
        return TcpSyslog(host, port, _tls_of(options["ca_bundle"]) if options["tls"] else None)
    if options["output"] == "-":
        return StandardOutput(stdout)
    file = FileOutput(Path(options["output"]))
    file.check()  # what cannot be opened now has a wrong name, rather than to be waited for
    return file


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not port.isascii() or len(port) > 5 or not 1 <= int(port) <= MAX_PORT:
        raise CommandError(
            f"--syslog: {one_line(address)} is none. Write HOST:PORT, such as logs.example:6514, or /dev/log."
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def _tls_of(ca_bundle: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_bundle or certifi.where())
    except ssl.SSLError:
        raise CommandError(f"--ca-bundle: {ca_bundle} holds no certificates.") from None
    except OSError as error:
        raise CommandError(f"--ca-bundle: {ca_bundle} cannot be read: {error.strerror}.") from None
