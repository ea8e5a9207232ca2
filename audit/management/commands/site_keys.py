import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.utils import timezone

from audit.actors import command_actor
from audit.choices import Kind
from audit.services import record_fact
from tmsdash import site_keys
from tmsdash.commands import Command as BaseCommand
from tmsdash.db.transactions import BUSY_TIMEOUT_S
from tmsdash.models import SiteKey

OTHERS = 1


class Command(BaseCommand):
    help = (
        "Show whether this host's SECRET_KEY and TOKEN_KEY are the site's, or accept new ones, which the audit notes. "
        "All hosts of a site need the same keys. A new SECRET_KEY ends all sessions, unless the old one is in "
        "SECRET_KEY_FALLBACKS; with a new TOKEN_KEY, tokens that were typed in the last ten minutes have to be typed "
        "again, and second factors have to be set up anew. For the third key, AUDIT_KEY, see audit_keys. Exit code 0: "
        "they are the site's; 1: they are not."
    )
    needed_keys = ("AUDIT_KEY",)  # the command is about the others

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--accept", action="append", default=[], choices=site_keys.KEPT, help="make this host's key the site's"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            for name in options["accept"]:
                _accept(name)
            kept = {key.name: key for key in SiteKey.objects.all()}
        except AnyDatabaseError as error:
            raise CommandError(f"A database cannot be used. Run the command again later. {error}") from None
        are_ours = True
        for name in site_keys.KEPT:
            key, own = kept.get(name), site_keys.id_of(name)
            is_ours = key is None or key.key_id == own
            are_ours = are_ours and is_ours
            known = f"{key.key_id}, since {key.since:%Y-%m-%d %H:%M} UTC" if key else "not kept yet"
            words = "is this site's" if is_ours else "is NOT this site's"
            self.stdout.write(f"{name} {words}: here {own}, in the database {known}.")
        if not are_ours:
            sys.exit(OTHERS)


def _accept(name: str) -> None:
    """Make this process's key the site's, which the audit notes first."""
    own = site_keys.id_of(name)
    key = SiteKey.objects.filter(name=name).first()
    if key and key.key_id == own:
        return
    body = {"change": "accepted", "what": name, "from": key.key_id if key else "", "to": own}
    record_fact(Kind.SETTING_CHANGED, body, actor=command_actor(), wait_s=BUSY_TIMEOUT_S)
    SiteKey.objects.update_or_create(name=name, defaults={"key_id": own, "since": timezone.now()})
