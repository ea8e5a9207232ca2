import json
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError

from audit import chain
from audit.actors import command_actor
from audit.proof import lost_keys
from audit.proof.acknowledgements import NotLostError, acknowledge
from audit.proof.archives import ArchiveError
from audit.proof.commands import BROKEN, gone_named
from audit.proof.findings import AUDIT
from audit.proof.heads import stored_head
from audit.transparency import checkpoints, signing_key
from audit.transparency.notes import NoteError
from audit.transparency.signing_key import SigningKeyError
from tmsdash.commands import Command as BaseCommand
from tmsdash.commands import confirmed
from tmsdash.db.damage import damage
from tmsdash.text import one_line


class Command(BaseCommand):
    help = (
        "Show the keys of the audit's chain by their ids, and what each of them signed, and the public keys with which "
        "everybody can check its checkpoints. A lost key of the chain stops the site, because nothing proves the end "
        "of what it signed. Acknowledge the loss, with a reason, and the site goes on; audit_verify names it for ever. "
        "Exit code 0: all keys are known or acknowledged; 3: one is not."
    )
    needed_keys = ()  # it is for sites that lack them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--acknowledge-lost", metavar="KEY_ID", help="note in the chain that this key is lost")
        parser.add_argument("--reason", default="", help="how it was lost, in 10 characters or more")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--archives", metavar="FOLDER", help="where the archives are (default: AUDIT_SEAL_DIR)")
        only = parser.add_mutually_exclusive_group()
        only.add_argument("--json", action="store_true", help="print one JSON object")
        only.add_argument("--pem", action="store_true", help="print only the public key, as openssl reads it")
        only.add_argument("--checkpoint", action="store_true", help="print only the last checkpoint")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(options["archives"]) if options["archives"] else None
        try:
            if options["pem"] or options["checkpoint"]:
                self.stdout.write(_for_openssl(is_key=options["pem"]), ending="")
                return
            if options["acknowledge_lost"]:
                with gone_named(self.stderr, "acknowledged"):
                    self._acknowledge(options["acknowledge_lost"], folder, options)
            keys, problems = _keys_or_damage(folder)
            signing_keys, unknown = _signing_keys() if keys else ([], [])
        except NotLostError as error:
            raise CommandError(f"Nothing was acknowledged. {error}") from None
        except (AnyDatabaseError, ArchiveError, SigningKeyError, NoteError, OSError) as error:
            raise CommandError(f"The audit cannot be used. {error}") from None
        if options["json"]:
            self.stdout.write(
                json.dumps({"keys": keys, "signing_keys": signing_keys, "problems": [*problems, *unknown]})
            )
        else:
            lines = [*map(_in_words, keys), *(one_line(problem, 1_000) for problem in problems)]
            if keys and problems:
                lines.append("If that key is lost: manage.py audit_keys --acknowledge-lost KEY_ID --reason TEXT")
            lines += [f"{key['public_key']}  {key['state']}\n{key['pem'].strip()}" for key in signing_keys]
            self.stdout.write("\n".join([*lines, *unknown]))
        if problems or unknown:
            sys.exit(BROKEN)

    def _acknowledge(self, key_id: str, folder: Path | None, options: dict[str, Any]) -> None:
        if not options["yes"]:
            confirmed(
                f"Did you look for the key {one_line(key_id, 40)} everywhere, in backups and stores of secrets? What "
                "it signed can never be checked again, and the end of that may have been cut off."
            )
        lost = acknowledge(key_id, options["reason"], command_actor(), folder)
        self.stderr.write(f"Noted in the audit. {lost.sentence}")


def _keys_or_damage(folder: Path | None) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        return _keys(folder)
    except AnyDatabaseError as error:
        problem = damage(chain.DATABASE, error)
        if not problem:
            raise
        return [], [f"The audit is BROKEN. {AUDIT}: {problem}"]


def _keys(folder: Path | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what is known about each key, and sentences about those that are neither known nor acknowledged."""
    lost, head, known = lost_keys.acknowledged(folder), stored_head(), chain.known_keys()
    acknowledgements = {key.key_id: key.sentence for key in lost}
    signed = {key_id: (count, first, last) for key_id, count, first, last in lost_keys.used_keys()}
    ids = dict.fromkeys([*signed, *known, *([head.key_id] if head else []), *acknowledgements])
    keys = [
        {
            "key_id": key_id,
            "state": _state(key_id, acknowledgements),
            **dict(zip(("entries", "first", "last"), signed.get(key_id, (0, None, None)), strict=True)),
            "is_of_head": head is not None and head.key_id == key_id,
            "acknowledged": acknowledgements.get(key_id),
        }
        for key_id in ids
    ]
    problems = [f"Entry {first}: {problem}" for first, problem in lost_keys.open_problems(lost)]
    if head is None:
        problems.append("The head of the chain is missing. Run manage.py audit_verify.")
    elif head.key_id not in known:
        problems.append(
            f"The head of the chain is signed with the key {head.key_id}, which is not known: nothing is added."
        )
    return keys, problems


def _signing_keys() -> tuple[list[dict[str, str]], list[str]]:
    """Return the public keys of checkpoints, and a sentence if the last checkpoint is signed with none of them."""
    try:
        last, public_keys = checkpoints.last(), signing_key.known_public_keys()
    except NoteError as error:
        return [], [f"{error} Run manage.py audit_verify."]
    problems = []
    if last and not any(map(last.signature_of, public_keys)):
        problems = [
            f"The last checkpoint, of {last.size:,} entries, is signed with a key that is not known here. Put its "
            "public half into AUDIT_OLD_SIGNING_KEYS if it is this site's; if not, run manage.py audit_verify."
        ]
    has_own, old = signing_key.present() is not None, signing_key.old()
    keys = []
    for public in public_keys:
        is_old = public in old and (not has_own or public != public_keys[0])
        signs = "signs checkpoints" if has_own and not is_old else "noted in the chain"
        state = "signed checkpoints before (AUDIT_OLD_SIGNING_KEYS)" if is_old else signs
        keys.append({"public_key": str(public), "state": state, "pem": signing_key.pem(public)})
    return keys, problems


def _for_openssl(*, is_key: bool) -> str:
    """Return the public key of the last checkpoint in PEM, or the checkpoint; raises CommandError without one."""
    last, public_keys = checkpoints.last(), signing_key.known_public_keys()
    if last is None:
        raise CommandError("Nothing was signed yet. Run manage.py audit_seal.")
    if not is_key:
        return str(last)
    pems = [signing_key.pem(public) for public in public_keys if last.signature_of(public)]
    if not pems:
        raise CommandError("The last checkpoint is signed with a key that is not known here: manage.py audit_keys.")
    return pems[0]


def _state(key_id: str, acknowledgements: dict[str, str]) -> str:
    if key_id == chain.id_of_key(settings.AUDIT_KEY):
        return "AUDIT_KEY"
    if key_id in chain.known_keys():
        return "AUDIT_OLD_KEYS"
    return "lost" if key_id in acknowledgements else "not known"


def _in_words(key: dict[str, Any]) -> str:
    signed = f"entries {key['first']:,} to {key['last']:,} ({key['entries']:,})" if key["entries"] else "no entry here"
    head = ", and the end of the chain" if key["is_of_head"] else ""
    words = f"{one_line(key['key_id'], 40)}  {key['state']}: signed {signed}{head}."
    return f"{words} {key['acknowledged']}" if key["acknowledged"] else words
