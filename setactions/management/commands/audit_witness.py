import json
import ssl
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.views.decorators.debug import sensitive_variables

from audit.transparency.notes import Checkpoint, NoteError, PublicKey
from audit.transparency.witness import RewrittenError, UnaskedError, UnprovenError, accept, look
from audit.transparency.witness_folder import Folder, FolderError, given_key, opened
from setactions.operations.notifications import outbox
from setactions.operations.witness import metrics
from setactions.operations.witness.outcome import (
    REWRITTEN,
    SAME,
    SILENT_AFTER,
    STALE,
    TAKEN,
    UNASKED,
    UNPROVEN,
    Memory,
    Outcome,
    tell,
)
from setactions.operations.witness.site import BadAddressError, RemoteSite, address, trusting
from setactions.token import Token
from setactions.token_options import add_token_arguments, token_of_options
from tmsdash.commands import TimerCommand
from tmsdash.text import one_line

UNDONE = 1  # the exit code if people could not be told, or a file not be written


class Command(TimerCommand):
    help = (
        "Witness the audit of a site from another machine: ask for its last checkpoint, take it only with a proof "
        "that it continues the one before, sign it, and keep it in FOLDER/witness.txt. It needs neither databases nor "
        "keys of the site. Run it from a timer. Exit code 0: taken, or nothing new; 1: the site cannot be asked; 3: "
        "its history was rewritten, or it does not prove what it shows."
    )

    is_of_site = False  # there need not be one on this machine

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", required=True, help="the site: https://host, with its path if it is below one")
        parser.add_argument("--folder", required=True, type=Path, help="what the witness keeps; made at the first use")
        parser.add_argument(
            "--public-key", metavar="KEY", help="the site's key, NAME+ID+BASE64 or a file; needed at the first use"
        )
        parser.add_argument(
            "--accept-key", metavar="KEY", help="trust this key from now on, too, because the site's was changed"
        )
        parser.add_argument(
            "--ca-bundle", default="", metavar="FILE", help="authorities (PEM) instead of the public ones"
        )
        parser.add_argument(
            "--metrics", type=Path, metavar="FILE", help="write metrics for a textfile collector (.prom)"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--test", action="store_true", help="send a test notice to whoever is told, and nothing else"
        )
        add_token_arguments(parser, "AUDIT_WITNESS_TOKEN")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            url, context = address(options["url"]), trusting(options["ca_bundle"])
        except BadAddressError as error:
            raise CommandError(str(error)) from None
        if options["test"]:
            self._send_test(url)
        else:
            self._witness(url, context, options)

    @sensitive_variables("token")
    def _witness(self, url: str, context: ssl.SSLContext, options: dict[str, Any]) -> None:
        given, accepted = (_key(options, name) for name in ("public_key", "accept_key"))
        token = _token(options)
        path: Path = options["folder"]
        try:
            with opened(path) as folder:
                if accepted:
                    accept(folder, accepted)
                outcome = _look(folder, Memory.read(path / "state.json"), RemoteSite(url, token, context), given)
                undone = _report(path / "state.json", folder, outcome, url, options["metrics"])
                facts = _facts(folder, outcome, undone)
        except FolderError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error.filename or path} cannot be used: {error.strerror}.") from None
        if options["json"]:
            self.stdout.write(json.dumps(facts))
        elif outcome.code == 0:
            self.stdout.write(one_line(outcome.sentence, 1_000))
        for sentence in [*([outcome.sentence] if outcome.code else []), *undone]:
            self.stderr.write(one_line(sentence, 1_000))
        if outcome.code or undone:
            sys.exit(outcome.code or UNDONE)

    def _send_test(self, url: str) -> None:
        results = outbox.send_test(datetime.now(UTC), url)
        if not results:
            raise CommandError("Nobody is to be told: set NOTIFY_EMAIL with EMAIL_URL, or NOTIFY_WEBHOOK_URL.")
        for channel, problem in results.items():
            self.stdout.write(f"{channel}: {problem or 'the test notice was taken.'}")
        if any(results.values()):
            sys.exit(UNDONE)


def _assert_remembered(folder: Folder, memory: Memory) -> None:
    """Raise FolderError if what was taken is gone: the site could show another history as if it were the first."""
    if memory.succeeded_at and not folder.rewritten() and folder.last() is None:
        raise FolderError(
            f"{folder.witnessed} holds no checkpoint, but one was taken. Put its copy back, or begin with a new folder "
            "and keep this one."
        )


def _look(folder: Folder, memory: Memory, site: RemoteSite, given: PublicKey | None) -> Outcome:
    now = datetime.now(UTC)
    try:
        _assert_remembered(folder, memory)
        seen = look(folder, site, now, given)
    except (UnaskedError, FolderError) as error:
        return Outcome(UNASKED, str(error))
    except OSError as error:
        return Outcome(UNASKED, f"{error.filename or folder} cannot be used: {error.strerror}. Nothing was taken.")
    except UnprovenError as error:
        return Outcome(UNPROVEN, str(error))
    except RewrittenError as error:
        return Outcome(REWRITTEN, str(error))
    what = f"{seen.checkpoint.size:,} entries of {seen.checkpoint.origin}"
    if seen.checkpoint.at:
        what += f", signed at {seen.checkpoint.at:%Y-%m-%d %H:%M:%S} UTC"
    if not seen.is_new and now - seen.taken_at >= SILENT_AFTER:
        words = f"Nothing new since {seen.taken_at:%Y-%m-%d %H:%M} UTC: {what}. Does the site still run audit_seal?"
        return Outcome(STALE, words, seen.checkpoint)
    if not seen.is_new:
        return Outcome(SAME, f"Nothing new: {what}.", seen.checkpoint)
    if seen.is_first:
        return Outcome(TAKEN, f"The first checkpoint was taken: {what}. Witness: {folder.public_key}", seen.checkpoint)
    return Outcome(TAKEN, f"Taken: {what}, which continue what was taken before.", seen.checkpoint)


def _report(memory_file: Path, folder: Folder, outcome: Outcome, url: str, metrics_file: Path | None) -> list[str]:
    """Tell people if that is due, and write what the next look and Prometheus need; return what could not be done."""
    now = datetime.now(UTC)
    memory, problems = tell(Memory.read(memory_file).after(outcome, now), outcome, url, now)
    undone = [f"Nobody could be told by {channel}, which is tried again: {text}" for channel, text in problems.items()]
    try:
        memory_file.write_text(memory.as_json(), encoding="utf-8")
        if metrics_file:
            metrics.write(metrics_file, url, outcome, memory, _last(folder))
    except OSError as error:
        undone.append(f"{error.filename} cannot be written: {error.strerror}.")
    return undone


def _last(folder: Folder) -> Checkpoint | None:
    with suppress(FolderError):  # which the outcome tells already
        return folder.last()
    return None


def _facts(folder: Folder, outcome: Outcome, undone: list[str]) -> dict[str, Any]:
    last = _last(folder)
    return {
        "outcome": outcome.word,
        "message": outcome.sentence,
        "origin": last.origin if last else None,
        "size": last.size if last else None,
        "root": last.root.hex() if last else None,
        "signed_at": last.at.isoformat() if last and last.at else None,
        "witness": str(folder.public_key) if last else None,
        "undone": undone,
    }


def _key(options: dict[str, Any], name: str) -> PublicKey | None:
    if not options[name]:
        return None
    option = f"--{name.replace('_', '-')}"
    try:
        return given_key(options[name])
    except NoteError as error:
        raise CommandError(f"{option}: {error} manage.py audit_keys shows it on the site.") from None
    except OSError as error:
        raise CommandError(f"{option}: the file cannot be read ({error.strerror}).") from None


@sensitive_variables()
def _token(options: dict[str, Any]) -> Token:
    token = token_of_options(options, settings.AUDIT_WITNESS_TOKEN)
    if token is None:
        raise CommandError(
            "There is no token. Set AUDIT_WITNESS_TOKEN as it is set on the site, or give --token-file FILE."
        )
    return token
